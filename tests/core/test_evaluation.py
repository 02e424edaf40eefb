"""A contest's rows become numbers and one verdict."""

from itertools import pairwise

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation import Contest, Evaluation, EvaluationSettings, Verdict, evaluate
from core.evaluation.literal import alternate
from core.evaluation.sequential import compare_sequentially

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


def test_a_policy_can_play_twice_in_the_contest_itself():
    """The A/A row may come from the contest; the second name is no baseline of its own."""
    settings = SETTINGS.model_copy(update={"aa_policies": ("base", "base again")})
    rates = {"candidate": 0.3, "incumbent": 0.08, "base": 0.1, "base again": 0.1}
    result = evaluate(contest(rates), settings, {})

    assert result.aa.policy == "base again"
    assert [one.policy for one in result.comparisons] == ["incumbent", "base"]


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


def test_looks_without_room_are_not_taken():
    """48 leagues in 4 looks hold 12 each: one test at the end, and the note says why."""
    result = evaluate(
        contest({"candidate": 0.3, "incumbent": 0.08}), SETTINGS.model_copy(update={"looks": 4}), {}
    )

    assert result.sequential.looks == ()
    assert result.sequential.note.startswith("4 looks would hold 12 leagues each and 48 are needed")
    assert result.primary.level == 0.05


def test_looks_with_unequal_strata_are_not_taken():
    """All of seat 1 first is no fair look."""
    rows = contest({"candidate": 0.3, "incumbent": 0.08}, clusters=96, seasons=1)
    unfair = Contest(rows.policies, rows.items, rows.clusters_I, rows.values, np.sort(rows.strata_I))
    note = evaluate(unfair, SETTINGS.model_copy(update={"looks": 2}), {}).sequential.note

    assert "unequal numbers" in note


def test_a_clear_winner_stops_at_an_early_look():
    """The first look that crosses ends it; difference, interval and level are those of that look."""
    settings = SETTINGS.model_copy(update={"looks": 4})
    result = evaluate(contest({"candidate": 0.5, "incumbent": 0.08}, clusters=192, seasons=4), settings, {})

    assert result.sequential.stopped_early
    assert result.primary.clusters == result.sequential.looks[-1].clusters < 192
    assert all(not early.crossed for early, _ in pairwise(result.sequential.looks))
    assert result.primary.level < 0.01
    assert result.verdict is Verdict.BETTER


def test_a_contest_still_being_played_is_judged_by_its_plan():
    """96 of 192 planned leagues are the second of four looks, at the second bound."""
    settings = SETTINGS.model_copy(update={"looks": 4})
    rows = contest({"candidate": 0.12, "incumbent": 0.12}, clusters=96, seasons=4)
    _, design = compare_sequentially(rows, settings, planned_clusters=192)

    assert [(look.number, look.clusters) for look in design.looks] == [(1, 48), (2, 96)]
    assert design.looks[1].bound == pytest.approx(2.863, abs=1e-3)
    with pytest.raises(DataError, match="first look needs 100"):
        compare_sequentially(rows, settings, planned_clusters=400)


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
        ({"incumbent": "candidate"}, "can't be compared with itself"),
        ({"incumbent": "nobody"}, "'nobody' did not play: candidate, incumbent did"),
        ({"baselines": ("random",)}, "'random' did not play"),
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
