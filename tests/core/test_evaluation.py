"""A contest's rows become numbers and one verdict."""

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation import (
    Contest,
    Evaluation,
    EvaluationSettings,
    Looks,
    Verdict,
    check_names,
    evaluate,
    is_enough,
    plan_looks,
)
from core.evaluation.literal import alternate

SETTINGS = EvaluationSettings(primary_metric="win")


def contest(rates, clusters=48, seasons=16, seed=0, **more):
    """Policies that win at given rates; every cluster has its own luck, a seat of twelve, several seasons."""
    random = np.random.default_rng(seed)
    luck = random.normal(0, 0.02, (1, clusters, 1))
    chance = np.clip(np.array(list(rates.values()))[:, None, None] + luck, 0, 1)
    wins = (random.random((len(rates), clusters, seasons)) < chance).reshape(len(rates), -1).astype(float)
    return Contest(
        policies=tuple(rates),
        items=tuple(f"{cluster}-{season}" for cluster in range(clusters) for season in range(seasons)),
        clusters_I=np.repeat(np.arange(clusters), seasons),
        strata_I=np.repeat(np.arange(clusters) % 12 + 1, seasons),
        values={"win": wins, "points": 100 + 10 * wins},
        cluster_name="league",
        stratum_name="seat",
        **more,
    )


def paired(differences, **settings):
    """An evaluation in which the candidate is ahead by these amounts, one item a cluster."""
    ahead = np.asarray(differences, dtype=float)
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(len(ahead)))),
        clusters_I=np.arange(len(ahead)),
        values={"win": np.stack([ahead, np.zeros_like(ahead)])},
    )
    return evaluate(rows, EvaluationSettings(primary_metric="win", **settings), {})


def test_an_easy_field_gives_better():
    """30 % against 8 % on 48 leagues of 16 seasons is better, and the reason says by how much."""
    result = evaluate(contest({"candidate": 0.3, "incumbent": 0.08}), SETTINGS, {})

    assert result.verdict is Verdict.BETTER
    assert result.primary.interval.low > 0.15
    assert "candidate minus incumbent in win: +19.3 points" in result.reason
    assert "48 leagues" in result.reason


def test_a_broken_model_gives_not_better():
    """1 % against 12 %: the whole interval lies below zero."""
    result = evaluate(contest({"candidate": 0.01, "incumbent": 0.12}), SETTINGS, {})

    assert result.verdict is Verdict.NOT_BETTER
    assert result.reason.endswith("below zero")


def test_few_leagues_give_cannot_tell():
    """Five leagues have too few sign patterns to exclude anything; twelve equals don't either."""
    few = evaluate(contest({"candidate": 0.3, "incumbent": 0.08}, clusters=5), SETTINGS, {})
    equal = evaluate(contest({"candidate": 0.12, "incumbent": 0.12}, clusters=12, seed=4), SETTINGS, {})

    assert (few.verdict, few.primary.interval) == (Verdict.CANNOT_TELL, None)
    assert equal.verdict is Verdict.CANNOT_TELL
    assert "likely to be missed" in equal.reason


def test_the_same_model_twice_gives_cannot_tell():
    """Policies that never differ leave no interval, whatever the number of clusters."""
    assert paired(np.zeros(100)).verdict is Verdict.CANNOT_TELL


def test_one_cluster_gives_cannot_tell():
    """One league is an anecdote."""
    result = paired([1.0])

    assert result.verdict is Verdict.CANNOT_TELL
    assert result.minimum_detectable_effect is None


def test_invalid_answers_give_not_better():
    """A candidate that wins by answers somebody else had to replace is not better."""
    counts = {"candidate": {"decisions": 200, "invalid": 3, "substituted": 5}}
    result = evaluate(contest({"candidate": 0.3, "incumbent": 0.08}, counts=counts), SETTINGS, {})

    assert result.verdict is Verdict.NOT_BETTER
    assert result.validity[0].rate == 0.025
    assert "2.5 %" in result.reason


@pytest.mark.parametrize(
    ("invalid", "margin", "verdict"),
    [
        (9, 0.01, Verdict.NOT_BETTER),
        (6, 0.01, Verdict.BETTER),
        (9, 0.03, Verdict.BETTER),
        (0, 0.0, Verdict.BETTER),
    ],
)
def test_answers_may_not_become_unusable_more_often(invalid, margin, verdict):
    """However many are allowed, a candidate with more of them than the incumbent, by more than the margin, is not better."""
    counts = {
        "candidate": {"decisions": 200, "invalid": invalid, "substituted": 0},
        "incumbent": {"decisions": 200, "invalid": 4, "substituted": 4},
    }
    settings = EvaluationSettings(primary_metric="win", invalid_rate_limit=0.5, invalid_rate_margin=margin)
    result = evaluate(contest({"candidate": 0.3, "incumbent": 0.08}, counts=counts), settings, {})

    assert result.verdict is verdict
    if verdict is Verdict.NOT_BETTER:
        assert result.reason == (
            "4.5 % of candidate's 200 decisions were invalid or substituted, of incumbent's 2.0 %: at most 1.0 points more "
            "may be"
        )


def test_a_gain_not_worth_it_gives_not_better():
    """A sure gain of .010 to .012 is not better when .02 is the least that is worth a change."""
    ahead = np.tile([0.010, 0.012], 20)

    assert paired(ahead).verdict is Verdict.BETTER
    assert paired(ahead, worthwhile=0.02).verdict is Verdict.NOT_BETTER


def test_a_contest_unfair_to_itself_gives_cannot_tell():
    """When a policy beats itself at p < .001 the seats, not the policies, were measured."""
    rows = contest({"candidate": 0.3, "incumbent": 0.08})
    unfair = contest({"again": 0.3, "base": 0.08}, seed=1)
    fair = contest({"again": 0.1, "base": 0.1}, seed=1)

    assert evaluate(rows, SETTINGS, {}, aa=unfair).verdict is Verdict.CANNOT_TELL
    assert evaluate(rows, SETTINGS, {}, aa=fair).verdict is Verdict.BETTER


def test_equal_policies_are_seldom_called_better():
    """Of 200 contests between equals on 12 leagues about 2.5 % end in 'better'."""
    verdicts = [
        evaluate(contest({"candidate": 0.12, "incumbent": 0.12}, 12, 8, seed), SETTINGS, {}).verdict
        for seed in range(200)
    ]

    assert verdicts.count(Verdict.BETTER) <= 12
    assert verdicts.count(Verdict.NOT_BETTER) <= 12


def test_estimates_by_hand():
    """Three clusters with means 0, 1 and .5: mean .5, standard error .2887, t 4.303, kept within [0, 1]."""
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=("a", "b", "c", "d", "e", "f"),
        clusters_I=np.array([0, 0, 1, 1, 2, 2]),
        values={"win": np.array([[0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]], dtype=float)},
    )
    result = evaluate(rows, SETTINGS, {})
    ours, theirs = result.estimate("candidate", "win"), result.estimate("incumbent", "win")

    assert (ours.mean, ours.interval.low, ours.interval.high) == (0.5, 0.0, 1.0)
    assert (theirs.mean, theirs.interval.low) == (0.0, 0.0)
    assert theirs.interval.high == pytest.approx(0.5615, abs=1e-4)  # Wilson, 0 of 3 clusters


def test_missing_values_are_left_out_in_pairs():
    """An item that one of the two lacks counts for neither, and is counted as missing."""
    result = paired([0.5, np.nan, 0.25, 0.25])

    assert (result.primary.difference, result.primary.clusters, result.primary.missing) == (
        pytest.approx(1 / 3),
        3,
        1,
    )


def test_strata_by_hand():
    """Seats are compared one by one and corrected for their number; wins of a seat are shares."""
    rows = contest(
        {"candidate": 0.3, "incumbent": 0.08}, stratum_wins=dict.fromkeys(range(1, 13), 5) | {1: 25}
    )
    result = evaluate(rows, SETTINGS, {})

    assert [one.stratum for one in result.strata] == list(range(1, 13))
    assert all(one.clusters == 4 and one.p_holm >= one.p_value for one in result.strata)
    assert result.strata[0].share_of_wins == 25 / 80
    assert result.strata_fit.p_value < 1e-4


def test_clusters_go_to_the_two_arms_in_turn_within_each_stratum():
    """Three leagues of seat 1 and three of seat 2: each arm gets three, and each seat is shared."""
    strata = np.array([1, 2, 1, 2, 1, 2])

    assert alternate(strata).tolist() == [True, False, False, True, True, False]


def test_the_literal_test_by_hand():
    """24 leagues, one season each: 9 of the candidate's 12 against 3 of the baseline's other 12."""
    ours, theirs = np.tile([1.0, 0.0, 1.0, 1.0], 6), np.tile([0.0, 1.0, 0.0, 0.0], 6)
    theirs[[1, 5, 9]] = 0.0
    ours[[0, 4, 8]] = 0.0
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(24))),
        clusters_I=np.arange(24),
        values={"win": np.stack([ours, theirs])},
    )
    test = evaluate(rows, SETTINGS, {}).literal

    assert (test.wins, test.trials, test.other_wins, test.other_trials) == (9, 12, 3, 12)
    assert (test.test.method, test.test.statistic) == ("chi-squared", pytest.approx(6.0))
    assert (test.only_candidate, test.only_other) == (15, 3)
    assert test.paired.p_value == pytest.approx(2 * (1 + 18 + 153 + 816) / 2**18)


def test_no_literal_test_of_what_is_not_won_or_lost():
    """Points are no proportions."""
    result = evaluate(
        contest({"candidate": 0.3, "incumbent": 0.08}), EvaluationSettings(primary_metric="points"), {}
    )

    assert result.literal is None
    assert result.rates == ("win",)


@pytest.mark.parametrize(
    ("clusters", "looks", "expected"),
    [
        (1000, 4, (288, 480, 768, 1000)),
        (2400, 4, (576, 1152, 1824, 2400)),
        (192, 4, (48, 96, 144, 192)),
        (1000, 1, (1000,)),
        (100, 2, (48, 100)),
    ],
)
def test_looks_come_after_whole_blocks_or_whole_rounds_of_seats(clusters, looks, expected):
    """Blocks of 96 leagues where every look then has 48 new ones, else dozens; the last look has whatever is left."""
    settings = SETTINGS.model_copy(update={"looks": looks})

    assert plan_looks(settings, clusters, (96, 12)).clusters == expected


def test_looks_without_room_are_not_planned():
    """48 leagues in 4 looks hold 12 each: one test at the end, and the note says why."""
    settings = SETTINGS.model_copy(update={"looks": 4})
    looks = plan_looks(settings, 48, (96, 12), "league")
    result = evaluate(contest({"candidate": 0.3, "incumbent": 0.08}, looks=looks), settings, {})

    assert looks.clusters == (48,)
    assert result.sequential.looks == ()
    assert result.sequential.note == (
        "no early looks: 4 of them in 48 leagues leave one with 12 new leagues, and 48 are needed; "
        "tested once, at the end"
    )
    assert (result.primary.level, result.primary.repeated) == (0.05, False)


FOUR_LOOKS = SETTINGS.model_copy(update={"looks": 4})
PLAN = Looks(clusters=(48, 96, 144, 192))


def play(rates, seed=0, seasons=4):
    """A contest that goes on until the evaluation has seen enough."""
    for clusters in PLAN.clusters:
        rows = contest(rates, clusters, seasons, seed, looks=PLAN)
        if is_enough(rows, FOUR_LOOKS):
            break
    return rows


def test_a_clear_winner_stops_at_an_early_look():
    """The first look that crosses ends it, and the verdict says what was not played."""
    result = evaluate(play({"candidate": 0.5, "incumbent": 0.08}), FOUR_LOOKS, {})

    assert [look.crossed for look in result.sequential.looks] == [True]
    assert (result.sequential.stopped_early, result.clusters, result.primary.clusters) == (True, 48, 48)
    assert result.sequential.note == "stopped at look 1 of 4 after 48 of 192 leagues"
    assert result.verdict is Verdict.BETTER


def test_the_interval_of_an_early_look_is_wider():
    """At look 2 of 4 it spans 2.863 standard errors (t of 95 clusters: 2.95) and covers 95 % over all looks."""
    rows = contest({"candidate": 0.16, "incumbent": 0.12}, clusters=96, seasons=4, looks=PLAN)
    fixed = evaluate(contest({"candidate": 0.16, "incumbent": 0.12}, 96, 4), SETTINGS, {}).primary
    result = evaluate(rows, FOUR_LOOKS, {})
    repeated = result.primary

    assert (repeated.difference, repeated.standard_error) == (fixed.difference, fixed.standard_error)
    assert (repeated.level, repeated.repeated, repeated.method) == (
        0.05,
        True,
        "paired t, repeated over 4 looks",
    )
    half = (repeated.interval.high - repeated.interval.low) / 2
    assert half == pytest.approx(2.937 * fixed.standard_error, rel=2e-3)
    assert repeated.p_value > fixed.p_value
    assert "95 % repeated interval" in result.reason
    assert result.comparisons[0] == repeated


def test_interval_and_p_value_agree_at_every_look():
    """Zero lies outside the repeated interval exactly when the bound is crossed and p is at most 5 %."""
    for seed in range(6):
        for clusters in PLAN.clusters:
            rows = contest({"candidate": 0.18, "incumbent": 0.11}, clusters, 4, seed, looks=PLAN)
            result = evaluate(rows, FOUR_LOOKS, {})
            crossed = result.sequential.looks[-1].crossed
            assert crossed == (result.primary.p_value <= 0.05) == (not result.primary.interval.holds(0.0))


def test_stopping_does_not_inflate_the_level():
    """Of 100 contests between equals about 5 % end in 'better' or 'not better', wherever they ended."""
    verdicts = [
        evaluate(play({"candidate": 0.12, "incumbent": 0.12}, seed), FOUR_LOOKS, {}).verdict
        for seed in range(100)
    ]

    assert verdicts.count(Verdict.CANNOT_TELL) >= 88


def test_a_contest_without_a_winner_is_played_to_the_end():
    """Nothing stopped, and nothing says so."""
    result = evaluate(play({"candidate": 0.12, "incumbent": 0.12}, seed=4), FOUR_LOOKS, {})

    assert [look.crossed for look in result.sequential.looks] == [False] * 4
    assert not result.sequential.stopped_early
    assert result.sequential.note == "played to the end: 4 looks, 192 leagues"


def test_a_look_that_is_not_due_is_refused():
    """60 leagues are between two looks: there is no bound for them."""
    rows = contest({"candidate": 0.12, "incumbent": 0.12}, clusters=60, looks=PLAN)
    with pytest.raises(
        DataError, match="no look is due after 60 leagues: play on, looks are after 48, 96, 144, 192"
    ):
        is_enough(rows, FOUR_LOOKS)


def test_rows_played_in_one_go_are_tested_once():
    """Looks that were not planned before playing can't be had afterwards."""
    result = evaluate(contest({"candidate": 0.3, "incumbent": 0.08}, clusters=192), FOUR_LOOKS, {})

    assert result.sequential.looks == ()
    assert result.sequential.note == "played in one go, and tested once, at the end"


def test_power_by_hand():
    """Differences of +-.1 on 32 clusters: standard error .1016/sqrt(32), effect (2.0395 + .8534) of them."""
    result = paired(np.tile([0.2, 0.0], 16))

    assert result.minimum_detectable_effect == pytest.approx((2.0395 + 0.8534) * 0.1016 / 32**0.5, abs=1e-4)
    assert result.clusters_needed == 9  # 7.849 * (.1016 / .1)^2 = 8.1


def test_an_evaluation_survives_json_and_knows_itself():
    """Stored and read again it is equal, with the same id; other evidence is another evaluation."""
    rows = contest({"candidate": 0.3, "incumbent": 0.08})
    result = evaluate(rows, SETTINGS, {"code revision": "abc"})
    again = Evaluation.model_validate_json(result.model_dump_json())

    assert again == result
    assert again.id == result.id
    assert evaluate(rows, SETTINGS, {"code revision": "abd"}).id != result.id


def test_a_contest_is_saved_byte_for_byte(tmp_path):
    """Saved, loaded and saved again it is the same bytes and the same evaluation."""
    rows = contest(
        {"candidate": 0.3, "incumbent": 0.08},
        counts={"candidate": {"decisions": 7}},
        stratum_wins={1: 2, 2: 3},
        looks=Looks(clusters=(48,), note="a fixed design"),
        design={"seed": "7"},
    )
    rows.save(tmp_path / "first")
    again = Contest.load(tmp_path / "first")
    again.save(tmp_path / "second")

    for name in ("contest.npz", "contest.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert evaluate(again, SETTINGS, {}).id == evaluate(rows, SETTINGS, {}).id


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_broken_contest_is_refused_in_words(tmp_path, content):
    """A cut file is one clear line."""
    contest({"candidate": 0.3, "incumbent": 0.08}).save(tmp_path)
    (tmp_path / "contest.npz").write_bytes(content)

    with pytest.raises(DataError, match="no readable contest"):
        Contest.load(tmp_path)


def test_rows_are_what_was_played():
    """A contest is rows of policy, item, cluster, metric and value; a missing value is no row."""
    rows = Contest(
        policies=("a", "b"),
        items=("x", "y"),
        clusters_I=np.array([3, 4]),
        values={"win": np.array([[1.0, np.nan], [0.0, 1.0]])},
    )

    assert list(rows.rows()) == [
        ("a", "x", 3, "win", 1.0),
        ("b", "x", 3, "win", 0.0),
        ("b", "y", 4, "win", 1.0),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policies": ("a", "a")}, "names of their own"),
        ({"values": {}}, "at least one item"),
        ({"clusters_I": np.array([1])}, "clusters have shape"),
        ({"values": {"win": np.zeros((1, 2))}}, "'win' has shape"),
        ({"values": {"win": np.full((2, 2), np.inf)}}, "infinite"),
        ({"counts": {"c": {}}}, "did not play: c"),
    ],
)
def test_a_contest_that_does_not_fit_together_is_refused(change, message):
    """Shapes and names are checked where the contest is made."""
    whole = {
        "policies": ("a", "b"),
        "items": ("x", "y"),
        "clusters_I": np.array([0, 1]),
        "values": {"win": np.zeros((2, 2))},
    }
    with pytest.raises(DataError, match=message):
        Contest(**(whole | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"incumbent": "nobody"}, "'nobody' did not play: candidate, incumbent did"),
        ({"primary_metric": "titles"}, "'titles' was not measured: win, points were"),
    ],
)
def test_settings_that_name_nobody_are_refused(change, message):
    """What the settings name must have played."""
    with pytest.raises(DataError, match=message):
        evaluate(contest({"candidate": 0.3, "incumbent": 0.08}), SETTINGS.model_copy(update=change), {})


def test_policies_without_a_common_item_are_refused():
    """Nothing in common, nothing to compare."""
    with pytest.raises(DataError, match="no item"):
        paired([np.nan, np.nan])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"primary_metric": "wins"},
            "primary_metric 'wins' is not in this contest: choose one of win, points",
        ),
        (
            {"incumbent": "nobody"},
            "incumbent 'nobody' is not in this contest: choose one of candidate, incumbent",
        ),
        ({"literal_against": "vor"}, "literal_against 'vor' is not in this contest"),
    ],
)
def test_names_are_checked_before_anything_is_played(change, message):
    """For a config's validator: what a contest will hold is known before."""
    with pytest.raises(ValueError, match=message):
        check_names(SETTINGS.model_copy(update=change), ("win", "points"), ("candidate", "incumbent"))
    assert check_names(SETTINGS, ("win",), ("candidate", "incumbent")) is SETTINGS


def test_nothing_is_compared_with_itself():
    """Candidate and incumbent have names of their own."""
    with pytest.raises(ValueError, match="can't be compared with itself"):
        EvaluationSettings(primary_metric="win", incumbent="candidate")


def test_only_what_ends_a_contest_early_belongs_to_it():
    """A fixed design is the same contest at another level; one with looks is not."""
    assert EvaluationSettings(primary_metric="win", alpha=0.01).stopping == {}
    assert FOUR_LOOKS.stopping != EvaluationSettings(primary_metric="win", alpha=0.01, looks=4).stopping
    assert FOUR_LOOKS.stopping == FOUR_LOOKS.model_copy(update={"worthwhile": 0.01}).stopping
