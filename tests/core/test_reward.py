"""What a decision is worth, by hand-worked numbers."""

import math
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from pydantic import ValidationError

from core.decision import AgentType, Feedback
from core.document import Unreadable
from core.reward import DeadlineDays, RewardSpec, Scorer, normalize
from core.reward_weights import FeedbackValues, Group

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SPEC = RewardSpec(version="1")
HEAVY = RewardSpec(
    version="1", weights={"FILER": {"delayed": {"completionSuccess": 1.0, "blockageAvoidance": -1.5}}}
)
FILER = {
    "immediate": {"userFeedback": 1, "confidenceCalibration": 0.5},
    "delayed": {
        "completionSuccess": 1,
        "blockageAvoidance": 0.5,
        "reworkPenalty": -1,
        "timeEfficiency": 0.25,
    },
    "strategic": {"goalAlignment": 0.5, "opportunityCost": -0.5},
}


def worth(components=None, feedback=None, *, days=0.0, agent="FILER", outcome_at=None, spec=SPEC):
    as_of = AT + timedelta(days=days)
    return Scorer(spec).score(agent, components, feedback, created_at=AT, outcome_at=outcome_at, as_of=as_of)


def test_a_whole_decision_is_its_weighted_sum():
    """1 + .05 + .5 + .15 - .2 + .075 + .2 - .1 = 1.675, which is .91875 of [-2, 2]."""
    reward = worth(FILER)
    assert (reward.status, reward.due_at) == ("final", None)
    assert reward.total == pytest.approx(1.675, abs=1e-12)
    assert reward.normalized == pytest.approx(0.91875, abs=1e-12)
    assert reward.components == [1.0, 0.5, 1.0, 0.5, -1.0, 0.25, 0.5, -0.5]
    assert Scorer(SPEC).names["FILER"] == (
        "userFeedback",
        "confidenceCalibration",
        "completionSuccess",
        "blockageAvoidance",
        "reworkPenalty",
        "timeEfficiency",
        "goalAlignment",
        "opportunityCost",
    )


def test_the_sum_runs_in_the_order_of_the_spec():
    """(.1 + .2) + .3 and .1 + (.2 + .3) are two numbers; the rows' key order decides nothing."""
    names = {"a": 1.0, "b": 1.0, "userFeedback": 1.0}
    values = {"userFeedback": 0.3, "b": 0.2, "a": 0.1}
    for order in (("a", "b", "userFeedback"), ("userFeedback", "b", "a")):
        weights = {AgentType.FILER: {"immediate": {name: names[name] for name in order}}}
        spec = RewardSpec(version="x", weights=weights)
        expected = values[order[0]] + values[order[1]] + values[order[2]]
        assert worth({"immediate": values}, spec=spec).total == expected


def test_an_order_is_part_of_the_digest():
    """Two specs that differ in nothing else are two."""
    one = RewardSpec(version="1", weights={AgentType.FILER: {"immediate": {"a": 1, "b": 1}}})
    other = RewardSpec(version="1", weights={AgentType.FILER: {"immediate": {"b": 1, "a": 1}}})
    assert one.sha256 != other.sha256
    assert one.sha256 == RewardSpec.model_validate(one.model_dump()).sha256


@pytest.mark.parametrize(
    ("agent", "values"),
    [
        ("FILER", (1, -0.5, 0, -0.8)),
        ("LIBRARIAN", (1, -0.5, 0, -0.8)),
        ("PRIORITIZER", (1, -0.5, 0, 0)),
        ("STORER", (1, -0.5, 0, 0)),
        ("RETRIEVER", (1, -1, 0, 0)),
    ],
)
def test_feedback_stands_for_its_component(agent, values):
    """Unless the app gave a number itself."""
    for feedback, value in zip(Feedback, values, strict=True):
        reward = worth({}, feedback, agent=agent)
        assert reward.components[0] == value
        assert reward.total == value
    name = Scorer(SPEC).names[agent][0]
    assert worth({"immediate": {name: 0.25}}, "CONFIRMED", agent=agent).total == 0.25


def test_what_is_missing_is_awaited_until_its_deadline():
    """Day 0: all awaited; from day 7 the immediate ones are missed, from 30 the delayed, from 90 the strategic."""
    part = {"immediate": {"userFeedback": 1}}
    known = {days: worth(part, days=days).components for days in (0, 6.9, 7, 30, 90)}
    assert known[0] == known[6.9] == [1.0] + 7 * ["pending"]
    assert known[7] == [1.0, "missed"] + 6 * ["pending"]
    assert known[30] == [1.0] + 5 * ["missed"] + 2 * ["pending"]
    assert known[90] == [1.0] + 7 * ["missed"]
    assert worth(part, days=6.9).due_at == AT + timedelta(days=7)
    assert worth(part, days=7).due_at == AT + timedelta(days=30)
    assert (worth(part, days=7).status, worth(part, days=90).status) == ("pending", "final")
    assert worth(part, days=0).total == worth(part, days=90).total == 1.0


def test_after_the_outcome_nothing_more_of_it_is_awaited():
    """What the outcome did not show is missed at once; what the user may still say is not."""
    reward = worth({"delayed": {"completionSuccess": 1}}, outcome_at=AT)
    assert reward.components == 2 * ["pending"] + [1.0] + 5 * ["missed"]


def test_a_decision_that_nothing_is_known_of_has_no_reward():
    """None, not 0: awaited until its last deadline, and then for good."""
    for components in (
        None,
        {},
        {"delayed": None},
        {"delayed": {"completionSuccess": None}},
        {"other": {"x": 1}},
    ):
        soon, late = worth(components, days=1), worth(components, days=400)
        assert (soon.total, soon.normalized, soon.status) == (None, None, "pending")
        assert soon.due_at == AT + timedelta(days=7)
        assert (late.total, late.normalized, late.status, late.due_at) == (None, None, "final", None)
        assert set(late.components) == {"missed"}
    assert SPEC.last_deadline == timedelta(days=90)
    assert worth(None, "IGNORED").total == 0.0


@pytest.mark.parametrize(
    ("components", "reason"),
    [
        ({"delayed": {"completionSuccess": "1.0"}}, "bad_component"),
        ({"delayed": {"completionSuccess": True}}, "bad_component"),
        ({"delayed": {"completionSuccess": [1]}}, "bad_component"),
        ({"delayed": 1}, "bad_component"),
        ([1], "bad_component"),
        ({"delayed": {"completionSuccess": math.nan}}, "non_finite"),
        ({"delayed": {"completionSuccess": -math.inf}}, "non_finite"),
        ({"delayed": {"completionSuccess": 10**400}}, "non_finite"),
        ({"delayed": {"completionSuccess": -math.inf, "blockageAvoidance": 1.7e308}}, "non_finite"),
        ({"delayed": {"completionSuccess": math.nan, "blockageAvoidance": 1.7e308}}, "non_finite"),
        ({"delayed": {"completionSuccess": 1.7e308, "blockageAvoidance": 1.7e308}}, "out_of_range"),
        ({"delayed": {"completionSuccess": 10**300}}, "out_of_range"),
    ],
)
def test_what_is_no_number_is_no_reward(components, reason):
    """Clamped, NaN would be the best reward of all."""
    with pytest.raises(Unreadable) as refused:
        worth(components, spec=HEAVY)
    assert refused.value.reason == reason


def test_what_is_too_large_is_no_observation():
    """Whatever the weighted sum is: two that cancel, one without weight, and one among missing ones are found too."""
    weights = {"FILER": {"delayed": {"kept": 1.0, "against": -1.0, "unweighted": 0.0}}}
    spec = RewardSpec(version="1", weights=weights)
    for name, values in (
        ("kept", {"kept": 1e200}),
        ("against", {"kept": 0, "against": 1000001}),
        ("kept", {"kept": -1e308, "against": -1e308, "unweighted": 0.0}),
        ("unweighted", {"kept": 1.0, "against": 1.0, "unweighted": 1e6 + 1}),
    ):
        with pytest.raises(
            Unreadable, match=f"component {name} is .*between -1,000,000 and 1,000,000"
        ) as refused:
            worth({"delayed": values}, spec=spec)
        assert refused.value.reason == "out_of_range"
    largest = {"kept": 1e6, "against": 1e6, "unweighted": -1e6}
    assert worth({"delayed": largest}, spec=spec).total == 0


def test_totals_and_rewards_stay_in_their_ranges():
    """4 components of 10 are 5, and 5 is 1; -5 is 0."""
    delayed = ("conflictPrevention", "falsePositivePenalty", "missedIssuePenalty", "dependencyAccuracy")
    for value, total, normalized in ((10, 5.0, 1.0), (-10, -5.0, 0.0)):
        reward = worth({"delayed": dict.fromkeys(delayed, value)}, agent="LIBRARIAN")
        assert (reward.total, reward.normalized) == (total, normalized)
    assert [normalize(total) for total in (-3, -2, 0, 2, 3)] == [0, 0, 0.5, 1, 1]


def test_a_spec_that_can_not_be_computed_by_is_refused():
    """Two components of a name, none at all, no feedback values, infinite weights, no version, an agent nobody knows."""
    for values in (
        {"weights": {"FILER": {"immediate": {"a": 1}, "delayed": {"a": 1}}}},
        {"weights": {"FILER": {}}},
        {"weights": {"FILER": {"immediate": {"a": 1}}}, "feedback": {}},
        {"weights": {"FILER": {"immediate": {"a": math.inf}}}},
        {"weights": {"CLERK": {"immediate": {"a": 1}}}},
        {"weights": {"FILER": {"late": {"a": 1}}}},
        {"deadline_days": {"delayed": -1}},
        {"version": ""},
    ):
        with pytest.raises(ValidationError):
            RewardSpec.model_validate({"version": "1"} | values)
    only = RewardSpec(
        version="1", weights={"FILER": {"immediate": {"a": 1}}}, feedback={"FILER": FeedbackValues()}
    )
    with pytest.raises(Unreadable, match="no weights for STORER"):
        Scorer(only).score("STORER", {}, None, created_at=AT, outcome_at=None, as_of=AT)


def test_every_group_has_a_deadline():
    """The settings name what the weights may."""
    assert set(get_args(Group)) == set(DeadlineDays.model_fields)
