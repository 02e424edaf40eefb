"""What a person sees of a run in the terminal."""

import io
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import Artifact, StateType, TaskRun
from prefect.types import DateTime

from deployments.display import PlainDisplay, StageView, clock, display_for, view

RUN = SimpleNamespace(state_name="Running", estimated_run_time=timedelta(seconds=5))


def stage(state, share=None, words=""):
    return StageView("train-sft", state.value.lower(), state, 61.0, share, words)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "60:00")])
def test_clock(seconds, shown):
    """Minutes and seconds."""
    assert clock(seconds) == shown


def test_a_pipe_gets_lines_only_for_what_is_new():
    """The same state twice is one line; the end of a stage says how long it took."""
    stream = io.StringIO()
    with display_for(stream) as display:
        assert isinstance(display, PlainDisplay)
        display.show(RUN, [])
        display.show(RUN, [])
        display.show(RUN, [stage(StateType.RUNNING, 0.1, "step 1 of 10")])
        display.show(RUN, [stage(StateType.RUNNING, 0.2, "step 2 of 10")])
        display.show(RUN, [stage(StateType.COMPLETED, 1.0)])
    assert stream.getvalue().splitlines() == [
        "running",
        "train-sft: running 10% step 1 of 10",
        "train-sft: completed after 1:01",
    ]


def test_long_work_says_something_now_and_then(monkeypatch):
    """After a while new words of the same stage are a new line; old words are not."""
    monkeypatch.setattr("deployments.display.QUIET", 0.0)
    stream = io.StringIO()
    display = PlainDisplay(stream)
    for words in ("step 1", "step 1", "step 2"):
        display.show(RUN, [stage(StateType.RUNNING, 0.5, words)])
    assert stream.getvalue().splitlines() == [
        "train-sft: running 50% step 1",
        "train-sft: running 50% step 2",
    ]


def test_a_task_run_with_its_progress():
    """The hash that Prefect adds to a task's name is left out; progress is a share."""
    start = DateTime(2026, 1, 1)
    task = TaskRun(
        id=uuid4(),
        name="train-sft-0a9",
        task_key="train",
        dynamic_key="0",
        state_name="Running",
        state_type=StateType.RUNNING,
        start_time=start,
        end_time=start + timedelta(seconds=90),
    )
    seen = view(task, Artifact(type="progress", data=42.0, description="step 42"))
    assert seen == StageView("train-sft", "running", StateType.RUNNING, 90.0, 0.42, "step 42")
