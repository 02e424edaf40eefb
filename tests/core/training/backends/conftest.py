"""Rows with one better completion each, which TRL and our own trainer read alike."""

import random

import pytest

from core.dataset import Snapshot, write_snapshot

ANSWERS = (" go on", " stay where you are", " ask again", " no")


def prompt(stream: random.Random) -> str:
    return "Left or right? " + " ".join(str(stream.randrange(100)) for _ in range(stream.randrange(3, 9)))


@pytest.fixture(scope="session")
def texts(tmp_path_factory) -> Snapshot:
    """One completion a prompt: what SFT imitates."""
    stream = random.Random(1)
    rows = [
        {"id": f"{split}-{n}", "prompt": prompt(stream), "completions": [ANSWERS[n % 4]], "split": split}
        for split, count in (("train", 8), ("test", 4))
        for n in range(count)
    ]
    return write_snapshot(tmp_path_factory.mktemp("texts") / "snapshot", "texts", rows)


@pytest.fixture(scope="session")
def duels(tmp_path_factory) -> Snapshot:
    """Two completions a prompt, one of them better: one pair for DPO, two sides for KTO."""
    stream = random.Random(2)
    rows = [
        {
            "id": f"{split}-{n}",
            "prompt": prompt(stream),
            "completions": [ANSWERS[0], ANSWERS[1 + n % 3]],
            "rewards": [1.0, 0.0],
            "split": split,
        }
        for split, count in (("train", 8), ("test", 4))
        for n in range(count)
    ]
    return write_snapshot(tmp_path_factory.mktemp("duels") / "snapshot", "duels", rows)
