"""How a released file is asked: the tokenizer's own chat in Go, and a Modelfile that Ollama reads as it is meant."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from core.errors import ConfigError, ExportError
from core.exporting.chat_template import go_template, rendered_chat
from core.exporting.config import ReleaseSettings
from core.exporting.go_template import render_go
from core.exporting.modelfile import modelfile_text
from core.exporting.publish import verify_folder
from core.exporting.release import release
from core.exporting.results import Asked, Modelfile
from core.exporting.serving import OllamaSettings, served_name

QWEN = (
    "{% if messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n"
    "{% else %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if not (loop.first and m.role == 'system') %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% set told = messages[0].content | trim if messages[0].role == 'system' else '' %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n{{ told }}<|eot_id|>"
    "{% for m in messages %}{% if m.role != 'system' %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
PHI_3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set told = messages[0].content %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}[INST] "
    "{% if loop.last and told is defined %}{{ told }}\n\n{% endif %}{{ m.content }}[/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
GEMMA = "{{ raise_exception('no system prompt') if messages[0].role == 'system' }}<start_of_turn>user\n"
LONG = [
    {"role": "system", "content": 'Be "brief".'},
    {"role": "user", "content": "Ä?\n- one\n- two"},
    {"role": "assistant", "content": "{ok}"},
    {"role": "user", "content": "And <then>?"},
]


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    """SmolLM2's, to be given other chat templates."""
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.mark.parametrize(
    "jinja",
    [None, QWEN, LLAMA_3, PHI_3, MISTRAL],
    ids=["SmolLM2", "Qwen2.5", "Llama 3.1", "Phi-3.5", "Mistral"],
)
@pytest.mark.parametrize("turns", [LONG[1:2], LONG[1:], LONG[:2], LONG], ids=["one", "three", "told", "all"])
def test_the_go_template_renders_a_chat_as_the_tokenizer_does(tokenizer, monkeypatch, jinja, turns):
    """The families that ship, default system prompts included, on chats that the template was not made from."""
    if jinja is not None:
        monkeypatch.setattr(tokenizer, "chat_template", jinja)
    template = go_template(tokenizer)
    assert render_go(template, turns) == rendered_chat(tokenizer, turns)
    assert rendered_chat(tokenizer, turns) == tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )


def test_a_default_system_prompt_stands_in_the_template(tokenizer):
    """Ollama's own ChatML, which it would take for SmolLM2, has lost it."""
    assert "You are a helpful AI assistant named SmolLM" in go_template(tokenizer)


@pytest.mark.parametrize(
    "jinja",
    [
        GEMMA,
        QWEN.replace("You are Qwen.", "{{ strftime_now('%d %b %Y') }}"),
        QWEN.replace("<|im_end|>", "</turn>"),
    ],
    ids=["no system prompt", "today's date", "another family"],
)
def test_a_template_that_is_not_known_gives_none(tokenizer, monkeypatch, jinja):
    """Rather none than one that is nearly right, or right today."""
    monkeypatch.setattr(tokenizer, "chat_template", jinja)
    assert go_template(tokenizer) is None


def test_a_token_that_llama_cpp_adds_is_not_in_the_template(tokenizer, monkeypatch):
    """Else it would stand there twice."""
    monkeypatch.setattr(tokenizer, "chat_template", LLAMA_3)
    bos = tokenizer.bos_token_id
    encode = type(tokenizer).encode
    monkeypatch.setattr(
        type(tokenizer), "encode", lambda self, text, **rest: [bos, *encode(self, text, **rest)]
    )
    assert not rendered_chat(tokenizer, LONG).startswith(tokenizer.bos_token)
    assert render_go(go_template(tokenizer), LONG) == rendered_chat(tokenizer, LONG)


@pytest.mark.parametrize("template", ["{{- .Prompt }}", "{{ .Prompt | json }}", "{{ printf .Prompt }}"])
def test_go_that_is_not_known_is_refused(template):
    """The reader knows what is written here, and does not guess at the rest."""
    with pytest.raises(ExportError, match="not known here"):
        render_go(template, LONG)


def test_a_modelfile_is_published_with_the_file_it_names(request_for):
    """Raw, as the model was trained: the prompt alone, and the texts that end an answer; the manifest holds its digest."""
    made = release(request_for(formats=("gguf",), ollama={"parameters": {"temperature": 0, "num_ctx": 512}}))
    folder = Path(made.folder("gguf"))
    assert (folder / "Modelfile").read_text() == (
        "# asked raw, as it was trained: the prompt as it stands\n"
        'FROM ./tiny-q8_0.gguf\nTEMPLATE "{{ .Prompt }}"\nPARSER passthrough\n'
        'PARAMETER temperature 0\nPARAMETER num_ctx 512\nPARAMETER stop "<|im_end|>"\nPARAMETER stop """\n"""\n'
    )
    assert verify_folder(folder) == []
    assert made.modelfile.sha256 == made.agreements[-1].sha256
    assert made.modelfile.first is not None
    assert made.modelfile.rendering == Asked(prompt="What goes first?", expected="What goes first?")


def test_a_chat_has_the_tokenizers_template_and_the_system_prompt(request_for, tokenizer):
    """And the level that the settings name."""
    ollama = {"ask": "chat", "system": 'Say "hi".\nBriefly.', "level": "f16"}
    made = release(request_for(formats=("gguf",), ollama=ollama))
    text = (Path(made.folder("gguf")) / "Modelfile").read_text()
    assert "FROM ./tiny-f16.gguf" in text
    assert f'TEMPLATE """{go_template(tokenizer)}"""' in text
    assert 'SYSTEM """Say "hi".\nBriefly."""' in text
    assert "PARSER" not in text
    assert made.modelfile.rendering.expected == rendered_chat(
        tokenizer,
        [{"role": "system", "content": ollama["system"]}, {"role": "user", "content": "What goes first?"}],
    )


def test_without_a_template_the_modelfile_says_so():
    """Ollama then renders the file's own."""
    asked = Asked(prompt="a", expected="a")
    text = modelfile_text(
        Modelfile(
            file="x.gguf",
            sha256="a" * 64,
            ask="chat",
            template=None,
            system="",
            stop=("</s>",),
            parameters={"use_mmap": True},
            note="no template",
            start="",
            rendering=asked,
            first=None,
        )
    )
    assert text == '# no template\nFROM ./x.gguf\nPARAMETER use_mmap true\nPARAMETER stop "</s>"\n'


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"parameters": {"temprature": 0}}, "unknown parameter temprature: choose from temperature, top_k"),
        ({"parameters": {"typical_p": 1}}, "unknown parameter typical_p"),
        ({"served_name": "a:b"}, "'a:b' is no name for Ollama"),
        ({"system": "Be brief."}, "set ask: chat"),
        ({"ask": "chat", "system": 'a """ b'}, "can't hold"),
        ({"stop": [""]}, "an empty text"),
        ({"level": "q4_k_m"}, "'q4_k_m' is not released: choose from f16, q8_0"),
        ({"url": "ftp://host"}, "url"),
    ],
)
def test_settings_that_ollama_would_refuse_are_one_clear_line(settings, line):
    """Before anything is exported."""
    with pytest.raises(ValueError, match="ollama") as error:
        ReleaseSettings(ollama=settings)
    assert line in str(error.value)


def test_a_slots_name_that_is_none_for_ollama_is_said():
    """The served name is the alias's, where the settings give none."""
    assert served_name(OllamaSettings(), "fantasy-draft-default") == "fantasy-draft-default"
    assert served_name(OllamaSettings(served_name="team/picker"), "x") == "team/picker"
    with pytest.raises(ConfigError, match=r"release\.ollama\.served_name"):
        served_name(OllamaSettings(), "fantasy draft")
