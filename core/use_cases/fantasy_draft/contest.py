"""The tournament: trained models and scripted drafters, each in the same seats of the same held-out leagues."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.evaluation import Contest, Looks, is_enough, plan_looks
from core.evaluation.wording import figure
from core.files import digest
from core.use_case import Progress
from core.use_cases.fantasy_draft.baselines import BASELINES, METRICS, SAMPLED, aa_policies
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.draft import Draft
from core.use_cases.fantasy_draft.drafter import Drafter, Models
from core.use_cases.fantasy_draft.league import BLOCK, Tournament, join, play
from core.use_cases.fantasy_draft.policies import Policy
from core.use_cases.fantasy_draft.pool import PlayerSource
from core.use_cases.fantasy_draft.rules import ROUNDS, TEAMS, Ints
from core.use_cases.fantasy_draft.shortlist import answering
from core.use_cases.fantasy_draft.sources import open_source


def contest(
    config: FantasyDraftConfig, _rows: Snapshot | None, entrants: Mapping[str, Checkpoint], progress: Progress
) -> tuple[Contest, Contest]:
    """Everyone in the same leagues; and a baseline against itself with other dice.

    Candidate and incumbent play look by look until the evaluation has seen enough; then the others play the same
    leagues. A checkpoint that enters under two names plays once.
    """
    looks = plan_looks(config.evaluation, config.contest.leagues, (BLOCK, TEAMS), "league")
    room = _Room(config, open_source(config.players, held_out=True), looks, progress)
    seats = room.seats(entrants)
    judged = {name: seats[name] for name in (config.evaluation.candidate, config.evaluation.incumbent)}
    for leagues in looks.clusters:
        room.play(judged, leagues)
        if leagues < looks.planned and is_enough(room.rows(judged), config.evaluation):
            room.planned = leagues
            break
    room.play(seats, leagues)
    again = {name: _Seat(policy) for name, policy in aa_policies().items()}
    room.play(again, leagues)
    progress(1.0, "the last league is over")
    return room.rows(seats), room.rows(again)


@dataclass(slots=True)
class _Seat:
    """One policy, the leagues it has played, and the seconds it took to answer."""

    policy: Policy
    drafter: Drafter | None = None
    parts: list[Tournament] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def leagues(self) -> int:
        return sum(len(part.seats_L) for part in self.parts)

    def answer(self, draft: Draft, leagues: Ints) -> Ints:
        """The policy's picks, timed."""
        started = time.perf_counter()
        players = self.policy(draft, leagues)
        self.seconds += time.perf_counter() - started
        return players

    def counts(self) -> dict[str, float]:
        """A model is asked where it has a choice; a script decides every pick."""
        tournament = join(self.parts)
        counts = {
            "picks": float(tournament.picks),
            "decisions": float(tournament.picks),
            "invalid": float(tournament.invalid_L.sum()),
            "substituted": float(tournament.substituted_L.sum()),
            "seconds": self.seconds,
        }
        if tournament.actual is not None:
            counts["real season: titles"] = float(tournament.actual.titles_L_K.mean())
            counts["real season: points"] = float(tournament.actual.points_above_mean_L_K.mean())
            counts["real season: leagues"] = float(len(tournament.seats_L))
        return counts | (self.drafter.counts() if self.drafter else {})


@dataclass(slots=True)
class _Room:
    """Lets policies play, look by look, and knows how far it is."""

    config: FantasyDraftConfig
    source: PlayerSource
    looks: Looks
    progress: Progress
    planned: int = 0
    """Leagues that everybody will have played."""
    models: int = 0
    behind: int = 0
    """Picks of models, forced ones included, in the leagues that are over."""
    asked: int = 0
    """Decisions of the model that plays now."""
    last: int = 0
    """The league up to which it plays."""

    def __post_init__(self) -> None:
        self.planned = self.looks.planned

    def seats(self, entrants: Mapping[str, Checkpoint]) -> dict[str, _Seat]:
        """Everyone by name, the models first."""
        candidate, by_digest = entrants["candidate"], dict[str, _Seat]()
        models = Models(candidate.notes.get("dtype", "auto"), keep=len(self.looks.clusters) > 1)
        for name, checkpoint in entrants.items():
            if checkpoint.sha256 not in by_digest:
                by_digest[checkpoint.sha256] = self._model(models, name, checkpoint)
        named = {name: by_digest[checkpoint.sha256] for name, checkpoint in entrants.items()}
        sampled = self._model(models, SAMPLED, candidate, greedy=False)
        return {**named, SAMPLED: sampled, **{name: _Seat(policy) for name, policy in BASELINES.items()}}

    def _model(self, models: Models, name: str, checkpoint: Checkpoint, *, greedy: bool = True) -> _Seat:
        def asked(decisions: int) -> None:
            self.asked += decisions
            done = (self.behind + self.asked) / (self.models * self.planned * ROUNDS)
            where = f"up to league {self.last:,} of {self.looks.planned:,}"
            self.progress(min(done, 1.0), f"{name}: {self.asked:,} decisions, {where}")

        self.models += 1
        drafter = Drafter(lambda: models.open(checkpoint), greedy, asked)
        return _Seat(answering(drafter.choose), drafter)

    def play(self, seats: Mapping[str, _Seat], leagues: int) -> None:
        """Let everyone play on until `leagues` are played, in the same steps for all."""
        for seat in seats.values():
            for first, last in pairwise((0, *self.looks.clusters)):
                if seat.leagues == first and last <= leagues:
                    seat.parts.append(self._leagues(seat, first, last))

    def _leagues(self, seat: _Seat, first: int, last: int) -> Tournament:
        self.asked, self.last = 0, last
        plan = self.config.contest
        seed = self.config.seed_of_day(plan.seed)
        played = play(seat.answer, last, plan.seasons, seed, self.source, self.config.field, first=first)
        self.behind += played.picks if seat.drafter else 0
        return played

    def rows(self, seats: Mapping[str, _Seat]) -> Contest:
        """What everyone has reached so far."""
        return _contest(seats, self.looks, self._design(seats))

    def _design(self, seats: Mapping[str, _Seat]) -> dict[str, str]:
        config, plan, others = self.config, self.config.contest, self.config.field
        played = max(seat.leagues for seat in seats.values())
        season = f", season {config.players.test_season}, which is not trained on"
        return {
            "leagues": f"{played:,} of {plan.leagues:,} planned, {TEAMS} seats in turn",
            "measured": "titles, playoffs, wins of 14 games, points a week over the league's mean",
            "seasons a league": f"{plan.seasons}",
            "seed": f"{plan.seed}; the contest has streams of its own, apart from those trained on",
            "day": f"{config.as_of} (other leagues every day)"
            if config.as_of
            else "none (the same leagues always)",
            "players": config.players.source
            + (season if config.players.source in ("nflgame", "nflverse") else ""),
            "opponents": f"{figure(others.casual_share, rate=True)} casual, {figure(others.sharp_share, rate=True)} sharp, noise {others.noise:g}",
            "digest of players and opponents": digest(config.players.model_dump(), others.model_dump()),
        }


def _contest(seats: Mapping[str, _Seat], looks: Looks, design: Mapping[str, str]) -> Contest:
    tournaments = [join(seat.parts) for seat in seats.values()]
    first, results = tournaments[0], [each.simulated for each in tournaments]
    seasons = first.simulated.titles_L_K.shape[1]
    tables: tuple[list[NDArray[Any]], ...] = (
        [result.titles_L_K for result in results],
        [result.playoffs_L_K for result in results],
        [result.wins_L_K for result in results],
        [result.points_above_mean_L_K for result in results],
    )
    winners, wins = np.unique(first.simulated.champion_seats_L_K[:, 0], return_counts=True)
    return Contest(
        policies=tuple(seats),
        items=tuple(
            f"L{league:04d}-S{season:02d}" for league in first.league_ids_L for season in range(seasons)
        ),
        clusters_I=np.repeat(first.league_ids_L, seasons),
        values={
            metric: np.stack([table.ravel() for table in of_policies]).astype(np.float64)
            for metric, of_policies in zip(METRICS, tables, strict=True)
        },
        strata_I=np.repeat(first.seats_L + 1, seasons),
        counts={name: seat.counts() for name, seat in seats.items()},
        stratum_wins={int(seat) + 1: int(count) for seat, count in zip(winners, wins, strict=True)},
        cluster_name="league",
        stratum_name="seat",
        looks=looks,
        design=design,
    )
