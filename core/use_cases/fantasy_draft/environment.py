"""The draft as a gymnasium environment: one league, one seat, the same core as the tournaments."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from core.use_cases.fantasy_draft.draft import LUCK_STREAMS, Draft, OpponentField, draw_boards
from core.use_cases.fantasy_draft.pool import PlayerSource
from core.use_cases.fantasy_draft.rewards import our_roster_value, roster_value
from core.use_cases.fantasy_draft.rules import PICKS, POSITIONS, ROUNDS, TEAMS
from core.use_cases.fantasy_draft.shortlist import CANDIDATES, Shortlist, make_shortlist
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers

FEATURES = ("position", "slot", "gain", "drop", "owned")
FEATURE_RANGE = (-100.0, 100.0)
ONLY = np.zeros(1, np.int64)
"""The one league there is."""

Observation = dict[str, Any]
Info = dict[str, Any]


class DraftEnv(gymnasium.Env[Observation, np.int64]):
    """Sixteen picks from the shortlist; at the end, our roster's value over the league's mean, points a game.

    An action is a place in the shortlist. One that is not legal (`action_mask`) is replaced by the first legal one
    and told in info["invalid_action"]. The model's prompt is in info["prompt"].
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  (gymnasium declares it so)

    def __init__(
        self,
        source: PlayerSource | None = None,
        field: OpponentField | None = None,
        seat: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """`seat` counts from 0; without it every episode draws one. reset(options={"seat": 3}) comes first."""
        self.source = source or SyntheticPlayers()
        self.field = field or OpponentField()
        self.seat = seat
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(CANDIDATES)
        self.observation_space = spaces.Dict(
            {
                "candidates": spaces.Box(*FEATURE_RANGE, (CANDIDATES, len(FEATURES)), np.float32),
                "owned": spaces.Box(0, ROUNDS, (len(POSITIONS),), np.int8),
                "clock": spaces.Box(0, PICKS, (3,), np.int16),
                "action_mask": spaces.MultiBinary(CANDIDATES),
            }
        )
        self._draft: Draft
        self._shortlist: Shortlist | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """A new league, up to our first pick."""
        super().reset(seed=seed)
        rng = self.np_random
        drawn = int(rng.integers(TEAMS))
        seat = (options or {}).get("seat", drawn if self.seat is None else self.seat)
        pool = self.source.draw(1, rng)
        boards = draw_boards(pool, self.field, rng)
        luck = rng.random((1, ROUNDS, LUCK_STREAMS, 2))
        self._draft = Draft.start(pool, np.array([seat]), boards, luck)
        self._wait_for_us()
        return self._observe(), self._info()

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, Info]:
        """Our pick, and everybody else's until we are on the clock again."""
        if self._shortlist is None:
            raise gymnasium.error.ResetNeeded("the draft is over: call reset() before the next pick")
        legal = bool(self._shortlist.legal_N_C[0, action])
        candidate = np.array([action]) if legal else self._shortlist.first_legal_N
        self._draft.pick(ONLY, self._shortlist.chosen(candidate))
        self._wait_for_us()
        over = self._shortlist is None
        info = self._info() | ({} if legal else {"invalid_action": True})
        return self._observe(), self._return() if over else 0.0, over, False, info

    def render(self) -> str | None:
        """The prompt, as text."""
        return self._prompt() if self.render_mode == "ansi" else None

    def _wait_for_us(self) -> None:
        waiting = self._draft.advance()
        self._shortlist = make_shortlist(self._draft, waiting) if len(waiting) else None

    def _return(self) -> float:
        draft = self._draft
        blend, waiver = (
            draft.pool.blend_L_P.repeat(TEAMS, axis=0),
            draft.pool.waiver_L_6.repeat(TEAMS, axis=0),
        )
        everybody = roster_value(blend, waiver, draft.rosters_L_T_R[0])
        return float(our_roster_value(draft)[0] - everybody.mean())

    def _observe(self) -> Observation:
        draft, shortlist = self._draft, self._shortlist
        features = np.zeros((CANDIDATES, len(FEATURES)), np.float32)
        next_pick = PICKS
        if shortlist is not None:
            columns = ("positions_N_C", "slots_N_C", "gains_N_C", "drops_N_C", "owned_N_C")
            features[:] = np.stack([getattr(shortlist, name)[0] for name in columns], axis=1)
            next_pick = int(draft.next_pick(ONLY)[0])
        return {
            "candidates": features,
            "owned": draft.owned(ONLY)[0].astype(np.int8),
            "clock": np.array([draft.picks_made_L[0], next_pick, draft.seats_L[0]], np.int16),
            "action_mask": self._mask(),
        }

    def _mask(self) -> np.ndarray[Any, np.dtype[np.int8]]:
        if self._shortlist is None:
            return np.zeros(CANDIDATES, np.int8)
        return self._shortlist.legal_N_C[0].astype(np.int8)

    def _prompt(self) -> str:
        return "" if self._shortlist is None else self._shortlist.prompt(0)

    def _info(self) -> Info:
        return {"action_mask": self._mask(), "prompt": self._prompt(), "seat": int(self._draft.seats_L[0])}
