"""A whole release of a tiny model, in each way it can end."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from gguf import GGUFReader
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import ExportError
from core.exporting.config import Cap, CardFacts, ReleaseRequest, ReleaseSettings
from core.exporting.gguf import read_facts
from core.exporting.publish import is_intact, verify_folder
from core.exporting.release import release, releases_folder
from core.promotion import ReleaseCheck
from core.reports.release import release_section


def test_every_format_is_published_checked_and_found_again(request_for):
    """LoRA, merged and GGUF appear under their digest, verified; a second release makes the same folders."""
    loose = {"q4_k_m": Cap(kl=1, top1=0.1, choice=0.1)}  # random weights are hard to quantise
    request = request_for(levels=("f16", "q8_0", "q4_k_m"), caps=loose)
    first = release(request)
    assert first.check is ReleaseCheck.VERIFIED
    assert [row.level for row in first.agreements] == ["f16", "q8_0", "q4_k_m"]
    f16, q8, q4 = first.agreements
    assert f16.kl < 1e-4 < q8.kl * 100
    assert q8.kl < q4.kl
    assert f16.choice == 1.0
    assert 8 < q8.bits_per_weight < 9
    assert q8.fallback_share == 0
    assert q4.fallback_share > 0.9
    assert "really" in q4.warnings[0]
    assert 0 < first.parity_kl < 1e-6 < first.signal_kl
    assert [verify_folder(Path(row.path)) for row in first.published] == [[], [], []]
    _reads_like_the_adapter(first, request)
    _names_no_local_path(first, request)
    again = release(request_for(formats=("lora", "merged")))
    assert again.published == tuple(row for row in first.published if row.format != "gguf")
    links = {path.name: path.readlink() for path in releases_folder().iterdir() if path.is_symlink()}
    assert links == {f"tiny-{row.format}": Path(Path(row.path).name) for row in first.published}
    assert not list(releases_folder().glob(".*"))


def _reads_like_the_adapter(made, request):
    merged = AutoModelForCausalLM.from_pretrained(made.folder("merged"), dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(request.base, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, made.folder("lora"))
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-4)
    assert AutoTokenizer.from_pretrained(made.folder("merged")).chat_template


def _names_no_local_path(made, request):
    local = re.compile(re.escape(str(Path(request.base).parents[1])))
    for published in made.published:
        for path in Path(published.path).iterdir():
            if path.suffix in {".json", ".md", ".jinja"}:
                assert not local.search(path.read_text()), path
                assert "More Information Needed" not in path.read_text()
            if path.suffix == ".gguf":
                header = GGUFReader(path)
                assert not any(local.search(str(field.contents())) for field in header.fields.values())


def test_a_file_that_is_not_the_model_fails_with_both_figures(request_for):
    """Below a threshold nothing points at the new files, and the line says top-1 and KL."""
    strict = {"q8_0": Cap(kl=1e-9, top1=1.0, choice=1.0)}
    with pytest.raises(ExportError, match=r"top-1 agreement [\d.]+%, KL [\d.e-]+ nats") as error:
        release(
            request_for(formats=("gguf",), levels=("q8_0",), caps=strict).model_copy(update={"adapter": None})
        )
    assert "(at most 1e-09)" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(releases_folder().iterdir()) == []


def test_a_level_that_loses_too_much_is_left_out_where_another_is_the_model(request_for):
    """What passed is released and served; the report names the other. One that is asked to be served must pass."""
    strict = {"q4_k_m": Cap(kl=1e-9, top1=1.0, choice=1.0), "q8_0": Cap(kl=1, top1=0.1, choice=0.1)}
    asked = {"formats": ("gguf",), "levels": ("q8_0", "q4_k_m"), "caps": strict}
    made = release(request_for(**asked))
    assert made.check is ReleaseCheck.VERIFIED
    assert [row.level for row in made.agreements] == ["q8_0"]
    (refused,) = made.left_out
    assert (refused.level, refused.status) == ("q4_k_m", ReleaseCheck.FAILED)
    assert f"q4_k_m left out: {refused.reason}" in made.reason
    assert [path.name for path in Path(made.folder("gguf")).glob("*.gguf")] == ["tiny-q8_0.gguf"]
    assert made.modelfile.file == "tiny-q8_0.gguf"
    assert any(f"- q4_k_m is left out: {refused.reason}" in part for part in release_section(made))
    with pytest.raises(ExportError, match=r"tiny-q4_k_m.gguf is not the model it was made from"):
        release(request_for(**asked, ollama={"level": "q4_k_m"}))


def test_without_llama_cpp_a_release_is_not_verified(request_for, monkeypatch, tmp_path):
    """The other formats are published, and the reason names the command that helps."""
    monkeypatch.setenv("OVERNIGHT_LLAMA_CPP", str(tmp_path / "nowhere"))
    made = release(request_for())
    assert made.check is ReleaseCheck.NOT_VERIFIED
    assert "make install" in made.reason
    assert {row.format for row in made.published} == {"lora", "merged"}
    assert made.agreements == ()


def test_a_base_model_can_be_released_as_it_is(request_for):
    """Without an adapter there is no LoRA; merged weights equal the base's, and aliases wait when asked to."""
    request = request_for(formats=("lora", "merged"), merged_type="bfloat16")
    made = release(request.model_copy(update={"adapter": None, "switch_alias": False}))
    assert made.check is ReleaseCheck.NOT_VERIFIED
    assert [row.format for row in made.published] == ["merged"]
    assert made.signal_kl == 0
    assert not any(path.is_symlink() for path in releases_folder().iterdir())
    config = json.loads((Path(made.folder("merged")) / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_f16_is_checked_and_not_published_when_only_other_levels_are_asked_for(request_for):
    """Every level is made from it, so a fault that quantisation would hide is found there."""
    made = release(request_for(formats=("gguf",), levels=("q8_0",)))
    assert [row.level for row in made.agreements] == ["q8_0"]
    assert {path.suffix or path.name for path in Path(made.folder("gguf")).iterdir()} == {
        ".gguf",
        ".json",
        ".md",
        "Modelfile",
    }
    assert len(list(Path(made.folder("gguf")).glob("*.gguf"))) == 1
    strict = request_for(formats=("gguf",), levels=("q8_0",), caps={"f16": Cap(kl=1e-12, top1=1, choice=1)})
    with pytest.raises(ExportError, match=r"tiny-f16.gguf is not the model it was made from"):
        release(strict)


@pytest.mark.parametrize(
    "damage", ["a folder is gone", "a file is shorter", "one bit has flipped", "no manifest"]
)
def test_a_release_that_was_damaged_is_no_longer_intact(request_for, damage):
    """Whatever happened to a published file, however small; released again, it is whole."""
    request = request_for(formats=("lora", "merged"), adapter_gguf=False)
    made = release(request)
    assert is_intact(made)
    weights = Path(made.folder("merged")) / "model.safetensors"
    if damage == "a folder is gone":
        shutil.rmtree(made.folder("lora"))
    elif damage == "no manifest":
        (weights.parent / "manifest.json").unlink()
    else:
        content = weights.read_bytes()
        weights.write_bytes(
            content[:-1] + (bytes([content[-1] ^ 1]) if damage == "one bit has flipped" else b"")
        )
    assert not is_intact(made)
    assert is_intact(release(request))


def test_a_damaged_yardstick_is_made_again(request_for, home):
    """The base model's own file, cut short or changed by a bit: the next release of other prompts quantises it anew."""
    request = request_for(formats=("gguf",), levels=("q8_0",), caps={"q8_0": Cap(kl=9, top1=0, choice=0)})
    release(request)
    kept = next((home / "models" / "gguf").glob("*-q8_0.gguf"))
    whole = kept.read_bytes()
    for first, damaged in ((1, whole[:1000]), (2, whole[:-1] + bytes([whole[-1] ^ 1]))):
        kept.write_bytes(damaged)
        release(request.model_copy(update={"prompts": request.prompts[first:]}))
        assert kept.read_bytes() == whole


@pytest.mark.slow
def test_the_embedded_model_is_itself_at_q8_and_q4(home, smollm2, tmp_path, write_lora, replay_prompts):
    """SmolLM2 with a random LoRA: f16 is exact, q8_0 close, q4_k_m within its wide cap and mostly not K-quants."""
    base = next(smollm2.glob("smollm2-135m-*"))
    request = ReleaseRequest(
        name="smol",
        base=str(base),
        adapter=str(write_lora(base, tmp_path / "adapter", scale=0.01)),
        prompts=replay_prompts(12),
        facts=CardFacts(base_model="owner/smol", license="apache-2.0", summary="A test.", method="none"),
        settings=ReleaseSettings(levels=("f16", "q8_0", "q4_k_m"), token_positions=256, adapter_gguf=True),
    )
    made = release(request)
    assert made.check is ReleaseCheck.VERIFIED
    f16, q8, q4, adapter = made.agreements
    assert (adapter.level, adapter.status) == ("lora-f16", ReleaseCheck.VERIFIED)
    assert adapter.kl < 1e-4
    assert f16.kl < 1e-4 < q8.kl < 0.02 < q4.kl < 0.5
    assert 8.5 < q8.bits_per_weight < 8.52
    assert 6.1 < q4.bits_per_weight < 6.2
    assert q4.fallback_share > 0.5
    assert 0.5 < q8.kl_ratio < 1.5
    assert read_facts(Path(made.folder("lora")) / "smol-lora-f16.gguf").parameters == 1_221_120
    again = release(request)
    assert again.published == made.published
    assert is_intact(made)
