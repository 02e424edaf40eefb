"""Seasons: what players score, who starts, who wins."""

import numpy as np
import pytest

from core.use_cases.fantasy_draft.lineup import NOBODY, SLOTS, Rosters, best_lineup, by_position, ranked
from core.use_cases.fantasy_draft.playoffs import ROUND_ROBIN, count_wins, play_off, play_season
from core.use_cases.fantasy_draft.rules import POOL_OFFSETS, POOL_SIZE, QB, ROUNDS, TEAMS, WEEKS, WR
from core.use_cases.fantasy_draft.season import PassingGame, draw_season, skewed_weeks
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers


def _season(leagues: int = 96, seed: int = 0):
    pool = SyntheticPlayers().draw(leagues, np.random.default_rng(seed))
    return pool, draw_season(pool, PassingGame(pool), np.random.default_rng(seed + 1))


def test_weeks_keep_their_mean_and_are_never_far_below_zero():
    """The gamma approximation has the mean it is given, and a long right tail."""
    z = np.random.default_rng(3).standard_normal((400, WEEKS, POOL_SIZE)).astype(np.float32)
    means = np.full((400, POOL_SIZE), 12, np.float32)

    points = skewed_weeks(means, z)

    assert points.mean() == pytest.approx(12, rel=0.01)
    assert points.min() > -1
    assert np.mean((points - points.mean()) ** 3) > 0


def test_nobody_plays_on_his_bye_and_players_get_hurt():
    """A bye is a NaN; running backs miss more games than quarterbacks."""
    pool, points = _season()
    plays = ~np.isnan(points)
    byes = np.arange(1, WEEKS + 1)[None, :, None] == pool.bye_weeks_L_P[:, None]

    assert not plays[byes].any()
    by_position = [plays[:, :, POOL_OFFSETS[p] : POOL_OFFSETS[p + 1]].mean() for p in range(6)]
    assert by_position[1] < by_position[0] < by_position[5]


def test_a_quarterback_shares_his_week_with_his_first_receiver_only():
    """Measured correlations: .37 with the first receiver, none with another team's."""
    pool = SyntheticPlayers().draw(96, np.random.default_rng(0))
    z = np.random.default_rng(1).standard_normal((96, 200, POOL_SIZE)).astype(np.float32)
    before = z.copy()

    PassingGame(pool).share_weeks(z)

    rows = np.arange(96)
    receivers = np.arange(POOL_OFFSETS[WR], POOL_OFFSETS[WR + 1])
    same = pool.nfl_teams_L_P[:, receivers] == pool.nfl_teams_L_P[:, :1]
    has, first = same.any(axis=1), receivers[same.argmax(axis=1)]
    stranger = receivers[(~same).argmax(axis=1)]
    quarterback = z[rows, :, QB]
    assert np.corrcoef(quarterback[has].ravel(), z[rows, :, first][has].ravel())[0, 1] == pytest.approx(
        0.37, abs=0.03
    )
    assert np.corrcoef(quarterback.ravel(), z[rows, :, stranger].ravel())[0, 1] == pytest.approx(0, abs=0.03)
    assert z[:, :, :32].std() == pytest.approx(1, abs=0.01)
    assert (z[:, :, 32:] == before[:, :, 32:]).all()


def test_best_lineup_by_hand():
    """QB 20, RB 15+12, WR 14+13, TE 9, FLEX 11 (the third back beats the third receiver), K 8, DST 7."""
    points = np.full(SLOTS, NOBODY)
    points[[0, 1]] = 20, 18
    points[[2, 3, 4]] = 11, 15, 12
    points[[8, 9, 10]] = 10, 13, 14
    points[[15, 16]] = 9, 5
    points[[17, 18]] = 8, 7

    assert best_lineup(points, points, np.zeros(6)) == 20 + 15 + 12 + 14 + 13 + 9 + 11 + 8 + 7


def test_an_empty_slot_is_filled_from_the_waiver_wire():
    """With nobody but a quarterback, every other starter is the waiver wire's, the FLEX its better one."""
    points = np.full(SLOTS, NOBODY)
    points[0] = 20
    waiver = np.array([10.0, 6, 7, 4, 3, 2])

    assert best_lineup(points, points, waiver) == 20 + 2 * 6 + 2 * 7 + 4 + 7 + 3 + 2


def test_managers_choose_by_what_they_know_and_get_what_comes():
    """Keys choose, points count: the wrong quarterback starts when his key is higher."""
    keys, points = np.full(SLOTS, NOBODY), np.zeros(SLOTS)
    keys[[0, 1]] = 20, 18
    points[[0, 1]] = 3, 30

    assert best_lineup(keys, points, np.zeros(6)) == 3


def test_ranked_keeps_players_and_their_points_together():
    """Three of five by key, with the points that belong to them."""
    keys, points = np.array([3.0, 5, 1, 4, 2]), np.array([30.0, 50, 10, 40, 20])

    assert [(float(k), float(p)) for k, p in ranked(keys, points, 3)] == [(5, 50), (4, 40), (3, 30)]


def test_rosters_are_laid_out_by_position():
    """Slots 0-1 quarterbacks, 2-7 backs, 8-14 receivers, 15-16 tight ends, 17 kicker, 18 defence."""
    picks = np.array([[32, 104, 0, 33, 184, 212, 226, -1]])

    laid_out = by_position(picks)[:, 0]

    assert laid_out[[0, 2, 3, 8, 15, 17, 18]].tolist() == [0, 32, 33, 104, 184, 212, 226]
    assert (laid_out >= 0).sum() == 7


def test_a_week_can_not_change_the_weeks_before_it_nor_who_starts_in_it():
    """Line-ups are set before the games: scores of earlier weeks stay when a later week changes."""
    pool, points = _season(leagues=4)
    rosters = _legal_rosters(4)
    teams = Rosters.of(pool, rosters, np.ones((4, POOL_SIZE), bool))
    before = teams.weekly_scores(points)
    changed = points.copy()
    changed[:, 9] += 100

    after = teams.weekly_scores(changed)

    assert (after[:, :9] == before[:, :9]).all()
    started = (after[:, 9] - before[:, 9]) / 100
    assert np.allclose(started, np.round(started), atol=1e-3)
    assert (started <= 9.001).all()


def _legal_rosters(leagues: int) -> np.ndarray:
    """Twelve rosters of 16 that share nobody: 1 QB, 5 RB, 6 WR, 2 TE, K, DST each."""
    shares = ((0, 1), (32, 5), (104, 6), (184, 2), (212, 1), (226, 1))
    teams = [
        [first + team * count + n for first, count in shares for n in range(count)] for team in range(TEAMS)
    ]
    assert all(len(team) == ROUNDS for team in teams)
    return np.tile(np.array(teams, np.int16), (leagues, 1, 1))


def test_everybody_meets_everybody_once_in_eleven_rounds():
    """The round robin is symmetric and complete."""
    for team in range(TEAMS):
        assert sorted(ROUND_ROBIN[:, team]) == [other for other in range(TEAMS) if other != team]
        assert all(ROUND_ROBIN[rnd, ROUND_ROBIN[rnd, team]] == team for rnd in range(TEAMS - 1))


def test_wins_by_hand():
    """With scores 0 to 11, team 11 always wins, team 0 never, and a tie is half a win for both."""
    scores = np.tile(np.arange(12.0), (1, 11, 1))
    places = np.arange(12)[None]
    assert count_wins(scores, places)[0].tolist() == list(range(12))
    scores[:, :, 10] = 11
    assert count_wins(scores, places)[0, 10:].tolist() == [10.5, 10.5]


def test_the_best_seed_meets_the_lowest_one_left():
    """Seeds 3 and 6, 4 and 5 play; 6 and 5 win; so 1 meets 6 and 2 meets 5."""
    order = np.arange(12)[None]
    scores = np.zeros((1, 3, 12))
    scores[0, 0, [5, 4]] = 10
    scores[0, 1, 5] = 1  # the sixth seed beats the first
    scores[0, 1, 1] = 1  # the second seed beats the fifth
    scores[0, 2, 5] = 1

    assert play_off(scores, order, order).tolist() == [5]
    scores[0, 2, [1, 5]] = 2, 1
    assert play_off(scores, order, order).tolist() == [1]


def test_equal_teams_have_equal_chances():
    """With scores that are pure luck, the titles are spread evenly over the seats."""
    rng = np.random.default_rng(4)
    standings = play_season(rng.normal(100, 20, (12_000, WEEKS, TEAMS)), rng.random((12_000, TEAMS)))

    shares = np.bincount(standings.champions_L, minlength=TEAMS) / 1_000
    assert shares == pytest.approx(np.ones(TEAMS), abs=0.13)
    assert (standings.playoffs_L_T.sum(axis=1) == 6).all()
    assert standings.wins_L_T.sum(axis=1) == pytest.approx(np.full(12_000, 84))
