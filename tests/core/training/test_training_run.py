"""Whole training runs on a tiny model, in this process and in one of their own."""

import json
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from core.config import ROOT
from core.dataset import read_rows, write_snapshot
from core.errors import ConfigError, DataError, DivergedError, ModelError, StorageError
from core.store.registry import find_checkpoint, lineage, record_checkpoint
from core.training.config import AdapterSettings
from core.training.launch import last_words, train
from core.training.progress import append_progress, read_progress
from core.training.worker import train_here


def weights(folder: str | Path) -> dict[str, bytes]:
    """The bytes of every tensor in a folder, a value head's too."""
    return {
        name: tensor.numpy().tobytes()
        for file in Path(folder).glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def held_out(folder: Path, name: str) -> list[float]:
    return [line.metrics[name] for line in read_progress(folder) if line.phase == "eval"]


def test_sft_learns_the_choice_and_grpo_goes_on_from_it(tmp_path, tiny, choices, spec_of, settings_of):
    """The held-out loss falls under SFT; GRPO starts from its adapter with a KL of 0 and ends better."""
    settings = settings_of["sft"](learning_rate=1e-2, epochs=3)
    taught = train_here(spec_of(tiny, choices, tmp_path / "sft", settings, adapter=AdapterSettings()))
    assert taught.metrics["loss"] < taught.metrics["start_loss"]
    assert taught.parents == (choices.sha256,)
    better = settings_of["grpo"](learning_rate=1e-2, epochs=4)
    tuned = train_here(spec_of(tiny, choices, tmp_path / "grpo", better, start=taught))
    assert tuned.metrics["start_kl"] == pytest.approx(0, abs=1e-6)
    assert tuned.metrics["regret_greedy"] < tuned.metrics["start_regret_greedy"]
    assert (tuned.method, tuned.notes["kept_start"]) == ("grpo", False)
    assert tuned.parents == (choices.sha256, taught.sha256)
    assert tuned.kind == "adapter"
    saved = json.loads((Path(tuned.path) / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "model"


@pytest.mark.parametrize("estimator", ["exact", "sampled", "logged"])
def test_every_estimator_raises_the_expected_reward(  # noqa: PLR0917
    tmp_path, tiny, choices, spec_of, settings_of, estimator
):
    """The held-out expected reward ends above where it started."""
    settings = settings_of["grpo"](
        estimator=estimator, epochs=4, learning_rate=2e-2, beta=0.01, advantage_scale="std", num_iterations=2
    )
    spec = spec_of(tiny, choices, tmp_path / estimator, settings, adapter=AdapterSettings(r=8))
    train_here(spec)
    rewards = held_out(tmp_path / estimator, "reward")
    assert max(rewards[1:]) > rewards[0]


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("dpo", {"pairs": "best"}),
        ("dpo", {"loss_type": "ipo", "min_difference": 0.5}),
        ("dpo", {"loss_type": "robust", "label_smoothing": 0.1, "min_difference": 0.5}),
        ("kto", {"desirable_above": "mean", "desirable_weight": 3.0, "beta": 1.0, "learning_rate": 5e-3}),
    ],
)
def test_preferences_are_learned(tmp_path, tiny, choices, spec_of, settings_of, method, changes):  # noqa: PLR0917
    """Held-out accuracy is a coin's at the start and better at the end; an adapter of that method comes out."""
    settings = settings_of[method](**({"epochs": 12} | changes))
    spec = spec_of(tiny, choices, tmp_path / method, settings, adapter=AdapterSettings(r=8))
    tuned = train_here(spec)
    assert tuned.metrics["start_accuracy"] == 0.5
    assert tuned.metrics["loss"] < tuned.metrics["start_loss"]
    assert tuned.metrics["accuracy"] > 0.6
    assert (tuned.method, tuned.notes["kept_start"]) == (method, False)


def test_kto_weighs_both_kinds_the_same_where_asked(tmp_path, tiny, choices, spec_of, settings_of):
    """As with the weights worked out by hand: the rarer kind's is their ratio, the other's 1."""
    kinds = [
        reward > 0.3 for row in read_rows(choices) if row["split"] == "train" for reward in row["rewards"]
    ]
    liked, disliked = kinds.count(True), kinds.count(False)
    assert 0 < liked < disliked
    by_hand = {"desirable_weight": disliked / liked, "undesirable_weight": 1.0}
    losses = [
        train_here(
            spec_of(
                tiny,
                choices,
                tmp_path / name,
                settings_of["kto"](max_steps=3, desirable_above=0.3, **settings),
            )
        ).metrics["loss"]
        for name, settings in (("asked", {"balanced": True}), ("by-hand", by_hand), ("plain", {}))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_ppo_improves_and_the_next_stage_starts_from_its_value_head(
    tmp_path, tiny, sessions, spec_of, settings_of
):
    """The clipped objective and the value's error fall; the head lies beside the adapter and is read again."""
    settings = settings_of["ppo"](epochs=6, value_learning_rate=1e-2)
    tuned = train_here(spec_of(tiny, sessions, tmp_path / "one", settings, adapter=AdapterSettings(r=8)))
    assert tuned.metrics["loss"] < tuned.metrics["start_loss"]
    assert tuned.metrics["value_loss"] < tuned.metrics["start_value_loss"]
    assert (Path(tuned.path) / "value_head.safetensors").is_file()
    idle = settings_of["ppo"](learning_rate=1e-12, value_learning_rate=1e-12, epochs=1)
    again = train_here(spec_of(tiny, sessions, tmp_path / "two", idle, start=tuned))
    assert again.metrics["start_kl"] == pytest.approx(0, abs=1e-6)
    assert again.metrics["start_value_loss"] < tuned.metrics["start_value_loss"]


@pytest.mark.parametrize("method", ["dpo", "kto", "ppo"])
def test_saving_memory_changes_no_course(  # noqa: PLR0917
    tmp_path, tiny, choices, sessions, spec_of, settings_of, method
):
    """Losses with checkpointed layers are the same; in two passes a step too where every group counts the same (PPO)."""
    rows, courses = sessions if method == "ppo" else choices, []
    for name, changes in {
        "plain": {},
        "checkpointed": {"gradient_checkpointing": True},
        "halved": {"gradient_accumulation_steps": 2},
    }.items():
        settings = settings_of[method](max_steps=3, **changes)
        train_here(spec_of(tiny, rows, tmp_path / name, settings, adapter=AdapterSettings(r=4)))
        lines = read_progress(tmp_path / name)
        courses.append([line.metrics["loss"] for line in lines if line.phase == "train"])
    assert courses[0] == pytest.approx(courses[1], abs=1e-5)
    if method == "ppo":
        assert courses[0] == pytest.approx(courses[2], abs=1e-5)


def test_an_architecture_that_cannot_share_trains_too_and_says_so(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """Gemma 2 caps its attention scores: each completion has its own prompt, and the loss falls all the same."""
    config = AutoConfig.for_model(
        "gemma2",
        vocab_size=AutoConfig.from_pretrained(tiny).vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=1024,
    )
    folder = shutil.copytree(tiny, tmp_path / "gemma")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    settings = settings_of["sft"](learning_rate=1e-2, epochs=3, gradient_checkpointing=True)
    taught = train_here(spec_of(folder, choices, tmp_path / "run", settings, adapter=AdapterSettings()))
    assert taught.metrics["loss"] < taught.metrics["start_loss"]
    assert (
        "each completion is computed with its own prompt: 'gemma2' caps its attention scores"
        in taught.notes["said"]
    )


def test_a_reference_cut_short_is_computed_again(tmp_path, tiny, choices, spec_of, settings_of):
    """What a killed run left of its figures, half of them or nothing, changes no step."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["grpo"](epochs=1))
    first = weights(train_here(spec).path)
    file = tmp_path / "run" / "reference.safetensors"
    for share in (0.5, 0.0):
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        for part in ("adapter", "best"):
            shutil.rmtree(tmp_path / "run" / part)
        assert weights(train_here(spec).path) == first
        assert file.read_bytes() == whole


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "best.json"])
def test_a_best_checkpoint_cut_short_is_refused(tmp_path, tiny, choices, spec_of, settings_of, name):  # noqa: PLR0917
    """A run that goes on can't publish half an adapter, nor forget what it was to beat: one line with the folder."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](epochs=1))
    train_here(spec)
    file = max((tmp_path / "run" / "best").glob(f"*/{name}"))
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(
        ModelError, match=rf"{file.parent} was cut short .*: delete {tmp_path / 'run'} and train again"
    ):
        train_here(spec)


def test_a_run_that_makes_nothing_better_keeps_its_start(tmp_path, tiny, choices, spec_of, settings_of):
    """With a learning rate of nearly nothing no look is strictly better: the untrained model's adapter is empty."""
    idle = settings_of["grpo"](learning_rate=1e-12, epochs=1)
    tuned = train_here(spec_of(tiny, choices, tmp_path / "run", idle))
    assert tuned.notes["best_step"] == 0
    assert tuned.notes["said"][-1].startswith("kept its start, the untrained model: no step of 6 had a lower")
    assert all("lora_A" in name or not any(value) for name, value in weights(tuned.path).items())


def test_the_checkpoint_it_started_from_is_returned_and_stays_what_it_was_in_the_store(  # noqa: PLR0917
    tmp_path, tiny, choices, spec_of, settings_of, database
):
    """GRPO that beats nothing gives SFT's own checkpoint: one digest, one record, one lineage; its notes say why."""
    taught = train_here(spec_of(tiny, choices, tmp_path / "sft", settings_of["sft"](epochs=1)))
    record_checkpoint(None, taught)
    idle = settings_of["grpo"](learning_rate=1e-12, epochs=1)
    kept = train_here(spec_of(tiny, choices, tmp_path / "grpo", idle, start=taught))
    same = ("kind", "path", "sha256", "base_model", "method", "parents")
    assert [getattr(kept, name) for name in same] == [getattr(taught, name) for name in same]
    assert kept.notes["kept_start"]
    assert kept.notes["said"][-1] == (
        f"kept its start, {taught.label}: no step of 6 had a lower held-out regret_greedy"
    )
    assert kept.metrics["regret_greedy"] == kept.metrics["start_regret_greedy"]
    record_checkpoint(None, kept)
    assert find_checkpoint(taught.sha256) == taught
    assert lineage(kept.sha256) == [taught]


def test_what_was_left_out_is_noted_by_reason(tmp_path, tiny, spec_of, settings_of):
    """A group of equal rewards and one longer than the context: counted in the checkpoint's notes."""
    rows = [
        {"id": name, "prompt": prompt, "completions": [" A", " B"], "rewards": rewards, "split": "train"}
        for name, prompt, rewards in (
            ("good", "Pick:", [0.0, 1.0]),
            ("equal", "Pick:", [1.0, 1.0]),
            ("long", "x" * 2000, [0.0, 1.0]),
        )
    ]
    snapshot = write_snapshot(tmp_path / "rows", "grpo", rows)
    trained = train_here(spec_of(tiny, snapshot, tmp_path / "run", settings_of["grpo"](epochs=1)))
    assert trained.notes["dropped"] == {"equal rewards": 1, "longer than the context": 1}
    assert "1 groups to train on, 0 held out, 2 left out" in trained.notes["said"]
    assert trained.notes["said"][-1].endswith(", the last: there are no held-out rows to choose by")


def test_training_in_its_own_process_reports_and_is_not_done_twice(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """Lines arrive in order, ending with 'done'; a finished folder gives the same checkpoint without a process."""
    spec, lines = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](epochs=1)), []
    checkpoint = train(spec, lines.append)
    assert lines[0].phase == "loading"
    assert lines[-1].phase == "done"
    assert [line.step for line in lines if line.phase == "train"] == [1, 2, 3, 4, 5, 6]
    (tmp_path / "run" / "spec.json").unlink()
    assert train(spec) == checkpoint
    assert not (tmp_path / "run" / "spec.json").exists()


def test_a_folder_belongs_to_one_run(tmp_path, tiny, choices, spec_of, settings_of):
    """Whatever decides the weights is named where it differs, and nothing is written; where files lie may change."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](epochs=1))
    checkpoint = train(spec)
    moved = spec.model_copy(update={"snapshot": choices.model_copy(update={"path": "/moved"})})
    assert train(moved) == checkpoint
    (tmp_path / "run" / "trained.json").unlink()
    before = (tmp_path / "run" / "spec.json").read_bytes()
    for changes, words in (
        ({"settings": settings_of["sft"](epochs=3)}, "sft.epochs is 1 there and 3 here"),
        ({"settings": settings_of["dpo"]()}, "method is sft there and dpo here"),
        ({"adapter": AdapterSettings(r=8, alpha=8, dropout=0.1)}, "adapter.r is 4 there and 8 here"),
        (
            {"snapshot": choices.model_copy(update={"sha256": "0"})},
            f"rows is {choices.sha256} there and 0 here",
        ),
        ({"start": checkpoint}, f"start is None there and {checkpoint.sha256} here"),
    ):
        with pytest.raises(
            ConfigError, match=rf"^{tmp_path / 'run'} holds another run \({words}\): give this one"
        ):
            train(spec.model_copy(update=changes))
        assert (tmp_path / "run" / "spec.json").read_bytes() == before
    (tmp_path / "run" / "spec.json").write_text('{"model": "of an older code"}')
    with pytest.raises(ConfigError, match="holds another run"):
        train(spec)


def test_of_two_calls_for_one_folder_one_trains(tmp_path, tiny, choices, spec_of, settings_of):
    """The second waits, and finds the first one's checkpoint."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](epochs=1))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(train, [spec, spec])
    assert first == second
    lines = (tmp_path / "run" / "progress.jsonl").read_text()
    assert (lines.count('"loading"'), lines.count('"done"')) == (1, 1)


def test_the_last_words_of_a_process_are_its_whole_exception():
    """Of several lines, on one; the last of several; what had none is told by its last line."""
    lines = """before
Traceback (most recent call last):
  File "a.py", line 1
ValueError: the first
Traceback (most recent call last):
  File "a.py", line 2, in b
    raise Other(c)
core.Other: two
lines""".splitlines()
    assert last_words(lines) == "core.Other: two lines"
    assert last_words(lines[:1]) == "before"
    assert last_words([]) == "no output"


def test_the_workers_error_comes_back_as_itself(tmp_path, tiny, choices, spec_of, settings_of):
    """A model error in the child is a ModelError here, with the child's message."""
    spec = spec_of(
        tiny, choices, tmp_path / "run", settings_of["sft"](), adapter=AdapterSettings(top_layers=9)
    )
    with pytest.raises(ModelError, match=r"top_layers 9 is more than the 2 of"):
        train(spec)


def test_a_disk_that_is_full_is_one_clear_line(tmp_path, tiny, choices, spec_of, settings_of):
    """The worker may write no file larger than 16 kB: its checkpoint fails, and the line comes back without a file."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](), adapter=AdapterSettings(r=16))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, before[1]))
    try:
        with pytest.raises(StorageError, match=rf"can't write {tmp_path / 'run'}") as error:
            train(spec)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert not spec.result.exists()


@pytest.mark.slow
def test_the_worker_ends_with_its_parent(tmp_path, tiny, choices, spec_of, settings_of):
    """A parent killed with SIGKILL leaves no training process behind."""
    spec = spec_of(tiny, choices, tmp_path / "run", settings_of["sft"](epochs=3000, save_every=10_000))
    (tmp_path / "run" / "spec.json").write_text(spec.model_dump_json())
    code = (
        "import json, sys\nfrom core.training.launch import train\nfrom core.training.spec import TrainingSpec\n"
        "train(TrainingSpec.model_validate_json(open(sys.argv[1]).read()))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run" / "spec.json")], cwd=ROOT)
    _wait_for(lambda: any(line.phase == "train" for line in read_progress(tmp_path / "run")))
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    assert len(children) == 1
    _wait_for(lambda: not _alive(int(children[0])))


def _wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_kl_above_the_limit_stops_with_the_best_so_far(tmp_path, tiny, choices, spec_of, settings_of):
    """With no rollback allowed the run ends early, says so, and keeps a checkpoint from before."""
    settings = settings_of["grpo"](learning_rate=0.5, max_kl=0.01, epochs=4, max_rollbacks=0)
    tuned = train_here(spec_of(tiny, choices, tmp_path / "run", settings))
    assert "above max_kl 0.01" in tuned.notes["stopped"]
    assert tuned.notes["stopped"] in tuned.notes["said"]
    assert tuned.metrics["kl"] <= 0.01


def test_a_loss_that_is_no_number_is_one_clear_line(tmp_path, tiny, choices, spec_of, settings_of):
    """A model that answers NaN: DivergedError with the step and what to do."""
    broken = shutil.copytree(tiny, tmp_path / "broken")
    values = load_file(broken / "model.safetensors")
    values["model.norm.weight"][:] = float("nan")
    save_file(values, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DivergedError, match=r"loss became nan at step 1 of sft .*: lower learning_rate"):
        train_here(spec_of(broken, choices, tmp_path / "run", settings_of["sft"]()))


def test_an_adapter_of_another_model_is_refused(tmp_path, tiny, choices, spec_of, settings_of):
    """The start must belong to the model that is trained."""
    taught = train_here(spec_of(tiny, choices, tmp_path / "sft", settings_of["sft"](epochs=1)))
    other = taught.model_copy(update={"base_model": "phi-3.5-mini"})
    with pytest.raises(ModelError, match=r"adapter of 'phi-3.5-mini'"):
        train_here(spec_of(tiny, choices, tmp_path / "grpo", settings_of["grpo"](), start=other))


def test_only_the_top_layers_are_trained(tmp_path, tiny, choices, spec_of, settings_of):
    """top_layers 1 of 2 leaves the first layer without adapter."""
    spec = spec_of(
        tiny, choices, tmp_path / "run", settings_of["sft"](epochs=1), adapter=AdapterSettings(top_layers=1)
    )
    assert {name.split("layers.")[1][0] for name in weights(train_here(spec).path)} == {"1"}


def test_gradient_accumulation_gives_the_same_course(tmp_path, tiny, choices, spec_of, settings_of):
    """Batches of 4 in one pass or in two: the same losses, to rounding."""
    courses = []
    for accumulation in (1, 2):
        settings = settings_of["sft"](epochs=1, gradient_accumulation_steps=accumulation)
        folder = tmp_path / str(accumulation)
        train_here(spec_of(tiny, choices, folder, settings, adapter=AdapterSettings(r=4)))
        courses.append([line.metrics["loss"] for line in read_progress(folder) if line.phase == "train"])
    assert courses[0] == pytest.approx(courses[1], abs=1e-5)


def test_half_a_line_of_progress_is_passed_over(tmp_path):
    """A process killed while writing leaves half a line; a step done twice counts once, as written last."""
    append_progress(tmp_path, "train", 1, 2, metrics={"loss": 2.0, "kl": float("nan")})
    append_progress(tmp_path, "train", 1, 2, metrics={"loss": 1.0})
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write(json.dumps({"phase": "train", "step": 2})[:-5])
    assert [line.metrics for line in read_progress(tmp_path)] == [{"loss": 1.0}]


def test_rows_that_cannot_be_trained_on_are_refused_before_the_first_step(
    tmp_path, tiny, choices, spec_of, settings_of
):
    """A context too short for every row: DataError with the count, nothing written but the progress."""
    rows = [{"id": "long", "prompt": "x" * 2000, "completions": [" A"], "split": "train"}]
    snapshot = write_snapshot(tmp_path / "rows", "sft", rows)
    with pytest.raises(DataError, match=r"'longer than the context': 1"):
        train_here(spec_of(tiny, snapshot, tmp_path / "run", settings_of["sft"]()))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["progress.jsonl"]
