"""A tiny model, and a choice it can learn: the letter whose line holds a 9."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from core.dataset import Snapshot, write_snapshot
from core.language.testing import tiny_language_model
from core.training.config import (
    AdapterSettings,
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    PpoSettings,
    SftSettings,
    TrainingSettings,
)
from core.training.spec import TrainingSpec

LETTERS = [" A", " B", " C", " D"]


def choice_row(name: str, split: str, stream: random.Random) -> dict[str, object]:
    best = stream.randrange(len(LETTERS))
    lines = "".join(f"{letter.strip()} {9 if place == best else 1}\n" for place, letter in enumerate(LETTERS))
    return {
        "id": name,
        "prompt": f"{lines}Pick:",
        "completions": LETTERS,
        "weights": [float(place == best) for place in range(len(LETTERS))],
        "rewards": [float(place == best) + 0.1 * stream.random() for place in range(len(LETTERS))],
        "split": split,
        "metadata": {},
    }


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    stream = random.Random(0)
    rows = [choice_row(f"train-{index}", "train", stream) for index in range(24)]
    rows += [choice_row(f"test-{index}", "test", stream) for index in range(12)]
    return write_snapshot(tmp_path_factory.mktemp("choices") / "snapshot", "choices", rows)


@pytest.fixture(scope="session")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Two decisions a session: the letter of the 9 earns 1, others nothing; the second decision's reward is half."""
    stream = random.Random(0)
    rows = [
        choice_row(f"{split}-{session}-{step}", split, stream)
        | {"metadata": {"session": f"{split}-{session}", "step": step}}
        for split, count in (("train", 16), ("test", 6))
        for session in range(count)
        for step in range(2)
    ]
    for row in rows:
        taken = stream.randrange(len(LETTERS))
        reward = round(row["rewards"][taken]) * (1.0 if row["metadata"]["step"] == 0 else 0.5)
        row |= {"completions": [LETTERS[taken]], "weights": [], "rewards": [reward]}
    return write_snapshot(tmp_path_factory.mktemp("sessions") / "snapshot", "sessions", rows)


def make_spec(
    model: Path, snapshot: Snapshot, folder: Path, settings: TrainingSettings, **rest
) -> TrainingSpec:
    folder.mkdir(parents=True, exist_ok=True)
    adapter = rest.pop("adapter", AdapterSettings(r=4, alpha=8, dropout=0.1))
    return TrainingSpec(
        model=str(model), settings=settings, adapter=adapter, snapshot=snapshot, folder=str(folder), **rest
    )


@pytest.fixture(scope="session")
def spec_of():
    return make_spec


def settings_maker(kind: type[TrainingSettings]) -> Callable[..., TrainingSettings]:
    """Settings for a short run on the tiny model, with what a test changes."""
    values = {
        "learning_rate": 1e-2,
        "batch_size": 4,
        "eval_every": 4,
        "save_every": 3,
        "dtype": "fp32",
        "epochs": 2,
    }
    return lambda **changes: kind(**(values | changes))


@pytest.fixture(scope="session")
def settings_of():
    kinds = (SftSettings, GrpoSettings, DpoSettings, KtoSettings, PpoSettings)
    return {kind.model_fields["method"].default: settings_maker(kind) for kind in kinds}
