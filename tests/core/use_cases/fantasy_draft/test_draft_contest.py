"""The tournament's rows: everyone in the same seats of the same leagues, and what the models say of themselves."""

from collections import Counter

import numpy as np
import pytest

from core.checkpoint import Checkpoint, weights_digest
from core.config import load_config
from core.errors import ConfigError
from core.evaluation import Verdict, evaluate
from core.use_cases.fantasy_draft.baselines import BASELINES, SAMPLED
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.contest import contest
from core.use_cases.fantasy_draft.drafter import Drafter, Models
from core.use_cases.fantasy_draft.shortlist import Shortlist

LEAGUES, SEASONS, ROUNDS = 12, 2, 16


def given(folder) -> Checkpoint:
    return Checkpoint(
        kind="merged", path=str(folder), sha256=weights_digest(folder), base_model=str(folder), method="given"
    )


@pytest.fixture(scope="module")
def played(letter_model):
    """A model that always likes the first letters against one that likes the last; and what was told on the way."""
    first, last = given(letter_model("ABCDEFGH")), given(letter_model("HGFEDCBA"))
    overrides = {"players.source": "synthetic", "contest.leagues": LEAGUES, "contest.seasons": SEASONS}
    config = load_config(FantasyDraftConfig, "fantasy_draft", "demo", overrides)
    told: list[tuple[float, str]] = []
    entrants = {"candidate": first, "incumbent": last, "untrained": last}
    rows, aa = contest(config, None, entrants, lambda share, words: told.append((share, words)))
    return rows, aa, told


@pytest.fixture(scope="module")
def rows(played):
    return played[0]


def in_two_looks(candidate, incumbent, entrant):
    """96 leagues in two looks of 48; the contest, its A/A rows, what they prove, and what was told on the way."""
    overrides = {
        "players.source": "synthetic",
        "contest.leagues": 96,
        "contest.seasons": 1,
        "evaluation.primary_metric": "points",
        "evaluation.candidate": candidate,
        "evaluation.incumbent": incumbent,
        "evaluation.literal_against": incumbent,
        "evaluation.looks": 2,
    }
    config = load_config(FantasyDraftConfig, "fantasy_draft", "demo", overrides)
    told: list[tuple[float, str]] = []
    models = dict.fromkeys(("candidate", "incumbent", "untrained"), entrant)
    rows, aa = contest(config, None, models, lambda share, words: told.append((share, words)))
    return rows, aa, evaluate(rows, config.evaluation, {}, aa=aa), told


@pytest.fixture(scope="module")
def easy(letter_model):
    """VONA against random: seen at a glance."""
    return in_two_looks("VONA", "random", given(letter_model("ABCDEFGH")))


@pytest.fixture(scope="module")
def null(letter_model):
    """A model against itself: nothing to find."""
    return in_two_looks("candidate", "incumbent", given(letter_model("ABCDEFGH")))


def of(rows, policy):
    return {metric: rows.values_of(policy, metric) for metric in rows.values}


def test_models_come_first_then_every_baseline(rows):
    """By the names that the report prints."""
    assert rows.policies == ("candidate", "incumbent", "untrained", SAMPLED, *BASELINES)
    assert set(BASELINES) >= {
        "greedy VOR",
        "VOR + needs",
        "ADP + needs",
        "VONA",
        "random",
        "first of the shortlist",
    }


def test_items_are_seasons_of_leagues_in_balanced_seats(rows):
    """12 leagues x 2 seasons: a league counts once as a cluster, and each seat is ours in one league."""
    assert len(rows.items) == LEAGUES * SEASONS
    assert rows.items[:3] == ("L0000-S00", "L0000-S01", "L0001-S00")
    assert rows.clusters_I.tolist() == np.repeat(np.arange(LEAGUES), SEASONS).tolist()
    assert Counter(rows.strata_I.tolist()) == dict.fromkeys(range(1, 13), SEASONS)


def test_a_model_that_likes_the_first_letters_is_first_of_the_shortlist(rows):
    """Asked through prompts and letters, it makes the very picks that the script makes: every figure is equal."""
    for metric, values in of(rows, "candidate").items():
        assert values.tolist() == rows.values_of("first of the shortlist", metric).tolist(), metric


def test_a_model_that_likes_the_last_letters_drafts_worse(rows):
    """In points a week, on average over the leagues."""
    assert rows.values_of("incumbent", "points").mean() < rows.values_of("candidate", "points").mean() - 2


def test_one_checkpoint_under_two_names_plays_once(rows):
    """The untrained incumbent: the same figures, and the same seconds to the last digit."""
    assert rows.counts["untrained"] == rows.counts["incumbent"]
    assert of(rows, "untrained")["points"].tolist() == of(rows, "incumbent")["points"].tolist()


def test_decisions_are_those_that_were_asked(rows):
    """A script decides all 16 picks of a league; a model is not asked where one letter is legal; all are valid."""
    for counts in rows.counts.values():
        assert counts["picks"] == LEAGUES * ROUNDS
        assert counts["invalid"] == counts["substituted"] == 0
    assert rows.counts["VONA"]["decisions"] == LEAGUES * ROUNDS
    for model in ("candidate", "incumbent", SAMPLED):
        assert 0.8 * LEAGUES * ROUNDS < rows.counts[model]["decisions"] < LEAGUES * ROUNDS
        assert rows.counts[model]["tokens"] > 50 * rows.counts[model]["decisions"]


def test_the_confidence_is_a_histogram_of_what_was_asked(rows):
    """A model with fixed likes is sure of itself: every pick lies in the last bin."""
    counts = rows.counts["candidate"]
    bins = [counts[f"confidence bin {place:02d}"] for place in range(20)]
    assert sum(bins) == bins[-1] == counts["decisions"]
    assert counts["confidence"] > 0.99
    assert counts["entropy"] < 0.05


def test_titles_are_won_by_one_seat_a_season(rows):
    """The seats' wins, one season a league, add up to the leagues; titles are 0 or 1."""
    assert sum(rows.stratum_wins.values()) == LEAGUES
    assert set(rows.stratum_wins) <= set(range(1, 13))
    assert set(np.unique(rows.values["title"])) <= {0.0, 1.0}


def test_the_aa_row_is_a_baseline_against_itself_with_other_dice(played):
    """Two policies on the same items that are not the very same rows."""
    _, aa, _ = played
    assert aa.policies == ("VOR + needs, dice 1", "VOR + needs, dice 2")
    assert not np.array_equal(*aa.values["points"])


def test_progress_goes_up_to_one(played):
    """The shares never go back, and name who plays."""
    _, _, told = played
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0] > 0, shares[-1]) == (True, 1.0)
    assert told[0][1] == "candidate: 12 decisions, up to league 12 of 12"


def test_a_sampled_pick_is_the_leagues_own_dice(letter_model):
    """A model that likes all letters alike takes the n-th of the legal ones where its number falls."""
    from core.language.choice import ChoicePolicy  # noqa: PLC0415  (torch)

    legal_N_C = np.array([[0, 1, 0, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 0, 0, 0]], bool)
    zeros_N_C = np.zeros((2, 8), int)
    shortlist = Shortlist(
        rounds_N=np.array([0, 5]),
        legal_N_C=legal_N_C,
        **dict.fromkeys(
            (
                "players_N_C",
                "positions_N_C",
                "gains_N_C",
                "drops_N_C",
                "owned_N_C",
                "slots_N_C",
                "teacher_scores_N_C",
            ),
            zeros_N_C,
        ),
    )
    model = ChoicePolicy(given(letter_model("")), dtype="fp32")
    drafter = Drafter(lambda: model, greedy=False, asked=lambda _n: None)
    for luck, places in (((0.1, 0.1), [1, 0]), ((0.5, 0.49), [4, 0]), ((0.9, 0.51), [6, 2])):
        numbers = np.stack([luck, luck], axis=1)
        assert drafter.choose(shortlist, numbers).tolist() == places
    assert drafter.counts()["decisions"] == 6
    assert drafter.counts()["confidence"] == pytest.approx((1 / 3 + 1 / 2) / 2, abs=1e-5)
    assert drafter.counts()["chance"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert drafter.counts()["entropy"] == pytest.approx((np.log(3) + np.log(2)) / 2, abs=1e-4)


def test_a_clear_difference_ends_the_contest_at_an_early_look(easy):
    """Everyone has played the same 48 leagues, balanced over the seats, and rows and evaluation say so."""
    rows, aa, evaluation, told = easy

    assert rows.looks.clusters == (48, 96)
    assert rows.clusters == aa.clusters == 48
    assert Counter(rows.strata_I.tolist()) == dict.fromkeys(range(1, 13), 4)
    assert {counts["picks"] for counts in rows.counts.values()} == {48 * ROUNDS}
    assert rows.design["leagues"] == "48 of 96 planned, 12 seats in turn"
    assert evaluation.verdict is Verdict.BETTER
    assert evaluation.sequential.stopped_early
    assert evaluation.sequential.note == "stopped at look 1 of 2 after 48 of 96 leagues"
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_nothing_to_find_is_played_to_the_end(null):
    """One checkpoint as candidate and incumbent never differs: both looks are taken, and nothing stopped."""
    rows, _, evaluation, _ = null

    assert rows.clusters == 96
    assert [look.crossed for look in evaluation.sequential.looks] == [False, False]
    assert evaluation.verdict is Verdict.CANNOT_TELL
    assert evaluation.sequential.note == "played to the end: 2 looks, 96 leagues"


def test_what_was_played_is_the_start_of_the_whole_contest(easy, null):
    """The leagues of a contest that stopped early are, value for value, the first of one that went on."""
    assert easy[0].policies == null[0].policies
    for part, whole in zip(easy[:2], null[:2], strict=True):
        assert part.items == whole.items[: len(part.items)]
        for metric, values_P_I in part.values.items():
            assert np.array_equal(values_P_I, whole.values[metric][:, : len(part.items)]), metric


def test_models_stay_in_memory_between_looks(letter_model):
    """Two small ones beside each other; ones too large for that one at a time."""
    first, last = given(letter_model("ABCDEFGH")), given(letter_model("HGFEDCBA"))
    models = Models(dtype="fp32", keep=True)
    assert models.open(first) is models.open(first)
    models.open(last)
    assert set(models.ready) == {first.sha256, last.sha256}


def test_large_models_take_turns_in_memory(letter_model, monkeypatch):
    """What a small card has room for once is not loaded twice."""
    monkeypatch.setattr("core.use_cases.fantasy_draft.drafter.BYTES_KEPT", 0)
    first, last = given(letter_model("ABCDEFGH")), given(letter_model("HGFEDCBA"))
    models = Models(dtype="fp32", keep=True)
    models.open(first)
    models.open(last)
    assert set(models.ready) == {last.sha256}


@pytest.mark.parametrize(
    ("key", "value", "offer"),
    [
        ("primary_metric", "titel", "choose one of title, playoffs, wins, points"),
        (
            "literal_against",
            "greedy",
            "choose one of candidate, incumbent, untrained, candidate, sampled, random",
        ),
        ("candidate", "the best", "'the best' is not in this contest"),
        ("incumbent", "champion", "'champion' is not in this contest"),
        ("incumbent", "candidate", "'candidate' can't be compared with itself"),
    ],
)
def test_a_mistyped_name_is_refused_before_any_work(key, value, offer):
    """With the config, on one line, and with the choices there are."""
    with pytest.raises(ConfigError) as caught:
        load_config(FantasyDraftConfig, "fantasy_draft", "demo", {f"evaluation.{key}": value})
    assert offer in str(caught.value)
    assert "\n" not in str(caught.value)
