"""Moments that are gathered in parts are those of the whole."""

import random
import statistics
from datetime import UTC, datetime, timedelta

import pytest

from core.reward import RewardSpec, Scorer
from core.reward_moments import Moments, Stratum, merged

AT = datetime(2026, 11, 1, tzinfo=UTC)
SPEC = RewardSpec(version="1")
NAMES = Scorer(SPEC).names["FILER"]


def rewards(count):
    draw = random.Random(1)
    for _ in range(count):
        delayed = {
            "completionSuccess": draw.uniform(-1, 1),
            "reworkPenalty": draw.choice((-3, 0.5, 1.0, None)),
        }
        days = draw.choice((1, 40))
        yield Scorer(SPEC).score("FILER", {"delayed": delayed}, None, created_at=AT, outcome_at=None, as_of=AT + timedelta(days=days))  # fmt: skip


def strata(found):
    moments = Moments()
    for reward in found:
        moments.add("FILER", reward)
    return moments.strata({"FILER": NAMES})


def test_parts_add_up_to_the_whole():
    """Counts exactly, means and deviations to rounding; and they are those of Python's statistics."""
    found = list(rewards(100))
    whole = strata(found)["FILER"]
    parts: dict[str, Stratum] = {}
    for start in range(0, 100, 30):
        parts = merged(parts, strata(found[start : start + 30]))
    added = parts["FILER"]
    assert (added.statuses, added.pending, added.missed) == (whole.statuses, whole.pending, whole.missed)
    totals = [reward.total for reward in found]
    for one in (whole, added):
        assert one.total.mean == pytest.approx(statistics.mean(totals))
        assert one.total.deviation == pytest.approx(statistics.stdev(totals))
    place = NAMES.index("reworkPenalty")
    values = [reward.values[place] for reward in found if reward.values[place] is not None]
    rework = added.components["reworkPenalty"]
    assert (rework.count, rework.mean) == (len(values), pytest.approx(statistics.mean(values)))
    assert rework.bins == whole.components["reworkPenalty"].bins
    assert rework.bins[0] == values.count(-3)
    assert rework.bins[-1] == values.count(1.0)
    assert sum(rework.bins) == len(values)


def test_what_is_awaited_and_what_was_missed_is_counted():
    """Each by its own name."""
    found = list(rewards(50))
    stratum = strata(found)["FILER"]
    late = sum(reward.due_at is not None for reward in found)
    assert stratum.statuses == {"pending": late}
    assert stratum.pending["goalAlignment"] + stratum.missed.get("goalAlignment", 0) == 50
    names = [known for reward in found for known in zip(NAMES, reward.components, strict=True)]
    for name in ("reworkPenalty", "userFeedback", "timeEfficiency"):
        assert stratum.pending.get(name, 0) == names.count((name, "pending"))
        assert stratum.missed.get(name, 0) == names.count((name, "missed"))
    assert "userFeedback" not in stratum.components
    assert Stratum.model_validate(stratum.model_dump(mode="json")) == stratum


def test_a_reward_without_a_value_counts_by_its_status_alone():
    """No 0 among the totals; a stratum of nothing else has none, and adds up with one that has."""
    nothing = [
        Scorer(SPEC).score(
            "FILER", None, None, created_at=AT, outcome_at=None, as_of=AT + timedelta(days=days)
        )
        for days in (1, 400)
    ]
    known = strata(rewards(5))
    alone = strata(nothing)["FILER"]
    assert alone.statuses == {"pending, nothing known": 1, "final, nothing known": 1}
    assert alone.total is None
    assert alone.components == {}
    both = merged(known, {"FILER": alone})["FILER"]
    assert both.total == known["FILER"].total
    assert merged({"FILER": alone}, known)["FILER"].total == known["FILER"].total
    assert sum(both.statuses.values()) == 7
