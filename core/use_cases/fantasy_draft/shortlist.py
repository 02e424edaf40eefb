"""What a model is asked: eight candidates, a prompt of about 110 tokens, one letter as the answer."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from core.use_cases.fantasy_draft.draft import Draft, flex_open
from core.use_cases.fantasy_draft.policies import Policy
from core.use_cases.fantasy_draft.rules import (
    DST,
    FLEX,
    POSITIONS,
    QB,
    RB,
    STARTERS,
    TE,
    WR,
    Bools,
    Floats,
    Ints,
    K,
)
from core.use_cases.fantasy_draft.vona import (
    Outlook,
    look_out,
    roster_weights,
    sensible_positions,
    vona_scores,
)

LETTERS = "ABCDEFGH"
PLACES = ((QB, 0), (RB, 0), (RB, 1), (WR, 0), (WR, 1), (TE, 0), (K, 0), (DST, 0))
"""The best free player of each position, and the second running back and receiver."""
PLACE_POSITIONS = np.array([position for position, _ in PLACES])
PLACE_DEPTHS = np.array([depth for _, depth in PLACES])
CANDIDATES = len(PLACES)
SLOT_WORDS = ("starter", "flex", "bench")
TENTHS = 10
"""Points are shown in tenths: small models read whole numbers best."""


@dataclass(frozen=True, slots=True, eq=False)
class Shortlist:
    """The candidates of N leagues that wait for us, most points over the waiver wire first.

    Everything a prompt may say is here, and nothing that the draft has not shown yet.
    """

    rounds_N: Ints
    """From 0."""
    players_N_C: Ints
    positions_N_C: Ints
    legal_N_C: Bools
    gains_N_C: Floats
    """Blended points a game over what the waiver wire gives."""
    drops_N_C: Floats
    """What waiting until our next pick costs at this position; 0 for a second choice."""
    owned_N_C: Ints
    """How many of the position we have."""
    slots_N_C: Ints
    """Where he would play, an index into SLOT_WORDS."""
    teacher_scores_N_C: Floats
    """What VONA thinks of him, points a game; never in the prompt."""

    def __len__(self) -> int:
        return len(self.players_N_C)

    def rows(self, index: Ints | Bools) -> Self:
        """The shortlists of some of the leagues."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @property
    def open_N(self) -> Bools:  # noqa: N802
        """Where there is something to decide: more than one legal candidate."""
        return self.legal_N_C.sum(axis=1) > 1

    @property
    def first_legal_N(self) -> Ints:  # noqa: N802
        """The first legal candidate, an index into the candidates."""
        return self.legal_N_C.argmax(axis=1)

    @property
    def teacher_N(self) -> Ints:  # noqa: N802
        """VONA's choice, an index into the candidates."""
        return np.where(self.legal_N_C, self.teacher_scores_N_C, -np.inf).argmax(axis=1)

    def prompt(self, row: int) -> str:
        """The question for one league."""
        lines = [
            f"{letter} {POSITIONS[position]} {SLOT_WORDS[slot]} {gain} {drop} {owned}\n"
            for letter, position, slot, gain, drop, owned in zip(
                LETTERS,
                self.positions_N_C[row],
                self.slots_N_C[row],
                in_tenths(self.gains_N_C[row]),
                in_tenths(self.drops_N_C[row]),
                self.owned_N_C[row],
                strict=True,
            )
        ]
        return (
            f"Fantasy draft, round {self.rounds_N[row] + 1}. Columns: position, slot, gain, drop, owned.\n"
            f"{''.join(lines)}Pick:"
        )

    def completions(self, row: int) -> list[str]:
        """The answers that are legal in one league, such as ' B'."""
        return [f" {LETTERS[candidate]}" for candidate in np.flatnonzero(self.legal_N_C[row])]

    def chosen(self, candidates_N: Ints) -> Ints:
        """The players at these places of the shortlists, (N,)."""
        return self.players_N_C[np.arange(len(self)), candidates_N]


def in_tenths(points_C: Floats) -> list[int]:
    """Points a game as whole tenths, none below zero."""
    return [int(tenths) for tenths in np.maximum(np.round(TENTHS * points_C), 0)]


def make_shortlist(draft: Draft, leagues: Ints) -> Shortlist:
    """The shortlists of leagues that wait for us, (N,)."""
    outlook, owned = look_out(draft, leagues), draft.owned(leagues)
    points = outlook.points_N_6_D[:, PLACE_POSITIONS, PLACE_DEPTHS]
    gains = points - outlook.waiver_N_6[:, PLACE_POSITIONS]
    legal = sensible_positions(draft, leagues)[:, PLACE_POSITIONS] & (points > 0)
    columns = {
        "players_N_C": outlook.players_N_6_D[:, PLACE_POSITIONS, PLACE_DEPTHS],
        "positions_N_C": np.broadcast_to(PLACE_POSITIONS, gains.shape),
        "legal_N_C": legal,
        "gains_N_C": gains,
        "drops_N_C": np.where(PLACE_DEPTHS == 0, outlook.drops_N_6[:, PLACE_POSITIONS], 0),
        "owned_N_C": owned[:, PLACE_POSITIONS],
        "slots_N_C": roster_slots(owned)[:, PLACE_POSITIONS],
        "teacher_scores_N_C": _teacher_scores(outlook, owned, points),
    }
    order = np.argsort(-gains, axis=1, kind="stable")
    in_order = {name: np.take_along_axis(column, order, axis=1) for name, column in columns.items()}
    return Shortlist(rounds_N=draft.round_of(leagues), **in_order)


def roster_slots(owned_N_6: Ints) -> Ints:
    """Where one more player of each position would play, (N, 6), as an index into SLOT_WORDS."""
    starts = owned_N_6 < STARTERS
    slots = np.where(starts, 0, 2)
    slots[:, FLEX] = np.where(~starts[:, FLEX] & flex_open(owned_N_6)[:, None], 1, slots[:, FLEX])
    return slots


def _teacher_scores(outlook: Outlook, owned_N_6: Ints, points_N_C: Floats) -> Floats:
    """VONA's score of the best of each position, less what a second choice is worse by."""
    best = outlook.points_N_6_D[:, PLACE_POSITIONS, 0]
    weight = roster_weights(owned_N_6)[:, PLACE_POSITIONS]
    return vona_scores(outlook, owned_N_6)[:, PLACE_POSITIONS] - weight * (best - points_N_C)


def soft_labels(scores_C: Floats, temperature: float) -> Floats:
    """A distribution over candidates that prefers high scores; temperature 0 is all on the best (the first, in a tie)."""
    if temperature == 0:
        return np.eye(len(scores_C))[scores_C.argmax()]
    weights = np.exp((scores_C - scores_C.max()) / temperature)
    return weights / weights.sum()


def first_of_shortlist(draft: Draft, leagues: Ints) -> Ints:
    """The first legal line of the shortlist: what a model gets for nothing."""
    shortlist = make_shortlist(draft, leagues)
    return shortlist.chosen(shortlist.first_legal_N)


def answering(choose: Callable[[Shortlist, Floats], Ints]) -> Policy:
    """A policy that asks for a letter of the shortlist.

    `choose` gets the open decisions and two uniform numbers for each, (N, 2), and answers with places in the shortlist, (N,).
    An answer that is no legal place is counted as invalid and replaced by the first legal one.
    """

    def pick(draft: Draft, leagues: Ints) -> Ints:
        shortlist = make_shortlist(draft, leagues)
        candidates = shortlist.first_legal_N
        asked = np.flatnonzero(shortlist.open_N)
        if len(asked):
            answers = choose(shortlist.rows(asked), draft.luck(leagues[asked]))
            valid = _is_legal(shortlist.legal_N_C[asked], answers)
            draft.invalid_L[leagues[asked[~valid]]] += 1
            draft.substituted_L[leagues[asked[~valid]]] += 1
            candidates[asked[valid]] = answers[valid]
        return shortlist.chosen(candidates)

    return pick


def _is_legal(legal_N_C: Bools, answers_N: Ints) -> Bools:
    listed = (answers_N >= 0) & (answers_N < legal_N_C.shape[1])
    return listed & legal_N_C[np.arange(len(answers_N)), np.where(listed, answers_N, 0)]
