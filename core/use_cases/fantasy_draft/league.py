"""Tournaments: one policy in one seat of many leagues, each played for many seasons.

Every random number belongs to a block of 96 leagues and to one purpose, so results depend neither on how many
leagues are played at once nor on the policy: all policies meet the same players, opponents and seasons.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.use_cases.fantasy_draft.draft import LUCK_STREAMS, Draft, OpponentField, draw_boards
from core.use_cases.fantasy_draft.lineup import Rosters
from core.use_cases.fantasy_draft.playoffs import Standings, play_season
from core.use_cases.fantasy_draft.policies import Policy
from core.use_cases.fantasy_draft.pool import PlayerSource, Pool, join_pools
from core.use_cases.fantasy_draft.rules import REGULAR_WEEKS, ROUNDS, TEAMS, Bools, Floats, Ints
from core.use_cases.fantasy_draft.season import PassingGame, draw_season

BLOCK = 96
"""Leagues that share random streams: a multiple of the seats, so that whole blocks balance them."""
CHUNK = 960


class Purpose(IntEnum):
    """What leagues are played for: the same seed means other leagues for another purpose."""

    CONTEST = 0
    DEMONSTRATIONS = 1
    SCENARIOS = 2


class Stream(IntEnum):
    """What random numbers of a block are for."""

    POOL = 0
    BOARDS = 1
    LUCK = 2
    SCHEDULE = 3
    DRAW = 4
    RESAMPLES = 1_000
    SEASONS = 2_000


def generator(seed: int, purpose: Purpose, block: int, stream: int) -> np.random.Generator:
    """The random numbers of one block of leagues for one thing."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, block, stream)))


@dataclass(frozen=True, slots=True)
class LeagueBlock:
    """Up to 96 leagues whose random numbers are drawn together. Draws are of full size: a part of them sees the same."""

    seed: int
    purpose: Purpose
    number: int
    leagues: int
    first: int = 0
    """Of these leagues, its place in the block."""

    def rng(self, stream: int) -> np.random.Generator:
        """The random numbers of one stream."""
        return generator(self.seed, self.purpose, self.number, stream)

    @property
    def league_ids(self) -> Ints:
        """The numbers of the block's leagues."""
        return self.number * BLOCK + self.first + np.arange(self.leagues)

    @property
    def places(self) -> slice:
        """Which of the block's 96 draws are theirs."""
        return slice(self.first, self.first + self.leagues)

    def start(self, source: PlayerSource, field: OpponentField) -> Draft:
        """The block's drafts before the first pick. Seats follow the league's number."""
        pool = source.draw(BLOCK, self.rng(Stream.POOL))
        boards = draw_boards(pool, field, self.rng(Stream.BOARDS))
        luck = self.rng(Stream.LUCK).random((BLOCK, ROUNDS, LUCK_STREAMS, 2))
        few = self.places
        return Draft.start(pool.rows(few), self.league_ids % TEAMS, boards[few], luck[few])


def blocks_of(leagues: int, seed: int, purpose: Purpose, first: int = 0) -> list[LeagueBlock]:
    """The blocks, or parts of them, that hold leagues `first` to `leagues` - 1."""
    blocks = []
    for number in range(first // BLOCK, -(-leagues // BLOCK)):
        begin = max(first - number * BLOCK, 0)
        blocks.append(LeagueBlock(seed, purpose, number, min(BLOCK, leagues - number * BLOCK) - begin, begin))
    return blocks


def start_drafts(blocks: list[LeagueBlock], source: PlayerSource, field: OpponentField) -> Draft:
    """The drafts of several blocks as one, so that a model can answer for all of them in one batch."""
    drafts = [block.start(source, field) for block in blocks]
    return Draft.start(
        join_pools([draft.pool for draft in drafts]),
        np.concatenate([draft.seats_L for draft in drafts]),
        np.concatenate([draft.boards_L_T_P for draft in drafts]),
        np.concatenate([draft.luck_L_R_S_2 for draft in drafts]),
    )


def run_draft(draft: Draft, policy: Policy) -> None:
    """Play drafts to their end; each round the policy answers for all leagues at once."""
    while len(waiting := draft.advance()):
        draft.pick(waiting, policy(draft, waiting))


@dataclass(frozen=True, slots=True, eq=False)
class SeasonResults:
    """How our team fared in L leagues and K seasons."""

    titles_L_K: Bools
    playoffs_L_K: Bools
    wins_L_K: Floats
    """Of 14 games."""
    points_above_mean_L_K: Floats
    """Points a week over the league's mean team, regular season."""
    champion_seats_L_K: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Tournament:
    """One policy's leagues."""

    league_ids_L: Ints
    seats_L: Ints
    boards_L: Ints
    """Which of the source's boards each league was played with."""
    picks_L_R: Ints
    """Our players in the order of the rounds, as places in the league's pool."""
    picks: int
    """Ours, forced ones included."""
    invalid_L: Ints
    substituted_L: Ints
    simulated: SeasonResults
    actual: SeasonResults | None
    """The one real season of the source's board, if it has one: never mixed with the simulated ones."""


def play(  # noqa: PLR0917  (a tournament in the order one says it)
    policy: Policy,
    leagues: int,
    seasons: int,
    seed: int,
    source: PlayerSource,
    field: OpponentField | None = None,
    *,
    first: int = 0,
    chunk: int = CHUNK,
) -> Tournament:
    """Let a policy draft in `leagues` leagues against the field, then play each league `seasons` times.

    With `first`, only the leagues from that number on: what was played before is not played again. `chunk` leagues (whole blocks) are drafted together: more make larger batches for a model, and use more memory.
    """
    blocks = blocks_of(leagues, seed, Purpose.CONTEST, first)
    step = max(1, chunk // BLOCK)
    parts = [
        part
        for start in range(0, len(blocks), step)
        for part in _play_chunk(
            policy, blocks[start : start + step], seasons, source, field or OpponentField()
        )
    ]
    return join(parts)


def _play_chunk(
    policy: Policy, blocks: list[LeagueBlock], seasons: int, source: PlayerSource, field: OpponentField
) -> Iterator[Tournament]:
    draft = start_drafts(blocks, source, field)
    run_draft(draft, policy)
    start = 0
    for block in blocks:
        yield _play_block(block, draft, slice(start, start + block.leagues), seasons, source)
        start += block.leagues


def _play_block(
    block: LeagueBlock, draft: Draft, where: slice, seasons: int, source: PlayerSource
) -> Tournament:
    pool = draft.pool.rows(where)
    seats = draft.seats_L[where]
    rosters = Rosters.of(pool, draft.rosters_L_T_R[where], draft.available_L_P[where])
    actual = source.actual_points(pool)
    return Tournament(
        league_ids_L=block.league_ids,
        seats_L=seats,
        boards_L=pool.boards_L,
        picks_L_R=draft.rosters_L_T_R[where][np.arange(len(pool)), seats],
        picks=len(pool) * ROUNDS,
        invalid_L=draft.invalid_L[where],
        substituted_L=draft.substituted_L[where],
        simulated=_results(_simulate(block, source, pool, rosters, seasons), seats),
        actual=None if actual is None else _results([_real_season(block, rosters, actual)], seats),
    )


def _simulate(
    block: LeagueBlock, source: PlayerSource, pool: Pool, rosters: Rosters, seasons: int
) -> list[Standings]:
    """The standings of each season. The whole block's season is drawn, and only the leagues that play are used."""
    if len(pool) < BLOCK:
        pool = source.draw(BLOCK, block.rng(Stream.POOL))
    passing, standings = PassingGame(pool), []
    for season in range(seasons):
        rng = block.rng(Stream.SEASONS + season)
        points = draw_season(pool, passing, rng)[block.places]
        luck = rng.random((BLOCK, TEAMS))[block.places]
        standings.append(play_season(rosters.weekly_scores(points), luck))
    return standings


def _real_season(block: LeagueBlock, rosters: Rosters, points_L_W_P: Floats) -> Standings:
    luck = block.rng(Stream.SCHEDULE).random((BLOCK, TEAMS))[block.places]
    return play_season(rosters.weekly_scores(points_L_W_P), luck)


def _results(standings: list[Standings], seats_L: Ints) -> SeasonResults:
    ours = np.arange(len(seats_L)), seats_L
    champions = np.stack([season.champions_L for season in standings], axis=1)
    above = [season.points_L_T[ours] - season.points_L_T.mean(axis=1) for season in standings]
    return SeasonResults(
        titles_L_K=champions == seats_L[:, None],
        playoffs_L_K=np.stack([season.playoffs_L_T[ours] for season in standings], axis=1),
        wins_L_K=np.stack([season.wins_L_T[ours] for season in standings], axis=1),
        points_above_mean_L_K=np.stack(above, axis=1) / REGULAR_WEEKS,
        champion_seats_L_K=champions,
    )


def join(parts: Sequence[Tournament]) -> Tournament:
    """Tournaments of one policy on leagues that follow one another, as one."""

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    actual = [part.actual for part in parts if part.actual is not None]
    return Tournament(
        league_ids_L=column("league_ids_L"),
        seats_L=column("seats_L"),
        boards_L=column("boards_L"),
        picks_L_R=column("picks_L_R"),
        picks=sum(part.picks for part in parts),
        invalid_L=column("invalid_L"),
        substituted_L=column("substituted_L"),
        simulated=_join_results([part.simulated for part in parts]),
        actual=_join_results(actual) if actual else None,
    )


def _join_results(parts: list[SeasonResults]) -> SeasonResults:
    names = [field.name for field in fields(SeasonResults)]
    return SeasonResults(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
