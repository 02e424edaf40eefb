"""The champion pointer moves with its evidence, one decision at a time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from sqlalchemy import text

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.errors import PromotionError, RecordError
from core.evaluation import Contest, EvaluationSettings, evaluate
from core.exporting.results import Release
from core.promotion import Promotion, ReleaseCheck
from core.store.engine import transaction
from core.store.registry import (
    champion,
    history,
    record_evaluation,
    record_promotion,
    record_release,
    record_run,
    record_snapshot,
    rollback,
)

SLOT = ("chess", "default")


def checkpoint(name):
    return Checkpoint(
        kind="adapter", path="/" + name, sha256=name, base_model="tiny", method="sft", parents=("rows",)
    )


def evaluation_of(candidate, incumbent):
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(40))),
        clusters_I=np.arange(40),
        values={"win": np.stack([np.tile([0.3, 0.1], 20), np.zeros(40)])},
    )
    settings = EvaluationSettings(primary_metric="win")
    return evaluate(rows, settings, {"candidate": candidate, "incumbent": incumbent})


def decided(candidate, incumbent, *, promoted=True):
    """A promotion whose evidence is recorded."""
    evaluation = evaluation_of(candidate, incumbent)
    record_evaluation(
        "r1", evaluation, {"candidate": checkpoint(candidate), "incumbent": checkpoint(incumbent)}
    )
    release = Release(
        name="n",
        check=ReleaseCheck.VERIFIED,
        reason="",
        sha256=f"{candidate}.gguf",
        parameters=1,
        parity_kl=0.0,
        signal_kl=0.0,
        published=(),
        seconds={},
    )
    record_release("r1", release, candidate)
    return Promotion(
        use_case=SLOT[0],
        slot=SLOT[1],
        verdict=evaluation.verdict,
        candidate=candidate,
        incumbent=incumbent,
        evaluation=evaluation.id,
        release=release.sha256,
        promoted=promoted,
        reason="because",
    )


@pytest.fixture(autouse=True)
def run(database):
    """A run and a snapshot that evidence can name."""
    record_run(
        run_id="r1", use_case="chess", preset="demo", config_digest="conf", code_revision="rev", config={}
    )
    record_snapshot("r1", Snapshot(kind="sft", path="/rows", sha256="rows", counts={}))


def in_use():
    holder = champion(*SLOT)
    return holder and (holder.checkpoint, holder.release)


def test_a_slot_without_a_promotion_has_no_champion():
    """The untrained model is in use then."""
    assert champion(*SLOT) is None
    assert history(*SLOT) == []


def test_a_promotion_moves_the_pointer_with_its_evidence():
    """Evaluation, snapshot, release, code revision and config digest."""
    promotion = decided("one", "untrained")

    holder = record_promotion("r1", promotion)

    (line,) = history(*SLOT)
    assert holder == champion(*SLOT)
    assert in_use() == ("one", "one.gguf")
    assert holder.promotion == line.id
    assert (line.action, line.verdict, line.reason) == ("promoted", "better", "because")
    assert (line.evaluation, line.snapshot, line.release) == (promotion.evaluation, "rows", "one.gguf")
    assert (line.code_revision, line.config_digest, line.run_id) == ("rev", "conf", "r1")


def test_keeping_the_incumbent_is_written_down_too():
    """The pointer stays, the reason is in the history."""
    record_promotion("r1", decided("one", "untrained"))

    holder = record_promotion("r1", decided("two", "one", promoted=False))

    assert holder.checkpoint == "one"
    assert [(line.action, line.candidate) for line in history(*SLOT)] == [
        ("kept", "two"),
        ("promoted", "one"),
    ]


def test_the_same_decision_twice_changes_nothing():
    """A retried task finds its decision carried out, also after the next one."""
    first, second = decided("one", "untrained"), decided("two", "one")
    for promotion in (first, first, second, first, second):
        record_promotion("r1", promotion)

    assert in_use() == ("two", "two.gguf")
    assert len(history(*SLOT)) == 2


def test_a_champion_that_changed_meanwhile_is_not_overwritten():
    """The candidate was compared with a model that is no longer in use."""
    late = decided("late", "untrained")
    record_promotion("r1", decided("one", "untrained"))

    with pytest.raises(
        PromotionError, match=r"changed meanwhile: .* untrained and one is in use now; evaluate again"
    ):
        record_promotion("r1", late)

    assert in_use() == ("one", "one.gguf")
    assert len(history(*SLOT)) == 1


def test_of_promotions_at_once_one_wins():
    """Six candidates against the same incumbent, in six connections: one champion, five refusals."""
    waiting = [decided(f"c{number}", "untrained") for number in range(6)]
    together = Barrier(6)

    def attempt(promotion):
        together.wait()
        try:
            return record_promotion("r1", promotion).checkpoint
        except PromotionError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(attempt, waiting))

    winners = [end for end in ends if len(end) == 2]
    assert winners == [champion(*SLOT).checkpoint]
    assert sum("changed meanwhile" in end for end in ends) == 5
    assert len(history(*SLOT)) == 1


def test_a_pointer_that_cannot_move_leaves_no_decision_behind():
    """The database refuses the second half: the first half is gone too."""
    promotion = decided("one", "untrained")
    with transaction() as session:
        session.execute(text("ALTER TABLE overnight.champions ADD CONSTRAINT never CHECK (slot = 'other')"))

    with pytest.raises(RecordError, match="never"):
        record_promotion("r1", promotion)

    assert history(*SLOT) == []
    assert champion(*SLOT) is None


def test_evidence_that_was_never_recorded_is_refused():
    """No promotion without its evaluation."""
    promotion = decided("one", "untrained").model_copy(update={"evaluation": "made up"})

    with pytest.raises(RecordError, match=r"fk_promotions_evaluation.*record what it names first"):
        record_promotion("r1", promotion)


def test_rollback_goes_back_one_promotion_at_a_time():
    """Two -> one -> the untrained model -> nothing left; each step is a line of the history."""
    record_promotion("r1", decided("one", "untrained"))
    record_promotion("r1", decided("two", "one"))
    record_promotion("r1", decided("three", "two", promoted=False))

    assert rollback(*SLOT).release == "one.gguf"
    assert in_use() == ("one", "one.gguf")
    rollback(*SLOT, run_id="r1", reason="worse at night")
    assert in_use() == ("untrained", None)
    with pytest.raises(PromotionError, match="no promotion in slot 'default' to undo"):
        rollback(*SLOT)

    lines = history(*SLOT)
    assert [line.action for line in lines] == ["rolled back", "rolled back", "kept", "promoted", "promoted"]
    assert (lines[0].candidate, lines[0].incumbent) == ("untrained", "one")
    assert lines[0].reason == "rolled back: worse at night"


def test_after_a_rollback_the_way_is_open_again():
    """A new candidate beats the model that came back, and can be undone in turn."""
    record_promotion("r1", decided("one", "untrained"))
    record_promotion("r1", decided("two", "one"))
    rollback(*SLOT)
    record_promotion("r1", decided("three", "one"))
    assert in_use() == ("three", "three.gguf")

    rollback(*SLOT)

    assert in_use() == ("one", "one.gguf")


def test_slots_are_apart():
    """A promotion in one slot doesn't show in another, nor in another use case."""
    record_promotion("r1", decided("one", "untrained"))

    assert champion("chess", "other") is None
    assert champion("go", "default") is None
    with pytest.raises(PromotionError):
        rollback("chess", "other")
