"""Decisions of a filing desk as its app logs them, any number, the same each time: states of a page of text, components by
agent type, feedback on two thirds.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from core.decision import AgentType
from core.reward_weights import WEIGHTS

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
TEXTS = 2_000
"""Different passages that states are put together from."""
SHARES = (40, 20, 20, 10, 10)
"""Of the agent types, in percent."""
USUAL = (1.0, -0.5, -0.8, 0.0, 0.5, -0.3, -1.0, 0.3)
FEEDBACK = ("CONFIRMED", "CORRECTED", "IGNORED", "OVERRIDDEN", None, None)
WORDS = (
    "review budget invoice client deploy refactor test call gym essay draft release hotfix meeting plan écrire 日本語 "
    'naïve quote" back\\slash tab\t. line\n. roadmap ship science portfolio green paper tax train letter garden'
)


class Logged(NamedTuple):
    """One decision; documents are JSON text, everything of its reward has arrived."""

    external_id: str
    agent_type: str
    state: str
    action: str
    user_id: str
    item_id: str
    opus_id: str
    model_version: str
    confidence: float
    reasoning: str
    feedback: str | None
    components: str
    created_at: datetime


def logged_decisions(count: int, seed: int = 7) -> Iterator[Logged]:
    """The first `count` decisions of a stream: a longer one begins with them."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS.split(" "), k=draw.randint(15, 60))) for _ in range(TEXTS)]
    agents = list(AgentType)
    for number in range(count):
        agent = draw.choices(agents, weights=SHARES)[0]
        confidence = round(draw.random(), 3)
        yield Logged(
            external_id=f"c{number:024x}",
            agent_type=str(agent),
            state=orjson.dumps(_state(draw, texts, number)).decode(),
            action=orjson.dumps(_action(draw, texts, confidence)).decode(),
            user_id=f"u{number % 50}",
            item_id=f"it{number:08d}",
            opus_id=f"op{number % 97}",
            model_version="desk-v3" if number % 7 == 0 else "gpt-4.1-mini",
            confidence=confidence,
            reasoning=draw.choice(texts)[:80],
            feedback=draw.choice(FEEDBACK),
            components=orjson.dumps(_components(draw, agent)).decode(),
            created_at=FIRST + timedelta(milliseconds=draw.randrange(DAYS * 86_400_000)),
        )


def _state(draw: random.Random, texts: list[str], number: int) -> dict[str, Any]:
    first, second, third, fourth = draw.choices(texts, k=4)
    return {
        "item": {
            "id": f"it{number:08d}",
            "title": first[:30],
            "rawInstructions": second,
            "routingNotes": third[:40],
        },
        "assignedOpus": {
            "id": f"op{number % 97}",
            "name": first[-20:],
            "opusType": "PROJECT",
            "content": fourth,
            "isStrategic": number % 2 == 1,
        },
        "availableOpuses": [
            {"id": f"op{each}", "name": f"Opus {each}", "opusType": "PROJECT"} for each in range(3)
        ],
        "userContext": {"currentTime": "2025-01-01T00:00:00.000Z"},
    }


def _action(draw: random.Random, texts: list[str], confidence: float) -> dict[str, Any]:
    return {
        "status": "TODO",
        "swimlane": "PROJECT",
        "priority": draw.choice(("HIGH", "MEDIUM", "LOW")),
        "labels": ["Job 1 (Income)"],
        "confidence": confidence,
        "reasoning": draw.choice(texts)[:80],
    }


def _components(draw: random.Random, agent: AgentType) -> dict[str, dict[str, float]]:
    """Six in ten are one of a few usual values, the others have up to 15 digits."""
    return {group: {name: _value(draw) for name in weights} for group, weights in WEIGHTS[agent].items()}


def _value(draw: random.Random) -> float:
    if draw.random() < 0.6:
        return draw.choice(USUAL)
    return round(draw.uniform(-1, 1), draw.choice((2, 3, 6, 15)))
