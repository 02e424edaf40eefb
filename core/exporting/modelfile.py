"""The Modelfile of a released GGUF file: how Ollama is to ask it, from its tokenizer and the settings."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerBase

from core.errors import ModelError
from core.exporting.chat_template import added_start, go_template, rendered_chat
from core.exporting.config import ReleaseSettings
from core.exporting.merge import Guess, Merge
from core.exporting.results import Agreement, Asked, Modelfile
from core.exporting.serving import PASSED_ON
from core.files import write_text
from core.language.model import load_tokenizer
from core.language.tokens import completion_text

MODELFILE = "Modelfile"
RAW = "{{ .Prompt }}"
_EXAMPLE = "What goes first?"
_UNREADABLE = "\ufffd"


def describe_serving(
    merge: Merge, agreements: Sequence[Agreement], prompts: Sequence[str], settings: ReleaseSettings
) -> Modelfile | None:
    """How the level that is served is asked; None when none was made. `prompts` are those of the merge's guesses.

    Raises: ModelError.
    """
    ollama, by_level = settings.ollama, {row.level: row for row in agreements}
    served = next(
        (by_level[level] for level in ollama.served_first(settings.levels) if level in by_level), None
    )
    if served is None:
        return None
    tokenizer = load_tokenizer(Path(merge.path))
    template, note = _template(tokenizer, raw=ollama.ask == "raw")
    return Modelfile(
        file=served.file,
        sha256=served.sha256,
        ask=ollama.ask,
        template=template,
        system=ollama.system,
        stop=tuple(dict.fromkeys((*end_texts(Path(merge.path), tokenizer), *ollama.stops))),
        parameters=dict(ollama.parameters),
        note=note,
        start=added_start(tokenizer),
        rendering=Asked(
            prompt=_EXAMPLE, expected=_example(tokenizer, ollama.system, raw=ollama.ask == "raw")
        ),
        first=_first_token(tokenizer, prompts, merge.guesses, ollama.stops),
    )


def write_modelfile(folder: Path, modelfile: Modelfile) -> None:
    """Write what `ollama create NAME -f Modelfile` reads, beside the file it names. Raises: StorageError."""
    write_text(folder / MODELFILE, modelfile_text(modelfile))


def modelfile_text(modelfile: Modelfile) -> str:
    """A Modelfile's lines; a template and texts that span lines stand in quotes, in which nothing is escaped."""
    return "\n".join((f"# {modelfile.note}", *_lines(modelfile))) + "\n"


def _lines(modelfile: Modelfile) -> Iterator[str]:
    yield f"FROM ./{modelfile.file}"
    if modelfile.template is not None:
        yield f"TEMPLATE {_quoted(modelfile.template)}"
        if modelfile.ask == "raw":
            yield f"PARSER {PASSED_ON}"
    if modelfile.system:
        yield f"SYSTEM {_quoted(modelfile.system)}"
    for name, value in modelfile.parameters.items():
        yield f"PARAMETER {name} {str(value).lower()}"
    for text in modelfile.stop:
        yield f"PARAMETER stop {_quoted(text)}"


def _quoted(text: str) -> str:
    mark = '"""' if '"' in text or "\n" in text else '"'
    return f"{mark}{text}{mark}"


def _template(tokenizer: PreTrainedTokenizerBase, *, raw: bool) -> tuple[str | None, str]:
    """The template, and where it comes from."""
    if raw:
        return RAW, "asked raw, as it was trained: the prompt as it stands"
    template = go_template(tokenizer)
    if template is None:
        return (
            None,
            "this tokenizer's chat template has no known likeness in Go: Ollama renders the file's own",
        )
    return template, "the tokenizer's own chat template in Go: it renders the same conversations alike"


def _example(tokenizer: PreTrainedTokenizerBase, system: str, *, raw: bool) -> str:
    if raw:
        return _EXAMPLE
    messages = [{"role": "user", "content": _EXAMPLE}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    text = rendered_chat(tokenizer, messages)
    if text is None:
        raise ModelError(
            "this model's chat template refuses a user's text after a system prompt: leave release.ollama.system out"
        )
    return text


def end_texts(folder: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The texts of all tokens that end an answer, the tokenizer's own first: a GGUF file keeps one of them alone."""
    try:
        made_with = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
    except (OSError, ValueError):  # a folder without one
        made_with = None
    ids = [tokenizer.eos_token_id, *(made_with if isinstance(made_with, list) else [made_with])]
    texts = [tokenizer.convert_ids_to_tokens(token) for token in dict.fromkeys(ids) if token is not None]
    return tuple(str(text) for text in texts if text)


def _first_token(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], guesses: Sequence[Guess], stops: Sequence[str]
) -> Asked | None:
    """The prompt after which the merged model is surest, among those whose next token is a text to look for."""
    found = []
    for prompt, guess in zip(prompts, guesses, strict=False):
        text = completion_text(tokenizer, [guess.token])
        special = guess.token in tokenizer.all_special_ids or any(stop in text for stop in stops)
        if text.strip() and _UNREADABLE not in text and not special:
            found.append((guess.lead, prompt, text))
    if not found:
        return None
    _, prompt, text = max(found)
    return Asked(prompt=prompt, expected=text)
