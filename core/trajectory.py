"""What an agent did in a window of time, and the model calls that it made: read from whatever form it came in, or the
reason why it can't be used.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.document import Unreadable, document, encoded
from core.value import (
    identity,
    moment,
    need_logprobs,
    need_past,
    need_values,
    normalised,
    number,
    text,
    whole,
    within,
)
from core.window import window_start

LONGEST_WINDOW = 24 * 366
"""Hours."""
STEP = re.compile(r"step-([0-9]{1,9})$")
"""The end of a step's id, as apps make it of the trajectory's."""
PARTS = {
    "environmentstate": dict,
    "action": dict,
    "provideraccesses": list,
    "llmcalls": list,
    "reward": int | float,
}
"""What parts of a step are where they are there at all."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One agent's steps and how it ended, as the store keeps them: documents are JSON text, times are in UTC."""

    external_id: str
    agent_id: str
    window_start: datetime
    """From `started_at`, whatever the app called its window: that is named after the end."""
    window_hours: int
    started_at: datetime
    ended_at: datetime
    steps: str
    status: str
    created_at: datetime
    updated_at: datetime
    scenario_id: str | None = None
    episode_id: str | None = None
    archetype: str | None = None
    model_version: str | None = None
    metrics: str | None = None
    components: str | None = None
    truth: str | None = None
    balance: float | None = None
    profit: float | None = None
    total_reward: float | None = None
    judge_reward: float | None = None
    judge_reasoning: str | None = None
    judged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a language model during a trajectory's step; documents are JSON text."""

    external_id: str
    trajectory_id: str
    """Its trajectory's id at the app."""
    called_at: datetime
    model: str
    purpose: str
    messages: str
    response: str
    step: int | None = None
    action_type: str | None = None
    reasoning: str | None = None
    latency_ms: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: str | None = None


DOCUMENTS = ("steps", "metrics", "components", "truth")
TIMES = ("started_at", "ended_at", "created_at", "updated_at", "judged_at")
NUMBERS = ("balance", "profit", "total_reward", "judge_reward")
TEXTS = ("status", "scenario_id", "episode_id", "archetype", "model_version", "judge_reasoning")
TRAJECTORY_NEEDED = ("external_id", "agent_id", "started_at", "ended_at", "steps", "status")
TRAJECTORY_CALLED = {
    "external_id": ("trajectory_id", "id"),
    "started_at": ("start_time",),
    "ended_at": ("end_time",),
    "steps": ("steps_json",),
    "metrics": ("metrics_json",),
    "components": ("reward_components_json", "reward_components"),
    "truth": ("metadata_json", "metadata"),
    "status": ("final_status",),
    "balance": ("final_balance",),
    "profit": ("final_pnl",),
    "judge_reward": ("ai_judge_reward",),
    "judge_reasoning": ("ai_judge_reasoning",),
}
CALL_NEEDED = ("external_id", "trajectory_id", "called_at", "model", "purpose", "response")
CALL_CALLED = {
    "external_id": ("call_id", "id"),
    "called_at": ("timestamp",),
    "messages": ("messages_json",),
    "step": ("step_number",),
}
"""What apps call a column besides our own name for it; the first app was that of seed 001."""
PROMPTS = {"system_prompt": "system", "user_prompt": "user"}
"""Columns that make the messages of a call that has none, and who says them."""
COUNTS = ("latency_ms", "max_tokens", "prompt_tokens", "completion_tokens")


def read_trajectory(values: Mapping[str, Any], now: datetime) -> Trajectory:
    """A trajectory from a row of any source; times without a zone are in UTC. Raises: Unreadable.

    `updated_at` is the latest of its times where the source has none, and never later than now: a clock that was ahead
    once would outdo all that comes after it.
    """
    read: dict[str, Any] = {name: text(name, values.get(name)) or None for name in TEXTS}
    read |= {name: identity(name, values.get(name)) for name in ("external_id", "agent_id")}
    read |= {name: document(name, values.get(name)) for name in DOCUMENTS}
    read |= {name: moment(name, values.get(name)) for name in TIMES}
    read |= {name: number(name, values.get(name)) for name in NUMBERS}
    need_values(read, [name for name in TRAJECTORY_NEEDED if name != "ended_at"])
    _need_steps(read["steps"])
    if read["ended_at"] is None:
        raise Unreadable("unfinished", "ended_at missing: it has not ended, and is read again until it has")
    if read["ended_at"] < read["started_at"]:
        raise Unreadable(
            "end_before_start", f"ended_at {read['ended_at']} is before started_at {read['started_at']}"
        )
    hours = within("window_hours", whole("window_hours", values.get("window_hours")), 1, LONGEST_WINDOW)
    read["window_hours"] = 1 if hours is None else int(hours)
    read["window_start"] = _window(read["started_at"], read["window_hours"])
    read["created_at"] = read["created_at"] or read["ended_at"]
    latest = read["updated_at"] or max(read[name] for name in TIMES if read[name] is not None)
    read["updated_at"] = min(latest, now)
    need_past(read, ("ended_at", "created_at"), now)
    return Trajectory(**read)


def read_call(values: Mapping[str, Any], now: datetime) -> ModelCall:
    """A model call from a row of any source; one without messages has its prompts for them. Raises: Unreadable."""
    read: dict[str, Any] = {
        name: text(name, values.get(name)) or None for name in ("action_type", "reasoning")
    }
    read |= {name: text(name, values.get(name)) for name in ("model", "purpose", "response")}
    read |= {name: identity(name, values.get(name)) for name in ("external_id", "trajectory_id")}
    read |= {name: whole(name, values.get(name)) for name in COUNTS}
    read["called_at"] = moment("called_at", values.get("called_at"))
    read["step"] = _step(values)
    read["temperature"] = within("temperature", values.get("temperature"), 0, math.inf)
    read["top_p"] = within("top_p", values.get("top_p"), 0, 1)
    read["messages"] = document("messages", values.get("messages")) or _messages(values)
    read["logprobs"] = document("logprobs", values.get("logprobs"))
    need_logprobs(read["logprobs"])
    need_values(read, (*CALL_NEEDED, "messages"))
    need_past(read, ("called_at",), now)
    return ModelCall(**read)


def _need_steps(words: str) -> None:
    """Steps are objects whose parts are what they seem to be; which of them are there is the app's affair."""
    for place, step in enumerate(json.loads(words)):
        if not isinstance(step, dict):
            raise Unreadable("bad_steps", f"step {place} is {type(step).__name__}, not an object")
        for name, part in step.items():
            kind = PARTS.get(normalised(name))
            if (
                kind is not None
                and part is not None
                and (isinstance(part, bool) or not isinstance(part, kind))
            ):
                raise Unreadable("bad_steps", f"{name} of step {place} is {type(part).__name__}")


def _window(started_at: datetime, hours: int) -> datetime:
    try:
        return window_start(started_at, hours)
    except OverflowError as error:
        raise Unreadable("bad_time", f"started_at {started_at} lies in no window of {hours} hours") from error


def _step(values: Mapping[str, Any]) -> int | None:
    """Its number, or that at the end of its id; None where neither says it."""
    if values.get("step") is not None:
        return whole("step", values["step"])
    ending = STEP.search(str(values.get("step_id")))
    return int(ending[1]) if ending else None


def _messages(values: Mapping[str, Any]) -> str | None:
    said = [
        {"role": role, "content": values[name]}
        for name, role in PROMPTS.items()
        if values.get(name) is not None
    ]
    return encoded("messages", said) if said else None
