"""From ratings to a verdict: counts by hand, users who count for nobody, and a broken experiment that says so."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from core.errors import DataError
from core.experiment import Arm, ExperimentSettings, assign
from core.experiment.analysis import analyse
from core.experiment.counts import NO_ARM, NO_MODEL, NOBODY, TWO_ARMS, RatedDay, count_ratings
from core.experiment.results import ExperimentVerdict
from core.statistics import ClusterRates, always_valid_p_value, confidence_sequence, mean_rate

FIRST = date(2026, 11, 1)
VERSIONS = {"champion": "m1", "canary": "m2"}
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def experiment(share=0.5, **change):
    arms = (
        Arm(name="champion", share=1 - share, model="m1"),
        Arm(name="canary", share=share, model="m2"),
    )
    return ExperimentSettings(name="tone", arms=arms, **change)


def day(user, version, number, ratings, ups):
    return RatedDay(user, version, FIRST + timedelta(days=number), ratings, ups)


def users(settings, arm, count):
    """Names whose arm by the hash is this one, in their order."""
    names = (f"u{number:06}" for number in range(1_000_000))
    found = (name for name in names if assign(settings, name).name == arm)
    return [next(found) for _ in range(count)]


def analysed(settings, rows):
    counts = count_ratings(sorted(rows), settings, VERSIONS)
    return analyse(settings, counts, VERSIONS, source="app", as_of=NOW)


def opinions(settings, seed=0, people=400, **rates):
    """Ratings over 20 days: each arm's users rate 1 to 5 answers, up with the arm's rate, from some day on."""
    random = np.random.default_rng(seed)
    for arm, rate in rates.items():
        share = next(one.share for one in settings.arms if one.name == arm)
        for user in users(settings, arm, round(people * share)):
            ratings = int(random.integers(1, 6))
            ups = int(random.binomial(ratings, rate))
            yield day(user, VERSIONS[arm], int(random.integers(0, 20)), ratings, ups)


def test_counts_by_hand():
    """A user's own up-rate changes with every day; each day knows what was known at its end."""
    settings = experiment()
    (one, other), (third,) = users(settings, "champion", 2), users(settings, "canary", 1)
    rows = [
        day(one, "m1", 0, 2, 1),
        day(one, "m1", 2, 2, 2),
        day(other, "m1", 1, 1, 0),
        day(third, "m2", 1, 4, 4),
    ]
    counts = count_ratings(sorted(rows), settings, VERSIONS)
    champion = counts.arms["champion"]
    days = [FIRST + timedelta(days=number) for number in range(3)]
    assert list(champion.until(days)) == [
        ClusterRates(1, 0.5, 0.25),
        ClusterRates(2, 0.5, 0.25),
        ClusterRates(2, 0.75, 0.5625),
    ]
    assert champion.rates == (2, 0.75, 0.5625)
    assert champion.trials == (2, 5, 3, 4**2 + 1, 4 * 3, 3**2)
    assert counts.arms["canary"].rates == (1, 1.0, 1.0)
    assert (counts.in_two_arms, counts.misrouted, counts.left_out) == (0, 0, {})

    found = analyse(settings, counts, VERSIONS, source="app", as_of=NOW)
    (comparison,) = found.comparisons
    assert [look.day for look in comparison.looks] == days[1:]
    assert [look.difference for look in comparison.looks] == [0.75, 0.625]
    last = comparison.looks[-1]
    apart = mean_rate(ClusterRates(1, 1.0, 1.0)).minus(mean_rate(ClusterRates(2, 0.75, 0.5625)))
    assert last.sequence == confidence_sequence(apart.value, apart.variance, 0.05)
    assert last.p_value == always_valid_p_value(apart.value, apart.variance, 0.05) == 1.0
    arm = found.arms[0]
    assert (arm.users, arm.ratings, arm.ups, arm.rate, arm.pooled_rate) == (2, 5, 3, 0.375, 0.6)
    assert (comparison.verdict, comparison.decided) == (ExperimentVerdict.CANNOT_TELL, None)


def test_a_user_in_two_arms_counts_for_neither():
    """Nor do ratings of other models, or without one, or by nobody; a user who also rated those stays in the arm."""
    settings = experiment()
    one, other = users(settings, "champion", 2)
    rows = [
        RatedDay("", "m1", FIRST, 7, 7),
        day(one, None, 0, 5, 5),
        day(one, "m1", 1, 2, 1),
        day(one, "old", 1, 3, 3),
        day(other, "m1", 0, 4, 4),
        day(other, "m2", 6, 1, 1),
    ]
    counts = count_ratings(rows, settings, VERSIONS)
    assert counts.arms["champion"].rates == (1, 0.5, 0.25)
    assert counts.arms["canary"].users == 0
    assert counts.in_two_arms == 1
    assert counts.left_out == {NOBODY: 7, NO_MODEL: 5, NO_ARM: 3, TWO_ARMS: 5}


def test_a_user_with_another_arms_model_is_misrouted():
    """Counted as such, and kept where the ratings are; in an arm without a share everybody is."""
    settings = experiment()
    (mine,), (theirs,) = users(settings, "champion", 1), users(settings, "canary", 1)
    rows = sorted([day(mine, "m1", 0, 1, 1), day(theirs, "m1", 0, 1, 0)])
    assert count_ratings(rows, settings, VERSIONS).misrouted == 1
    assert count_ratings(rows, settings, VERSIONS).arms["champion"].rates == (2, 1.0, 1.0)
    assert count_ratings(rows, experiment(share=1.0), VERSIONS).misrouted == 2


def test_users_come_one_after_another():
    """Rows in another order would count a user twice: refused."""
    rows = [day("b", "m1", 0, 1, 1), day("a", "m1", 0, 1, 1)]
    with pytest.raises(DataError, match="'a' come after those of 'b'"):
        count_ratings(rows, experiment(), VERSIONS)


@pytest.mark.parametrize(
    ("rates", "change", "verdict", "words"),
    [
        ({"champion": 0.5, "canary": 0.75}, {}, "better", "above zero"),
        ({"champion": 0.75, "canary": 0.5}, {}, "not better", "below zero"),
        ({"champion": 0.6, "canary": 0.6}, {}, "cannot tell yet", "zero is not excluded, let it run on"),
        (
            {"champion": 0.6, "canary": 0.6},
            {"worthwhile": 0.2},
            "not better",
            "below the smallest worthwhile gain of +20.0 points",
        ),
    ],
)
def test_the_verdict_is_the_last_looks(rates, change, verdict, words):
    """The whole sequence above zero, below what is worthwhile, or neither."""
    settings = experiment(**change)
    found = analysed(settings, opinions(settings, **rates))
    (comparison,) = found.comparisons
    assert comparison.verdict == verdict
    assert comparison.reason.endswith(words)
    assert comparison.reason.startswith("canary minus champion in up-rate: ")
    assert "200 and 200 users" in comparison.reason
    assert (comparison.decided is not None) == (abs(rates["canary"] - rates["champion"]) > 0.1)


def test_a_sample_ratio_mismatch_outweighs_any_difference():
    """130 users where 200 should be: not to be trusted, with the numbers; at .0001 it would pass."""
    settings = experiment()
    rows = list(opinions(settings, champion=0.5, canary=0.75))
    lost = set(users(settings, "canary", 70))
    found = analysed(settings, [row for row in rows if row.user not in lost])
    assert found.is_mismatched
    assert found.mismatch.p_value == pytest.approx(0.000117, abs=2e-6)
    (comparison,) = found.comparisons
    assert comparison.verdict == "not to be trusted: sample ratio mismatch"
    assert comparison.looks[-1].sequence.low > 0
    assert comparison.reason.startswith(
        "200 users in champion (50 % wanted), 130 users in canary (50 % wanted); chi-squared, p = 0.00012"
    )
    calmer = experiment(mismatch_alpha=0.0001)
    found = analysed(calmer, [row for row in rows if row.user not in lost])
    assert found.comparisons[0].verdict == "better"


def test_nothing_rated_is_nothing_to_tell():
    """No rate, no interval, no look; one arm alone is the same."""
    settings = experiment()
    for rows in ([], [day(users(settings, "champion", 1)[0], "m1", 0, 1, 1)]):
        found = analysed(settings, rows)
        (comparison,) = found.comparisons
        assert (comparison.difference, comparison.interval, comparison.looks) == (None, None, ())
        assert comparison.reason == "canary and champion do not both have ratings yet"
        assert (found.arms[1].rate, found.arms[1].pooled_interval) == (None, None)


def test_several_arms_share_alpha():
    """Two canaries: each is held against the control at half of it, so that the sequences hold together."""
    arms = tuple(
        Arm(name=name, share=share, model=name) for name, share in (("a", 0.5), ("b", 0.25), ("c", 0.25))
    )
    settings = ExperimentSettings(name="three", arms=arms)
    versions = {arm.name: arm.model for arm in arms}
    rows = sorted(
        day(user, assign(settings, user).model, int(user) % 3, 2, int(user) % 2)
        for user in (f"{number:04}" for number in range(600))
    )
    found = analyse(settings, count_ratings(rows, settings, versions), versions, source="app", as_of=NOW)
    assert [(one.arm, one.control, one.level) for one in found.comparisons] == [
        ("b", "a", 0.025),
        ("c", "a", 0.025),
    ]
    assert "97.5 % sequence" in found.comparisons[0].reason
    assert found.users == 600
    assert found.misrouted == 0


def test_an_analysis_can_be_stored_as_it_is():
    """Written as JSON and read again it is the same."""
    settings = experiment()
    found = analysed(settings, opinions(settings, champion=0.5, canary=0.75))
    assert type(found).model_validate_json(found.model_dump_json()) == found
