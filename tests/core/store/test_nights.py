"""Nights of the reward ledger remember each other; a backfill fills what is missing and nothing else."""

from datetime import UTC, date, datetime, timedelta

import pytest

from core.accounting import Accounting
from core.reward import RewardSpec
from core.reward_drift import TOTAL, drifts
from core.store import reward_page
from core.store.backfill import backfill
from core.store.ledger_state import days_lacking, model_counts, status_counts, version_change
from core.store.nights import reward_night, reward_part

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST = date(2026, 11, 1)
SPEC = RewardSpec(version="1")


def night(day, late=False, spec=SPEC, told=None):
    as_of = datetime(2026, 11, day, 23, tzinfo=UTC)
    return reward_night("desk", spec, as_of.date(), as_of, run_id="run", late=late, told=told)


def test_a_night_knows_the_seven_before_it(desk, decision):
    """Strata by agent type; the eighth night before is forgotten."""
    for day in range(1, 10):
        desk(
            *(decision(100 * day + number, created_at=AT + timedelta(days=day - 1)) for number in range(day))
        )
        found = night(day)
        assert found.first == (day == 1)
        assert found.strata["FILER"].statuses == {"final": day}
    assert found.before["FILER"].statuses == {"final": sum(range(2, 9))}


def test_a_night_is_done_once(desk, decision):
    """After a newer one there is nothing to do; a late one leaves its night to who did it; by hand it is done again."""
    desk(decision(1))
    assert night(3).work.accounting.written == 1
    desk(decision(2))
    assert night(2) is None
    assert night(3, late=True) is None
    again = night(3)
    assert again.work.accounting == Accounting(read=1, written=1)
    assert again.strata["FILER"].statuses == {"final": 2}
    assert again.before == {}
    assert night(4, late=True).work.accounting == Accounting()


def test_a_night_that_broke_off_has_lost_no_figure(desk, decision, monkeypatch):
    """What the first attempt had counted, the second has too."""
    monkeypatch.setattr(reward_page, "PAGE", 2)
    desk(*(decision(number) for number in range(6)))

    def broken(so_far):
        if so_far.read == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        night(1, told=broken)
    found = night(1, late=True)
    assert found.work.accounting == Accounting(read=6, written=6)
    assert found.strata["FILER"].statuses == {"final": 6}
    assert found.strata["FILER"].total.count == 6


def test_a_part_of_a_night_belongs_to_it(desk, decision):
    """The rewards of one source are computed on the way: whichever nights are done, and the night is still to be done."""
    desk(decision(1), decision(2))
    assert night(5).work.accounting.written == 2
    desk(decision(3), decision(4))
    for day, written in ((3, 2), (6, 0)):
        as_of = datetime(2026, 11, day, 23, tzinfo=UTC)
        found = reward_part("desk", SPEC, as_of.date(), as_of, run_id="run", rows_of="app")
        assert found.work.accounting.written == written
    assert found.before["FILER"].statuses == {"final": 4}
    assert night(6, late=True) is not None


def test_models_are_told_apart_by_what_their_decisions_were_worth(desk, decision):
    """Those that decided last, by agent type; of a decision without a reward nothing is told."""
    said = {
        "m1": ("CONFIRMED", "CORRECTED", "IGNORED"),
        "m2": ("CONFIRMED", "OVERRIDDEN"),
        "old": ("CONFIRMED",),
    }
    number = 0
    for model, feedbacks in said.items():
        for feedback in feedbacks:
            number += 1
            at = AT - timedelta(days=9) if model == "old" else AT
            desk(decision(number, model_version=model, feedback=feedback, created_at=at))
    spec = night(2).spec
    desk(decision(number + 1, model_version="m3"))
    found = [(one.model_version, one.decisions, one.confirmed, one.refused) for one in model_counts(spec, 2)]
    assert found == [("m1", 3, 1, 1), ("m2", 2, 1, 1)]
    assert [one.model_version for one in model_counts(spec, 9)] == ["m1", "m2", "old"]


def test_what_is_different_is_seen(desk, decision):
    """40 confirmed decisions, then 40 overridden ones: the feedback's mean falls, and every other component stays."""
    varied = [decision(number)["components"] | {"immediate": {"userFeedback": 1 - number % 2 / 10}} for number in range(80)]  # fmt: skip
    desk(*(decision(number, components=varied[number]) for number in range(40)))
    night(1)
    worse = [
        each | {"immediate": {"userFeedback": -0.8 - number % 3 / 10}} for number, each in enumerate(varied)
    ]
    desk(*(decision(number, components=worse[number]) for number in range(40, 80)))
    found = night(2)
    first, second, *others = drifts(found.strata, found.before)
    assert {first.component, second.component} == {"userFeedback", TOTAL}
    assert first.large
    assert first.mean < first.mean_before
    assert first.shift < -1
    assert not any(drift.large for drift in others)


def test_a_new_version_is_held_against_the_old(desk, decision, ask):
    """Turned round, every rank is the opposite; ties and constants are none."""
    values = [number / 10 for number in range(-5, 5)]
    desk(
        *(
            decision(place, components={"delayed": {"completionSuccess": value}})
            for place, value in enumerate(values)
        )
    )
    desk(decision(99, "STORER"))
    assert version_change("desk", night(1).spec) == []
    weights = {"FILER": {"delayed": {"completionSuccess": -2.0}}, "STORER": {"delayed": {"findability": 1.0}}}
    found = night(2, spec=RewardSpec(version="2", weights=weights))
    assert found.first
    assert found.work.accounting.written == 11
    turned, constant = version_change("desk", found.spec)
    assert (turned.before, turned.agent_type, turned.count) == ("1", "FILER", 10)
    assert turned.correlation == pytest.approx(-1)
    assert (constant.agent_type, constant.correlation) == ("STORER", None)


def test_a_backfill_fills_days_that_lack_rewards(desk, decision, ask):
    """Days of the range alone, in stretches; what is of no use lacks its reward still."""
    days = [AT + timedelta(days=number) for number in range(8)]
    desk(*(decision(place, created_at=day) for place, day in enumerate(days)))
    desk(decision(20, created_at=days[2], components={"immediate": {"userFeedback": "much"}}))
    spec = night(1).spec
    ask("DELETE FROM overnight.rewards WHERE subject IN (1, 3, 4, 7) RETURNING 1")

    filled = backfill(
        "desk",
        SPEC,
        FIRST + timedelta(days=1),
        FIRST + timedelta(days=6),
        AT + timedelta(days=90),
        run_id="run",
    )
    assert [(day.day.day, day.decisions, day.lacking) for day in filled.before] == [
        (3, 2, 2),
        (4, 1, 1),
        (7, 1, 1),
    ]
    assert filled.work.accounting == Accounting(read=4, written=3, quarantined={"bad_component": 1})
    assert [(day.day.day, day.lacking) for day in filled.after] == [(3, 1)]
    assert [day.day.day for day in days_lacking(spec, FIRST, FIRST + timedelta(days=9))] == [1, 3]
    assert [(count.agent_type, count.status, count.count) for count in status_counts(spec)] == [
        ("FILER", "final", 7)
    ]


def test_a_backfill_takes_any_dates(desk, decision):
    """From the first day that a date can be to the last: everything that lacks a reward."""
    desk(decision(1), decision(2))
    filled = backfill("desk", SPEC, date.min, date.max, AT + timedelta(days=100), run_id="run")
    assert filled.work.accounting == Accounting(read=2, written=2)
    assert ([day.day for day in filled.before], filled.after) == ([FIRST], ())
