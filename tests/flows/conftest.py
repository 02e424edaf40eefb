"""What flow tests share: a chain small enough for them, and what Prefect says of a run."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest

from core.training.config import Method

SMALL: Mapping[str, Any] = {
    "players.source": "synthetic",
    "collect.examples": 60,
    "collect.test_examples": 20,
    "collect.drafts": 2,
    "collect.test_drafts": 2,
    "collect.scenarios": 16,
    "adapter.top_layers": None,
    "sft.dtype": "fp32",
    "grpo.dtype": "fp32",
    "dpo.dtype": "fp32",
    "kto.dtype": "fp32",
    "ppo.dtype": "fp32",
    "contest.leagues": 12,
    "contest.seasons": 4,
    "release.prompts": 8,
    "release.levels": ["f16"],  # what q8_0 does to a random model is luck
}
PATIENCE = 60
"""Seconds until Prefect has written down what a finished run told it."""


@pytest.fixture(scope="session")
def tiny(tiny_llama: Path) -> Path:
    """The model of the flow tests."""
    return tiny_llama


@pytest.fixture
def small(tiny: Path) -> dict[str, Any]:
    """Overrides of the demo preset that make the whole chain a matter of seconds."""
    return {**SMALL, "model": str(tiny)}


@pytest.fixture
def states(prefect_server: str) -> Callable[..., dict[str, str]]:
    """The name of the last state of each of a run's tasks, by task run name without its suffix.

    Prefect writes tasks down one by one, behind the run: it is asked until those awaited are there, and all are final.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId  # noqa: PLC0415

    def read(flow_run: UUID, *awaited: str) -> dict[str, str]:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        end = time.monotonic() + PATIENCE
        while True:
            with get_client(sync_client=True) as client:
                runs = client.read_task_runs(flow_run_filter=only)
            found = {_short(run.name): str(run.state and run.state.name) for run in runs}
            final = all(run.state and run.state.is_final() for run in runs)
            if (runs and final and found.keys() >= {*awaited}) or time.monotonic() > end:
                return found
            time.sleep(0.2)

    return read


def _short(name: str) -> str:
    """'collect-3f2' is 'collect', and 'train-sft' is itself."""
    stem, _, suffix = name.rpartition("-")
    return name if suffix in get_args(Method) or not stem else stem
