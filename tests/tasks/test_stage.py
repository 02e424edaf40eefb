"""A stage is done once, tried again only when that may help, and seen while it works."""

import threading

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.states import State

from core.dataset import Snapshot
from core.errors import ConfigError, DataError, InterruptedTraining, PromotionError, ServiceError, StoreError
from core.run import open_run
from core.use_cases import use_case_named
from tasks.stage import RETRIES, once, progress, record_of

ROWS = Snapshot(kind="rows", path="/rows", sha256="a" * 64, counts={"rows": 3})
AT_ONCE = RETRIES | {"retry_delay_seconds": 0}


@pytest.fixture
def run(home):
    """A run of the demo, and the stage that these tests do."""
    return open_run("r1", use_case_named("fantasy_draft"), "demo")


def work_of(calls, record=ROWS):
    def work(folder):
        calls.append(folder)
        return record

    return work


def nothing(_run_id, _record):
    """A store that nobody reads."""


def test_a_stage_is_done_once_and_then_found(run):
    """The second time its record comes back as 'Cached' without work; both times it is remembered and linked."""
    stage, calls, remembered = run.stage("rows", 1), [], []

    def do():
        return once(run, stage, Snapshot, work_of(calls), lambda *told: remembered.append(told))

    assert do() == ROWS
    found = do()
    assert isinstance(found, State)
    assert (found.name, found.is_completed(), found.data) == ("Cached", True, ROWS)
    assert calls == [stage.folder]
    assert remembered == [("r1", ROWS), ("r1", ROWS)]
    assert (run.folder / "rows").resolve() == stage.folder.resolve()
    assert stage.result()["seconds"] >= 0


def test_a_stage_that_failed_is_not_finished(run):
    """Neither failed work nor a store that refuses counts as done; the next try does it."""
    stage, calls = run.stage("rows", 1), []

    def fail(*_):
        raise StoreError("no database: start it")

    with pytest.raises(StoreError):
        once(run, stage, Snapshot, fail, nothing)
    with pytest.raises(StoreError):
        once(run, stage, Snapshot, work_of(calls), fail)
    assert stage.result() is None
    assert once(run, stage, Snapshot, work_of(calls), nothing) == ROWS
    assert len(calls) == 2


def test_a_record_of_an_older_kind_is_made_anew(run):
    """Fields that changed since: the stage is done again instead of failing every night."""
    stage, calls = run.stage("rows", 1), []
    with stage.locked():
        stage.finish({"record": {"kind": "rows", "colour": "red"}, "seconds": 1.0})
    assert once(run, stage, Snapshot, work_of(calls), nothing) == ROWS
    assert len(calls) == 1


def test_what_was_taken_away_is_made_anew(run):
    """A result whose files lie elsewhere and are gone: 'Cached' would promise what isn't there."""
    stage, calls = run.stage("rows", 1), []
    there = iter([True, False])

    def do():
        return once(run, stage, Snapshot, work_of(calls), nothing, intact=lambda record: next(there))

    assert do() == ROWS
    assert isinstance(do(), State)
    assert do() == ROWS
    assert len(calls) == 2


def test_two_runs_that_need_a_stage_at_once_do_it_once(run):
    """The second waits for the first and finds its result."""
    stage, calls, ends = run.stage("rows", 1), [], []
    inside, leave = threading.Event(), threading.Event()

    def slow(folder):
        calls.append(folder)
        inside.set()
        leave.wait()
        return ROWS

    def do():
        ends.append(once(run, stage, Snapshot, slow, nothing))

    threads = [threading.Thread(target=do) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside.wait()
    leave.set()
    for thread in threads:
        thread.join()
    assert calls == [stage.folder]
    assert [isinstance(end, State) for end in ends].count(True) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (StoreError("gone for a moment"), 4),
        (ServiceError("gone for a moment"), 4),
        (InterruptedTraining("ended from outside"), 4),
        (PromotionError("changed meanwhile"), 1),
        (DataError("row 3 is no row"), 1),
        (ConfigError("no such preset"), 1),
        (ValueError("a mistake of ours"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_only_what_may_pass_is_tried_again(prefect_server, error, attempts):
    """Three more times for a database, a service or an interruption; never for bad rows, settings or our mistakes."""
    tried = []

    @task(**AT_ONCE)
    def stage():
        tried.append(1)
        raise error

    @flow
    def product():
        stage()

    state = product(return_state=True)
    assert state.is_failed()
    assert str(error) in state.message
    assert len(tried) == attempts


@pytest.mark.slow
def test_waits_between_attempts_grow():
    """About 2, 4 and 8 seconds."""

    @task(**RETRIES)
    def stage():
        """Nothing."""

    assert stage.retry_delay_seconds == [2, 4, 8]


@pytest.mark.slow
def test_a_flow_sees_cached_and_hands_on_the_record(prefect_server, run):
    """The next task gets the record, the UI the word 'Cached', and the flow returns the record itself."""
    stage, given = run.stage("rows", 1), []

    @task(**AT_ONCE)
    def collect():
        return once(run, stage, Snapshot, work_of([]), nothing)

    @task
    def use(snapshot):
        given.append(snapshot)

    @flow
    def product():
        made = collect()
        use(made)
        return record_of(made)

    assert [product(), product()] == [ROWS, ROWS]
    assert given == [ROWS, ROWS]


@pytest.mark.slow
def test_progress_is_an_artifact_that_ends_at_one_hundred(prefect_server):
    """Shown at once and at the end, with the words; in between at most once a second."""

    @task
    def stage():
        show = progress("testing-progress")
        show(0.0, "begins")
        show(0.5, "too soon to be shown")
        show(2.0, "is over")

    @flow
    def product():
        stage()

    product()
    only = ArtifactFilter(key=ArtifactFilterKey(any_=["testing-progress"]))
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=only)
    assert (artifact.type, artifact.data, artifact.description) == ("progress", 100.0, "is over")
    assert artifact.task_run_id is not None
