"""The tournament: trained models and scripted drafters, each in the same seats of the same held-out leagues."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.checkpoint import Checkpoint
from core.evaluation import Contest
from core.use_case import Progress
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.league import Tournament, play
from core.use_cases.fantasy_draft.policies import SCRIPTED, Policy, noisy
from core.use_cases.fantasy_draft.pool import PlayerSource
from core.use_cases.fantasy_draft.rules import ROUNDS, Floats, Ints
from core.use_cases.fantasy_draft.shortlist import Shortlist, answering, first_of_shortlist
from core.use_cases.fantasy_draft.sources import open_source

if TYPE_CHECKING:
    from core.language.choice import ChoicePolicy

SAMPLED = "candidate, sampled"
"""The candidate again, drawing its picks from its distribution instead of taking the likeliest."""
BASELINES: dict[str, Policy] = {**SCRIPTED, "first of the shortlist": first_of_shortlist}
AA_BASELINE = "VOR + needs"
AA_POLICY, AA_NOISE = BASELINES[AA_BASELINE], 0.1
"""A baseline against itself needs dice of its own, or it would be the very same."""
CONFIDENCE_BINS = 20


@dataclass(slots=True)
class Drafter:
    """A checkpoint in the draft room, and how sure it was of its picks."""

    policy: "ChoicePolicy"
    greedy: bool
    asked: Callable[[int], None]
    confidences: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)

    def choose(self, shortlist: Shortlist, luck_N_2: Floats) -> Ints:
        """Places in the shortlist, (N,): the likeliest legal letter, or one drawn with the league's own dice."""
        rows = range(len(shortlist))
        found = self.policy.probabilities(
            [shortlist.prompt(row) for row in rows], [shortlist.completions(row) for row in rows]
        )
        places = np.empty(len(shortlist), np.int64)
        for row, probabilities in enumerate(found):
            drawn = np.searchsorted(
                probabilities.cumsum(), luck_N_2[row, 0] * probabilities.sum(), side="right"
            )
            answer = probabilities.argmax() if self.greedy else min(int(drawn), len(probabilities) - 1)
            places[row] = np.flatnonzero(shortlist.legal_N_C[row])[answer]
            self.confidences.append(float(probabilities[answer]))
            self.entropies.append(float(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum()))
        self.asked(len(shortlist))
        return places

    def counts(self) -> dict[str, float]:
        """What the picks say of themselves: means, and a histogram by tenths of a half."""
        if not self.confidences:
            return {}
        heights, _ = np.histogram(self.confidences, CONFIDENCE_BINS, (0, 1))
        bins = {f"confidence bin {place:02d}": float(height) for place, height in enumerate(heights)}
        means = {"confidence": np.mean(self.confidences), "entropy": np.mean(self.entropies)}
        return {
            "asked": len(self.confidences),
            "tokens": self.policy.tokens_read,
            **{name: float(value) for name, value in means.items()},
            **bins,
        }


@dataclass(slots=True)
class Played:
    """One policy's leagues, what they took, and what the model said of itself."""

    tournament: Tournament
    seconds: float
    said: dict[str, float]


def contest(
    config: FantasyDraftConfig, entrants: Mapping[str, Checkpoint], progress: Progress
) -> tuple[Contest, Contest]:
    """Everyone in the same leagues; and a baseline against itself with other dice.

    A checkpoint that enters under two names plays once.
    """
    source = open_source(config.players, held_out=True)
    dtype = entrants["candidate"].notes.get("dtype", "auto")
    room = _Room(config, source, progress, total=len(_distinct(entrants)) + 1, dtype=dtype)
    played = {name: room.script(policy) for name, policy in BASELINES.items()}
    by_digest: dict[str, Played] = {}
    for name, checkpoint in entrants.items():
        if checkpoint.sha256 not in by_digest:
            by_digest[checkpoint.sha256] = room.model(checkpoint, name, greedy=True)
        played[name] = by_digest[checkpoint.sha256]
    played[SAMPLED] = room.model(entrants["candidate"], SAMPLED, greedy=False)
    again = {
        f"{AA_BASELINE}, dice {stream + 1}": room.script(noisy(AA_POLICY, AA_NOISE, stream))
        for stream in (0, 1)
    }
    progress(1.0, "the last league is over")
    first = [*entrants, SAMPLED]
    return _contest({name: played[name] for name in [*first, *BASELINES]}), _contest(again)


def _distinct(entrants: Mapping[str, Checkpoint]) -> set[str]:
    return {checkpoint.sha256 for checkpoint in entrants.values()}


@dataclass(slots=True)
class _Room:
    """Plays policies one after the other, and knows how far it is."""

    config: FantasyDraftConfig
    source: PlayerSource
    progress: Progress
    total: int
    """Models that play."""
    dtype: str
    """All models answer in the type the candidate was trained in."""
    done: int = 0

    def script(self, policy: Policy) -> Played:
        """A scripted drafter's leagues."""
        started = time.perf_counter()
        tournament = self._play(policy)
        return Played(tournament, time.perf_counter() - started, {})

    def model(self, checkpoint: Checkpoint, name: str, *, greedy: bool) -> Played:
        """A model's leagues. Raises: ModelError when the checkpoint can't be loaded."""
        from core.language.choice import ChoicePolicy  # noqa: PLC0415  (torch: a tournament of scripts needs none)

        asked, expected = 0, self.config.contest.leagues * ROUNDS

        def count(decisions: int) -> None:
            nonlocal asked
            asked += decisions
            share = min(asked / expected, 1.0)
            self.progress(
                (self.done + share) / self.total,
                f"{name}: {asked} decisions in {self.config.contest.leagues} leagues",
            )

        started = time.perf_counter()
        drafter = Drafter(ChoicePolicy(checkpoint, dtype=self.dtype), greedy, count)
        tournament = self._play(answering(drafter.choose))
        self.done += 1
        return Played(tournament, time.perf_counter() - started, drafter.counts())

    def _play(self, policy: Policy) -> Tournament:
        plan = self.config.contest
        seed = self.config.seed_of_day(plan.seed)
        return play(policy, plan.leagues, plan.seasons, seed, self.source, self.config.field)


def _contest(played: Mapping[str, Played]) -> Contest:
    first = next(iter(played.values())).tournament
    seasons = first.simulated.titles_L_K.shape[1]
    results = [each.tournament.simulated for each in played.values()]
    metrics: dict[str, list[NDArray[Any]]] = {
        "title": [result.titles_L_K for result in results],
        "playoffs": [result.playoffs_L_K for result in results],
        "wins": [result.wins_L_K for result in results],
        "points": [result.points_above_mean_L_K for result in results],
    }
    seats, wins = np.unique(first.simulated.champion_seats_L_K[:, 0], return_counts=True)
    return Contest(
        policies=tuple(played),
        items=tuple(
            f"L{league:04d}-S{season:02d}" for league in first.league_ids_L for season in range(seasons)
        ),
        clusters_I=np.repeat(first.league_ids_L, seasons),
        values={
            name: np.stack([table.ravel() for table in tables]).astype(np.float64)
            for name, tables in metrics.items()
        },
        strata_I=np.repeat(first.seats_L + 1, seasons),
        counts={name: _counts(each) for name, each in played.items()},
        stratum_wins={int(seat) + 1: int(count) for seat, count in zip(seats, wins, strict=True)},
        cluster_name="league",
        stratum_name="seat",
    )


def _counts(played: Played) -> dict[str, float]:
    tournament = played.tournament
    counts = {
        "decisions": float(tournament.decisions),
        "invalid": float(tournament.invalid_L.sum()),
        "substituted": float(tournament.substituted_L.sum()),
        "seconds": played.seconds,
    }
    if tournament.actual is not None:
        counts["real season: titles"] = float(tournament.actual.titles_L_K.mean())
        counts["real season: points"] = float(tournament.actual.points_above_mean_L_K.mean())
        counts["real season: leagues"] = float(len(tournament.seats_L))
    return counts | played.said
