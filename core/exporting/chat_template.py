"""A tokenizer's chat template as a Go template for Ollama: written from its own renderings, and held against more of them.

Ollama has Go templates of its own and takes the nearest (SmolLM2's lies close to plain ChatML, and so would lose its
default system prompt). What is written here is compared, message by message, with what the tokenizer says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from core.exporting.go_template import render_go

_USER, _SYSTEM = "Which of the two?", "You are brief."
_CLOCK = "strftime_now"
"""What a template calls that writes the day of the rendering: frozen into another one it would be wrong tomorrow."""
_INST = "[INST] "
_MISTRAL = (
    '{{ range $i, $_ := .Messages }}{{ if eq .Role "user" }}[INST] '
    "{{ if and $.System (eq (len (slice $.Messages $i)) 1) }}{{ $.System }}\n\n{{ end }}"
    '{{ .Content }}[/INST]{{ else if eq .Role "assistant" }} {{ .Content }}</s>{{ end }}{{ end }}'
)
"""Mistral 7B v0.3: the system prompt stands in the last turn of the user."""


@dataclass(frozen=True, slots=True)
class _Turns:
    """A family whose every turn looks alike: what stands before the role, between role and content, and after it."""

    before: str
    between: str
    after: str

    def opening(self, role: str) -> str:
        return f"{self.before}{role}{self.between}"

    def turn(self, role: str, content: str) -> str:
        return f"{self.opening(role)}{content}{self.after}"

    def template(self, first: str, system: str) -> str:
        """`first` stands at the start where no system prompt does, `system` before one."""
        opening, start = self.opening("{{ .Role }}"), ""
        if system != self.opening("system"):
            opening = f'{{{{ if eq .Role "system" }}}}{system}{{{{ else }}}}{opening}{{{{ end }}}}'
        if first:
            start = f'{{{{ if and (eq $i 0) (ne .Role "system") }}}}{first}{{{{ end }}}}'
        turn = f"{start}{opening}{{{{ .Content }}}}{self.after}"
        return f"{{{{ range $i, $_ := .Messages }}}}{turn}{{{{ end }}}}{self.opening('assistant')}"


_FAMILIES = (
    _Turns("<|im_start|>", "\n", "<|im_end|>\n"),  # ChatML: SmolLM2, Qwen2.5
    _Turns("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"),  # Llama 3
    _Turns("<|", "|>\n", "<|end|>\n"),  # Phi-3
)
_PROBES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("user", "Hi"),),
    (("system", "Answer in JSON:\n{}"), ("user", 'Say "yes" & <no>.')),
    (("user", "One?"), ("assistant", "1"), ("user", "Two?\n\nOr three?")),
    (("system", "Ruhig, bitte."), ("user", "Straße?"), ("assistant", "Łódź 🙂"), ("user", "日本語")),
    (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d\ne"), ("user", "f")),
)
"""Conversations as chats are: turns take turns, texts have no white space at their ends (some templates cut it off)."""


def rendered_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]) -> str | None:
    """A conversation in the tokenizer's template, up to where the answer begins; None where it refuses one like it.

    Without the token that llama.cpp adds to every prompt by itself.
    """
    try:
        text = str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
    except TemplateError:
        return None
    return text.removeprefix(added_start(tokenizer))


def added_start(tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of the token that the tokenizer puts before whatever it reads; empty where it puts none."""
    start = tokenizer.bos_token_id
    return str(tokenizer.bos_token) if start is not None and tokenizer.encode("a")[:1] == [start] else ""


def go_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The Go template that renders every probe as the tokenizer does; None where none of the known families does."""
    if _CLOCK in str(tokenizer.chat_template):
        return None
    for template in _candidates(tokenizer):
        if all(_agrees(tokenizer, template, _conversation(probe)) for probe in _PROBES):
            return template
    return None


def _candidates(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """Each family's template, with what this tokenizer puts at the start of a chat."""
    plain = rendered_chat(tokenizer, _conversation((("user", _USER),)))
    told = rendered_chat(tokenizer, _conversation((("system", _SYSTEM), ("user", _USER))))
    if plain is None or told is None or any(mark in plain + told for mark in ("{{", "}}", '"""')):
        return
    yield plain.partition(_INST)[0] + _MISTRAL
    for family in _FAMILIES:
        rest = family.turn("user", _USER) + family.opening("assistant")
        after = _SYSTEM + family.after + rest
        if plain.endswith(rest) and told.endswith(after):
            yield family.template(plain.removesuffix(rest), told.removesuffix(after))


def _agrees(tokenizer: PreTrainedTokenizerBase, template: str, messages: list[dict[str, str]]) -> bool:
    return render_go(template, messages) == rendered_chat(tokenizer, messages)


def _conversation(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]
