"""The model card: what a released model is, what it was made from, how it was measured, how to run it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import ExportError
from core.exporting.config import CardFacts, ReleaseFormat
from core.exporting.results import Agreement
from core.files import write_text

CARD = "README.md"
_LOCAL_PATH = re.compile(r"(?:^|[\s\"'(:=])(?:/[\w.-]+/[\w./-]+|~/\S+|[A-Za-z]:\\\S+)")
_WHAT = {
    "lora": "a LoRA adapter (PEFT); it needs the base model named above",
    "merged": "the whole model, the adapter merged into its base, as safetensors",
    "gguf": "the whole model as GGUF, for llama.cpp and what is built on it",
    "onnx": "the whole model as ONNX in float32, for onnxruntime and what is built on it; one graph (`model.onnx`, its "
    "weights in `model.onnx.data`) reads a prompt and goes on from it, keys and values going in as `past_key_values` and "
    "out as `present`; batch and lengths are free",
}
_LIBRARY = {"lora": "peft", "merged": "transformers", "gguf": "gguf", "onnx": "onnx"}

_ONNX_USAGE = """```python
import numpy as np
from onnxruntime import InferenceSession
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
session = InferenceSession("model.onnx")
cache = {
    entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), dtype=np.float32)
    for entry in session.get_inputs()
    if entry.name.startswith("past_key_values")
}
messages = [{"role": "user", "content": "Hello!"}]
text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
ids = np.array([tokenizer.encode(text, add_special_tokens=False)])
answer, seen = [], 0
while len(answer) < 64 and tokenizer.eos_token_id not in answer:
    read = seen + ids.shape[1]
    step = {
        "input_ids": ids,
        "attention_mask": np.ones((1, read), dtype=np.int64),
        "position_ids": np.arange(seen, read)[None],
    }
    logits, *present = session.run(None, step | cache)
    cache, seen = dict(zip(cache, present)), read
    ids = logits[:, -1:].argmax(-1)
    answer.append(int(ids[0, 0]))
print(tokenizer.decode(answer, skip_special_tokens=True))
```"""


def public_name(model: str) -> str:
    """A model's name without where it lies on this machine."""
    is_path = model.startswith(("/", "./", "../", "~")) or "\\" in model
    return Path(model.replace("\\", "/")).name if is_path else model.removeprefix("embedded:")


def write_card(
    folder: Path, name: str, format_: ReleaseFormat, facts: CardFacts, agreements: Sequence[Agreement] = ()
) -> None:
    """Write README.md, with the front matter that hubs and llama.cpp's converter read.

    Raises: ExportError when a fact holds a path of this machine, StorageError.
    """
    facts = facts.model_copy(update={"base_model": public_name(facts.base_model)})
    sections = [_front_matter(format_, facts), f"# {name}\n\n{facts.summary}", _identity(format_, facts)]
    sections += [_table(f"## {title}", rows) for title, rows in _tables(facts).items() if rows]
    if agreements:
        sections.append(_agreement_table(agreements, "onnxruntime" if format_ == "onnx" else "llama.cpp"))
    sections.append(f"## Use\n\n{_usage(name, format_, facts, agreements)}")
    text = "\n\n".join(sections) + "\n"
    if local := _LOCAL_PATH.search(text):
        raise ExportError(
            f"the card of {name} names a local path ({local.group().strip()}): leave it out of the facts"
        )
    write_text(folder / CARD, text)


def _front_matter(format_: ReleaseFormat, facts: CardFacts) -> str:
    """YAML; its values are written as JSON, which is YAML too."""
    entries = {
        "license": facts.license,
        "base_model": facts.base_model,
        "language": facts.language,
        "library_name": _LIBRARY[format_],
        "pipeline_tag": "text-generation",
        "tags": list(dict.fromkeys([*facts.tags, *(["lora"] if format_ == "lora" else []), "overnight"])),
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]
    return "\n".join(["---", *lines, "---"])


def _identity(format_: ReleaseFormat, facts: CardFacts) -> str:
    return (
        f"- This folder: {_WHAT[format_]}\n- Base model: {facts.base_model}\n- Licence: {facts.license}\n"
        f"- Trained by: {facts.method}\n- `manifest.json` holds the SHA-256 of every file"
    )


def _tables(facts: CardFacts) -> dict[str, Mapping[str, str]]:
    return {"Data": facts.data, "Training": facts.training, "Evaluation": facts.evaluation}


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items()]
    return "\n".join([title, "", "| | |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _agreement_table(agreements: Sequence[Agreement], reader: str) -> str:
    lines = [
        f"| {row.level} | {row.status} | {row.bits_per_weight:.2f} | {_figure(row.kl, '.2g')} | {_figure(row.top1, '.1%')} "
        f"| {_figure(row.choice, '.1%')} | {_figure(row.error_max, '.2g')} |"
        for row in agreements
    ]
    head = "| file | check | bits a weight | KL, nats a token | same likeliest token | same decision | largest error of a log-probability |"
    warnings = [f"- {row.level}: {warning}" for row in agreements for warning in row.warnings]
    text = f"Each file was loaded in {reader} and read held-out prompts beside the merged model in float32."
    return "\n".join(
        [
            "## Agreement with the trained model",
            "",
            text,
            "",
            head,
            "|---|---|---|---|---|---|---|",
            *lines,
            *([""] if warnings else []),
            *warnings,
        ]
    )


def _figure(value: float | None, form: str) -> str:
    return "not measured" if value is None else format(value, form)


def _usage(name: str, format_: ReleaseFormat, facts: CardFacts, agreements: Sequence[Agreement]) -> str:
    if format_ == "gguf":
        file = agreements[-1].file if agreements else f"{name}.gguf"
        return f"```\nllama-server -m {file} --jinja\n```\n\nor, as `Modelfile` says,\n\n```\nollama create {name} -f Modelfile\n```"
    if format_ == "onnx":
        return _ONNX_USAGE
    load = f'AutoModelForCausalLM.from_pretrained("{facts.base_model if format_ == "lora" else "."}")'
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if format_ == "lora":
        lines[1:1] = ["from peft import PeftModel"]
        load = f'PeftModel.from_pretrained({load}, ".")'
    tokenizer = facts.base_model if format_ == "lora" else "."
    lines += [f'tokenizer = AutoTokenizer.from_pretrained("{tokenizer}")', f"model = {load}"]
    return "\n".join(["```python", *lines, "```"])
