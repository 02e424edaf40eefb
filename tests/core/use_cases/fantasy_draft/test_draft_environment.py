"""The gymnasium environment."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core.use_cases.fantasy_draft.environment import DraftEnv
from core.use_cases.fantasy_draft.rules import ROUNDS


def _play(env: DraftEnv, seed: int, pick) -> tuple[float, int, list[str]]:
    observation, info = env.reset(seed=seed)
    total, steps, prompts, over = 0.0, 0, [], False
    while not over:
        prompts.append(info["prompt"])
        assert observation in env.observation_space
        assert (observation["action_mask"] == info["action_mask"]).all()
        observation, reward, over, cut, info = env.step(pick(observation))
        assert not cut
        total, steps = total + reward, steps + 1
    assert observation in env.observation_space
    return total, steps, prompts


def _first(observation):
    return int(observation["action_mask"].argmax())


def test_gymnasium_accepts_it():
    """check_env has nothing to complain about but that the class is not registered."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_env(DraftEnv(render_mode="ansi"))
    assert [str(w.message) for w in said if "not having a spec" not in str(w.message)] == []


def test_an_episode_is_sixteen_picks_and_pays_at_the_end():
    """Same seed, same episode; another seed, another."""
    one, again, other = (_play(DraftEnv(), seed, _first) for seed in (1, 1, 2))

    assert one == again != other
    assert one[1] == ROUNDS
    assert one[0] != 0
    assert one[2][0].startswith("Fantasy draft, round 1.")


def test_illegal_actions_are_replaced_and_told():
    """A kicker in the first round is not legal: the first legal candidate is taken instead."""
    env = DraftEnv(seat=4)
    observation, info = env.reset(seed=3)
    illegal = int((observation["action_mask"] == 0).argmax())

    after, _, _, _, info = env.step(illegal)

    assert info["invalid_action"] is True
    assert info["seat"] == 4
    assert after["owned"].sum() == 1
    _, _, _, _, info = env.step(_first(after))
    assert "invalid_action" not in info


def test_the_seat_can_be_chosen_for_an_episode():
    """reset(options={'seat': 0}) is first on the clock."""
    observation, info = DraftEnv().reset(seed=1, options={"seat": 0})

    assert info["seat"] == 0
    assert observation["clock"].tolist() == [0, 23, 0]


def test_a_finished_draft_wants_a_reset():
    """A pick after the last one is a mistake of the caller."""
    env = DraftEnv()
    _play(env, 1, _first)

    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(np.int64(0))
