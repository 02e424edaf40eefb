"""What a model is asked, and how its answers become picks."""

from dataclasses import replace

import numpy as np
import pytest

from core.use_cases.fantasy_draft.draft import Draft, OpponentField
from core.use_cases.fantasy_draft.league import Purpose, blocks_of, play, run_draft, start_drafts
from core.use_cases.fantasy_draft.policies import vona
from core.use_cases.fantasy_draft.rules import POSITION_OF, RB, ROUNDS, WR
from core.use_cases.fantasy_draft.shortlist import (
    CANDIDATES,
    LETTERS,
    answering,
    first_of_shortlist,
    make_shortlist,
    roster_slots,
    soft_labels,
)
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers
from core.use_cases.fantasy_draft.vona import expected_best, roster_weights


def _draft(leagues: int = 24) -> Draft:
    return start_drafts(blocks_of(leagues, 7, Purpose.CONTEST), SyntheticPlayers(), OpponentField())


def _rounds(draft: Draft):
    while len(waiting := draft.advance()):
        yield waiting, make_shortlist(draft, waiting)
        draft.pick(waiting, vona(draft, waiting))


def test_the_shortlist_has_the_best_of_each_position_and_a_second_back_and_receiver():
    """Eight candidates by gain, all free; places that are legal hold players who may be drafted."""
    draft = _draft()
    for waiting, shortlist in _rounds(draft):
        at = waiting[:, None], shortlist.players_N_C
        assert (np.diff(shortlist.gains_N_C, axis=1) <= 0).all()
        assert (POSITION_OF[shortlist.players_N_C] == shortlist.positions_N_C).all()
        assert draft.available_L_P[at][shortlist.legal_N_C].all()
        assert draft.legal_players(waiting)[np.arange(len(waiting))[:, None], at[1]][
            shortlist.legal_N_C
        ].all()
        assert shortlist.legal_N_C.any(axis=1).all()
        for position, count in ((RB, 2), (WR, 2)):
            assert ((shortlist.positions_N_C == position).sum(axis=1) == count).all()


def test_the_teacher_is_vona():
    """VONA's pick is always on the shortlist, and is what the teacher's scores prefer."""
    draft = _draft()
    for waiting, shortlist in _rounds(draft):
        assert (shortlist.chosen(shortlist.teacher_N) == vona(draft, waiting)).all()


def test_the_prompt_reads_as_it_was_measured():
    """A header, eight lines of letter, position, slot, gain, drop and how many are owned; then the question."""
    draft = _draft()
    shortlist = make_shortlist(draft, draft.advance())

    lines = shortlist.prompt(0).split("\n")

    assert lines[0] == "Fantasy draft, round 1. Columns: position, slot, gain, drop, owned."
    assert [line.split()[0] for line in lines[1:9]] == list(LETTERS)
    assert lines[1].split()[2] == "starter"
    assert all(int(number) >= 0 for line in lines[1:9] for number in line.split()[3:])
    assert lines[9] == "Pick:"
    assert len(lines) == 10
    assert set(shortlist.completions(0)) <= {f" {letter}" for letter in LETTERS}


def test_the_prompt_knows_nothing_of_the_outcome():
    """Other hidden truths, opponents' boards and dice behind the same public state: the same prompts and candidates."""
    draft = _draft()
    waiting = draft.advance()
    other = draft.branch(np.arange(24), np.random.default_rng(0).random(draft.boards_L_T_P.shape))
    other.pool = replace(draft.pool, disagreement_L_P=-3 * draft.pool.disagreement_L_P)
    other.luck_L_R_S_2 = 1 - draft.luck_L_R_S_2

    one, two = make_shortlist(draft, waiting), make_shortlist(other, waiting)

    assert [one.prompt(row) for row in range(24)] == [two.prompt(row) for row in range(24)]
    assert [one.completions(row) for row in range(24)] == [two.completions(row) for row in range(24)]


def test_kickers_wait_for_the_last_rounds():
    """Kicker and defence are listed from the first round, and legal in the last three."""
    for waiting, shortlist in _rounds(_draft(12)):
        late = (shortlist.positions_N_C >= 4) & shortlist.legal_N_C
        if shortlist.rounds_N[0] < ROUNDS - 3:
            assert not late.any()
        assert shortlist.players_N_C.shape == (len(waiting), CANDIDATES)


def test_slots_by_hand():
    """Two backs owned: the third is the FLEX; three owned: the FLEX is taken, and a third receiver sits too."""
    assert roster_slots(np.array([[0, 2, 1, 1, 0, 0]])).tolist() == [[0, 1, 0, 1, 0, 0]]
    assert roster_slots(np.array([[1, 3, 2, 1, 0, 0]])).tolist() == [[2, 2, 2, 2, 0, 0]]


def test_expected_best_by_hand():
    """20 survives in half the cases, 10 always: 15 is expected. With survival 0 the last one listed is left."""
    points, survival = np.array([[[20.0, 10.0]]]), np.array([[[0.5, 1.0]]])

    assert expected_best(points, survival).tolist() == [[15.0]]
    assert expected_best(points, np.zeros((1, 1, 2))).tolist() == [[10.0]]


def test_roster_weights_by_hand():
    """A third receiver counts .75 while the FLEX is open, .45 once a third back holds it."""
    assert roster_weights(np.array([[1, 2, 2, 0, 0, 0]]))[0, [0, 1, 2, 3]].tolist() == [0.18, 0.75, 0.75, 1]
    assert roster_weights(np.array([[1, 3, 2, 0, 0, 0]]))[0, [1, 2]].tolist() == [0.30, 0.45]


def test_soft_labels_prefer_high_scores():
    """Temperature 1: scores log 3 and 0 share 3 to 1. Temperature 0: all on the best."""
    assert soft_labels(np.array([np.log(3.0), 0.0]), 1.0) == pytest.approx([0.75, 0.25])
    assert soft_labels(np.array([1.0, 2.0, 2.0]), 0.0).tolist() == [0, 1, 0]


def test_an_answering_policy_plays_what_it_answers():
    """Answering as the teacher drafts as the teacher."""
    one, two = _draft(), _draft()
    run_draft(one, answering(lambda shortlist, luck: shortlist.teacher_N))
    run_draft(two, vona)

    assert (one.rosters_L_T_R == two.rosters_L_T_R).all()


def test_only_open_decisions_are_asked():
    """A single legal candidate is taken without a question; every question comes with two uniform numbers."""
    asked = []

    def last_legal(shortlist, luck):
        assert shortlist.open_N.all()
        assert luck.shape == (len(shortlist), 2)
        asked.append(len(shortlist))
        return CANDIDATES - 1 - shortlist.legal_N_C[:, ::-1].argmax(axis=1)

    draft = _draft()
    run_draft(draft, answering(last_legal))

    assert 24 * 12 < sum(asked) < 24 * ROUNDS
    assert draft.invalid_L.sum() == 0


def test_invalid_answers_are_counted_and_replaced():
    """Answers that are no legal place give the first legal candidate, and are never hidden."""
    always_wrong = answering(lambda shortlist, luck: np.full(len(shortlist), -1))

    wrong = play(always_wrong, 12, 1, 7, SyntheticPlayers())
    first = play(first_of_shortlist, 12, 1, 7, SyntheticPlayers())

    assert (wrong.picks_L_R == first.picks_L_R).all()
    assert wrong.invalid_L.sum() == wrong.substituted_L.sum() > 12 * 10
    assert first.invalid_L.sum() == 0
    illegal = play(answering(lambda s, luck: (~s.legal_N_C).argmax(axis=1)), 12, 1, 7, SyntheticPlayers())
    assert illegal.invalid_L.sum() > 0
