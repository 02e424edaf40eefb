"""A run's stages in the terminal: a table that moves, or plain lines where nothing can move."""

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self, TextIO
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import TERMINAL_STATES, Artifact, FlowRun, StateType, TaskRun
from prefect.client.schemas.sorting import ArtifactSort, TaskRunSort
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

MARKS = {
    StateType.COMPLETED: Text("✓", style="green"),
    StateType.FAILED: Text("✗", style="red"),
    StateType.CRASHED: Text("✗", style="red"),
    StateType.CANCELLED: Text("-", style="yellow"),
}
QUIET = 20.0
"""Seconds between two plain lines about the same stage."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage as a person sees it."""

    name: str
    state: str
    type: StateType | None
    seconds: float
    share: float | None = None
    """What is done of it, in [0, 1]."""
    words: str = ""

    @property
    def finished(self) -> bool:
        """Whether it goes on no more, however it ended."""
        return self.type in TERMINAL_STATES


class Display(Protocol):
    """Shows a run again and again until it has finished."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, run: FlowRun, stages: list[StageView]) -> None:
        """The run as it stands."""


def display_for(stream: TextIO) -> Display:
    """The table for a person at a terminal, plain lines for a file or a pipe."""
    console = Console(file=stream)
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(stream)


def read_stages(client: SyncPrefectClient, run_id: UUID) -> list[StageView]:
    """The run's stages in the order they started, each with its latest progress."""
    runs = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    tasks = client.read_task_runs(flow_run_filter=runs, sort=TaskRunSort.EXPECTED_START_TIME_ASC)
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(type=ArtifactFilterType(any_=["progress"])),
        flow_run_filter=runs,
        sort=ArtifactSort.UPDATED_DESC,
    )
    latest: dict[UUID | None, Artifact] = {}
    for artifact in artifacts:
        latest.setdefault(artifact.task_run_id, artifact)
    return [view(task, latest.get(task.id)) for task in tasks if task.start_time]


def view(task: TaskRun, progress: Artifact | None) -> StageView:
    """A task run and its progress as one line's content."""
    end = task.end_time or datetime.now(UTC)
    return StageView(
        name=re.sub(r"-[0-9a-f]{3}$", "", task.name),
        state=(task.state_name or "").lower(),
        type=task.state_type,
        seconds=(end - task.start_time).total_seconds() if task.start_time else 0.0,
        share=float(progress.data) / 100 if progress and isinstance(progress.data, int | float) else None,
        words=(progress.description or "") if progress else "",
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, as on a kitchen timer."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def waiting(run: FlowRun) -> str:
    """Why a run has no stage yet, or none going."""
    if run.state_name == "AwaitingConcurrencySlot":
        return "waiting for another run of this deployment to finish"
    return (run.state_name or "").lower()


@dataclass(slots=True)
class LiveDisplay:
    """One table, redrawn in place."""

    console: Console
    _live: Live = field(init=False)
    _spinner: Spinner = field(init=False)

    def __post_init__(self) -> None:
        self._live = Live(console=self.console, refresh_per_second=4)
        self._spinner = Spinner("dots")  # one for all draws, or it would start over each second

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, run: FlowRun, stages: list[StageView]) -> None:
        """Draw the run as it stands."""
        table = Table.grid(padding=(0, 2))
        for stage in stages:
            table.add_row(*self._cells(stage))
        took = clock(run.estimated_run_time.total_seconds())
        self._live.update(Group(table, Text(f"{waiting(run)}  {took}", style="dim")))

    def _cells(self, stage: StageView) -> tuple[Text | Spinner, str, Text, ProgressBar | Text, Text]:
        going = stage.type == StateType.RUNNING
        mark = MARKS.get(stage.type or StateType.RUNNING, self._spinner)
        bar = ProgressBar(total=1, completed=stage.share or 0, width=24) if going and stage.share else Text()
        words = Text(stage.words if going else stage.state, overflow="ellipsis", no_wrap=True)
        return mark, stage.name, Text(clock(stage.seconds), justify="right"), bar, words


@dataclass(slots=True)
class PlainDisplay:
    """A line for each change, and now and then one for what takes long."""

    stream: TextIO
    _said: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.flush()

    def show(self, run: FlowRun, stages: list[StageView]) -> None:
        """Print what is new."""
        if not stages:
            self._say("run", waiting(run), waiting(run))
        for index, stage in enumerate(stages):
            done = "" if stage.share is None else f" {stage.share:.0%}"
            words = f"{stage.name}: {stage.state}{done} {stage.words}".rstrip()
            if stage.type != StateType.RUNNING:
                words = f"{stage.name}: {stage.state} after {clock(stage.seconds)}"
            self._say(f"{index} {stage.name}", stage.state, words)

    def _say(self, key: str, state: str, words: str) -> None:
        """Print when the state changed, or when the words did and the last line is a while ago."""
        before, at = self._said.get(key, ("", 0.0))
        if before.split("\n")[0] == state and (
            before == f"{state}\n{words}" or time.monotonic() - at < QUIET
        ):
            return
        self._said[key] = (f"{state}\n{words}", time.monotonic())
        print(words, file=self.stream, flush=True)
