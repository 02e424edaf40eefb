"""`trainer: trl` gives what our own trainer gives: the same losses, the same artifacts."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.config import ROOT
from core.dataset import write_snapshot
from core.errors import DataError, DivergedError
from core.language.model import load_checkpoint
from core.training.config import AdapterSettings
from core.training.progress import read_progress
from core.training.worker import train_here

STILL = AdapterSettings(r=4, alpha=8, dropout=0.0)


def losses(folder: Path, phase: str) -> list[float]:
    return [line.metrics["loss"] for line in read_progress(folder) if line.phase == phase]


@pytest.fixture
def rows_of(texts, duels):
    return {"sft": texts, "dpo": duels, "kto": duels}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("sft", {}),
        ("sft", {"gradient_checkpointing": True}),
        ("dpo", {}),
        ("dpo", {"loss_type": "ipo", "scheduler": "cosine", "warmup_ratio": 0.4, "weight_decay": 0.1}),
        ("dpo", {"loss_type": "robust", "label_smoothing": 0.1}),
        ("kto", {"desirable_weight": 1.5}),
    ],
)
def test_the_course_is_our_own_trainers(  # noqa: PLR0917
    tmp_path, tiny, rows_of, spec_of, settings_of, method, changes
):
    """All rows in every step, so that no order matters: each step's loss is the same, and so are the weights kept."""
    batch = 16 if method == "kto" else 8  # TRL counts completions there
    made = {}
    for trainer, size in (("group", 8), ("trl", batch)):
        settings = settings_of[method](
            trainer=trainer, batch_size=size, epochs=5, eval_every=2, learning_rate=3e-3, **changes
        )
        made[trainer] = train_here(
            spec_of(tiny, rows_of[method], tmp_path / trainer, settings, adapter=STILL)
        )
    for phase in ("train", "eval"):
        ours, theirs = (losses(tmp_path / trainer, phase) for trainer in made)
        assert len(ours) == {"train": 5, "eval": 4}[phase]
        if (phase, method) != ("eval", "sft"):  # means over prompts and over tokens
            assert theirs == pytest.approx(ours, abs=1e-4)
    assert made["trl"].notes["best_step"] == made["group"].notes["best_step"] == 5
    ours, theirs = (load_file(Path(each.path) / "adapter_model.safetensors") for each in made.values())
    assert ours.keys() == theirs.keys()
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 1e-3


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_the_artifacts_are_our_own_trainers(  # noqa: PLR0917
    tmp_path, tiny, rows_of, spec_of, settings_of, method
):
    """An adapter that loads, its record with figures at the start and at the end, curves, and no leftovers."""
    settings = settings_of[method](trainer="trl", epochs=4, quantization="auto")
    spec = spec_of(tiny, rows_of[method], tmp_path / "run", settings)
    trained = train_here(spec)
    assert load_checkpoint(trained).context_length == 1024
    assert (trained.kind, trained.method, trained.notes["kept_start"]) == ("adapter", method, False)
    assert trained.metrics["loss"] < trained.metrics["start_loss"]
    assert json.loads(spec.result.read_text())["sha256"] == trained.sha256
    assert {path.name for path in (tmp_path / "run" / "adapter").iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
    }
    assert not (tmp_path / "run" / "checkpoints").exists()
    lines = read_progress(tmp_path / "run")
    assert lines[-1].phase == "done"
    said = " | ".join(trained.notes["said"])
    for words in (
        "trained by TRL",
        "GB of memory for passes of",
        "TRL does not go back",
        "full base weights: TRL",
    ):
        assert words in said
    assert trained.notes["quantization"] == "none"
    if method != "sft":
        assert "accuracy" in trained.metrics or method == "kto"


def test_training_goes_on_from_an_adapter(tmp_path, tiny, rows_of, spec_of, settings_of):
    """DPO after SFT: the reference is the adapter it starts from, so the first loss is log 2."""
    taught = train_here(spec_of(tiny, rows_of["sft"], tmp_path / "sft", settings_of["sft"](trainer="trl")))
    settings = settings_of["dpo"](trainer="trl")
    spec = spec_of(tiny, rows_of["dpo"], tmp_path / "dpo", settings, start=taught)
    tuned = train_here(spec)
    assert tuned.metrics["start_loss"] == pytest.approx(0.6931, abs=1e-4)
    assert tuned.parents == (rows_of["dpo"].sha256, taught.sha256)


def test_a_choice_is_refused_with_its_row(tmp_path, tiny, choices, spec_of, settings_of):
    """TRL's SFT knows no softmax over a few answers."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](trainer="trl"))
    with pytest.raises(
        DataError, match=r"^row train-0 is a choice among 4 answers, .* leave sft\.trainer at"
    ):
        train_here(spec)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, tiny, duels, spec_of, settings_of):
    """SIGKILL after the first checkpoint: TRL's own state comes back, equal bits at the end."""
    settings = settings_of["dpo"](trainer="trl", epochs=40, save_every=3, eval_every=20)
    whole = train_here(spec_of(tiny, duels, tmp_path / "whole", settings))
    spec = spec_of(tiny, duels, tmp_path / "killed", settings)
    (tmp_path / "killed" / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "core.training.worker", str(tmp_path / "killed" / "spec.json")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        while not list((tmp_path / "killed").glob("checkpoints/checkpoint-*/complete.json")):
            assert child.poll() is None
            time.sleep(0.002)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not spec.result.exists()
    again = train_here(spec)
    assert losses(tmp_path / "whole", "train") == losses(tmp_path / "killed", "train")
    assert again.sha256 == whole.sha256


def test_a_loss_that_is_no_number_ends_the_run(tmp_path, tiny, texts, spec_of, settings_of):
    """With what to do about it."""
    settings = settings_of["sft"](trainer="trl", learning_rate=1e30, epochs=20)
    with pytest.raises(
        DivergedError, match=r"became (nan|inf) at step \d+ of sft in .*: lower learning_rate"
    ):
        train_here(spec_of(tiny, texts, tmp_path / "run", settings))


def test_without_held_out_rows_the_last_weights_are_kept(tmp_path, tiny, spec_of, settings_of):
    """No look is taken, and no figure made up."""
    rows = [{"id": "one", "prompt": "Go", "completions": [" on"], "split": "train"}]
    snapshot = write_snapshot(tmp_path / "rows", "sft", rows)
    trained = train_here(spec_of(tiny, snapshot, tmp_path / "run", settings_of["sft"](trainer="trl")))
    assert (trained.notes["best_step"], trained.metrics) == (2, {})


def test_a_prompt_without_another_is_left_out_of_kto(tmp_path, tiny, spec_of, settings_of):
    """Two neighbours that ask the same can't be held against each other: counted."""
    rows = [
        {"id": f"{n}", "prompt": prompt, "completions": [" a", " b"], "rewards": [1.0, 0.0], "split": "train"}
        for n, prompt in enumerate(("Left?", "Left?", "Right?", "Up?"))
    ]
    snapshot = write_snapshot(tmp_path / "rows", "kto", rows)
    settings = settings_of["kto"](trainer="trl", desirable_above=0.5)
    trained = train_here(spec_of(tiny, snapshot, tmp_path / "run", settings))
    assert trained.notes["dropped"] == {"no completion of another prompt to hold it against": 2}
