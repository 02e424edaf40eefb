"""Training rows from simulated drafts: the teacher's choices to imitate, and scenarios with what each candidate was worth."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.use_cases.fantasy_draft.draft import Draft, OpponentField, draw_boards
from core.use_cases.fantasy_draft.league import BLOCK, LeagueBlock, Purpose, Stream, blocks_of, generator
from core.use_cases.fantasy_draft.policies import noisy, vona
from core.use_cases.fantasy_draft.pool import PlayerSource
from core.use_cases.fantasy_draft.rewards import RewardName, candidate_returns, seed_dense_reward
from core.use_cases.fantasy_draft.rules import POSITIONS, ROUNDS, Bools, Floats, Ints
from core.use_cases.fantasy_draft.shortlist import Shortlist, make_shortlist, soft_labels

NOISE = 0.15
"""The share of picks left to chance on the way to a decision, so that rows show states a learner will meet."""
RESAMPLES = 4
FORCED, NOT_DRAWN = "only one legal candidate", "not drawn"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Collection:
    """Rows for a snapshot, with the decisions that were left out, by reason."""

    rows: list[Row]
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the leagues are played from which decisions are taken: VONA, with some picks left to chance."""

    seed: int
    purpose: Purpose
    source: PlayerSource
    field: OpponentField
    noise: float

    def decisions(self, block: LeagueBlock) -> Iterator["Decisions"]:
        """The decisions of a block of leagues, round by round."""
        behave = noisy(vona, self.noise)
        draft = block.start(self.source, self.field)
        while len(waiting := draft.advance()):
            yield Decisions(block, draft, waiting, make_shortlist(draft, waiting))
            draft.pick(waiting, behave(draft, waiting))


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What N leagues of a block wait for in one round. The draft moves on when the next round is asked for."""

    block: LeagueBlock
    draft: Draft
    leagues_N: Ints
    shortlist: Shortlist

    def keep(self, wanted_N: Bools) -> "Decisions":
        """Some of them."""
        return Decisions(self.block, self.draft, self.leagues_N[wanted_N], self.shortlist.rows(wanted_N))


def demonstrations(
    leagues: int,
    seed: int,
    source: PlayerSource,
    *,
    count: int | None = None,
    split: str = "train",
    field: OpponentField | None = None,
    noise: float = NOISE,
    temperature: float = 0.0,
) -> Collection:
    """The teacher's choices in the open decisions of some leagues, as rows to imitate.

    `count` draws that many of the decisions. Temperature 0 puts all weight on VONA's choice; above it, candidates
    share it by their VONA scores.
    """
    behaviour = Behaviour(seed, Purpose.DEMONSTRATIONS, source, field or OpponentField(), noise)
    rows: list[Row] = []
    blocks, wanted_L_R, skipped = _draw_decisions(behaviour, leagues, count)
    for decisions in _wanted(behaviour, blocks, wanted_L_R):
        for number, legal in enumerate(decisions.shortlist.legal_N_C):
            weights = soft_labels(decisions.shortlist.teacher_scores_N_C[number][legal], temperature)
            rows.append(_row(behaviour, decisions, number, split) | {"weights": _numbers(weights)})
    return Collection(sorted(rows, key=_league_and_round), skipped)


def scenarios(
    leagues: int,
    seed: int,
    source: PlayerSource,
    *,
    count: int | None = None,
    split: str = "train",
    field: OpponentField | None = None,
    noise: float = NOISE,
    resamples: int = RESAMPLES,
    reward: RewardName | None = "roster_value",
) -> Collection:
    """Open decisions of some leagues, with what every legal candidate was worth; without a `reward`, not yet scored.

    `count` draws that many of the decisions; roster values are means over `resamples` sets of opponents' boards.
    """
    behaviour = Behaviour(seed, Purpose.SCENARIOS, source, field or OpponentField(), noise)
    rows: list[Row] = []
    blocks, wanted_L_R, skipped = _draw_decisions(behaviour, leagues, count)
    for decisions in _wanted(behaviour, blocks, wanted_L_R):
        rewards_N_C = _rewards(behaviour, decisions, resamples, reward)
        for number, legal in enumerate(decisions.shortlist.legal_N_C):
            scored = {} if rewards_N_C is None else {"rewards": _numbers(rewards_N_C[number][legal])}
            rows.append(_row(behaviour, decisions, number, split) | scored)
    return Collection(sorted(rows, key=_league_and_round), skipped)


def _draw_decisions(
    behaviour: Behaviour, leagues: int, count: int | None
) -> tuple[list[LeagueBlock], Bools, dict[str, int]]:
    """Which rounds of which leagues become rows, (leagues, ROUNDS), and how many decisions don't, by reason."""
    blocks = blocks_of(leagues, behaviour.seed, behaviour.purpose)
    open_L_R = np.zeros((leagues, ROUNDS), bool)
    for block in blocks:
        for decisions in behaviour.decisions(block):
            ids = block.league_ids[decisions.leagues_N]
            open_L_R[ids, decisions.shortlist.rounds_N] = decisions.shortlist.open_N
    wanted = np.flatnonzero(open_L_R)
    if count is not None and count < len(wanted):
        rng = generator(behaviour.seed, behaviour.purpose, 0, Stream.DRAW)
        wanted = rng.choice(wanted, count, replace=False)
    wanted_L_R = np.zeros_like(open_L_R)
    wanted_L_R.flat[wanted] = True
    forced, left = int((~open_L_R).sum()), int(open_L_R.sum() - len(wanted))
    return blocks, wanted_L_R, {FORCED: forced, NOT_DRAWN: left}


def _wanted(behaviour: Behaviour, blocks: list[LeagueBlock], wanted_L_R: Bools) -> Iterator[Decisions]:
    for block in blocks:
        for decisions in behaviour.decisions(block):
            wanted = wanted_L_R[block.league_ids[decisions.leagues_N], decisions.shortlist.rounds_N]
            if wanted.any():
                yield decisions.keep(wanted)


def _rewards(
    behaviour: Behaviour, decisions: Decisions, resamples: int, reward: RewardName | None
) -> Floats | None:
    """What every candidate was worth, (N, C)."""
    if reward is None:
        return None
    if reward == "roster_value":
        return _returns(behaviour, decisions, resamples)
    candidates_C_N = decisions.shortlist.players_N_C.T
    dense = [
        seed_dense_reward(decisions.draft, decisions.leagues_N, players_N) for players_N in candidates_C_N
    ]
    return np.stack(dense, axis=1)


def _returns(behaviour: Behaviour, decisions: Decisions, resamples: int) -> Floats:
    """The return of every candidate, (N, C). A block's boards are drawn anew for each round, for all its leagues."""
    block, draft = decisions.block, decisions.draft
    pool = behaviour.source.draw(BLOCK, block.rng(Stream.POOL))
    rng = block.rng(Stream.RESAMPLES + int(decisions.shortlist.rounds_N[0]))
    boards = draw_boards(pool, behaviour.field, rng, resamples)
    boards_L_K_T_P = boards.reshape(BLOCK, resamples, *boards.shape[1:])
    leagues, shortlist = decisions.leagues_N, decisions.shortlist
    return candidate_returns(
        draft, leagues, shortlist.players_N_C, shortlist.legal_N_C, boards_L_K_T_P[leagues]
    )


def _row(behaviour: Behaviour, decisions: Decisions, number: int, split: str) -> Row:
    """A scored group without its scores."""
    shortlist, league = decisions.shortlist, int(decisions.leagues_N[number])
    legal = np.flatnonzero(shortlist.legal_N_C[number])
    league_id, rnd = int(decisions.block.league_ids[league]), int(shortlist.rounds_N[number])
    pool = decisions.draft.pool
    return {
        "id": f"{behaviour.purpose.name.lower()}-{behaviour.seed}-{league_id}-{rnd + 1}",
        "prompt": shortlist.prompt(number),
        "completions": shortlist.completions(number),
        "split": split,
        "metadata": {
            "league": league_id,
            "round": rnd + 1,
            "seat": int(decisions.draft.seats_L[league]) + 1,
            "board": int(pool.boards_L[league]),
            "players": [pool.name(league, int(player)) for player in shortlist.players_N_C[number][legal]],
            "positions": [POSITIONS[position] for position in shortlist.positions_N_C[number][legal]],
            "teacher": int(np.flatnonzero(legal == shortlist.teacher_N[number])[0]),
        },
    }


def _league_and_round(row: Row) -> tuple[int, int]:
    return row["metadata"]["league"], row["metadata"]["round"]


def _numbers(values: Floats) -> list[float]:
    """Plain floats, rounded so that files are small and equal on every machine."""
    return [round(float(value), 5) for value in values]
