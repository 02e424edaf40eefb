"""A filing desk: days of decisions by five agents, whose users answer late, seldom, and sometimes wrongly.

A day's decisions, and all that will ever be known of them, follow from the day and the seed. A night writes the last days
again as they are known by then, through the same way in as any app's rows: what became known is a change, the rest is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

from core.decision import AgentType, Feedback
from core.files import digest
from core.reward import FROM_FEEDBACK
from core.reward_weights import WEIGHTS
from core.use_cases.decision_agents.config import DeskSettings
from core.use_cases.decision_agents.desk_rules import RULES, Action

NO_DAY = date(2026, 11, 2)
"""The last day of a desk that no night was named for."""
MODEL = "desk-model-1"
LONGEST_SESSION = 4
OPENS = time(8, tzinfo=UTC)
WORKING_HOURS = 10
LATE = 0.3
"""Share of feedback that comes a day or more after the decision."""
LAZY = 0.2
"""Share of disagreement without a correction."""
UNSEEN = 0.1
"""Share of components that nothing is ever observed of."""
SLOWEST = {
    "immediate": 0.0,
    "contextual": 0.5,
    "accuracy": 1.0,
    "quality": 1.0,
    "delayed": 2.0,
    "strategic": 4.0,
}
"""Days until the last component of a group is known."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """A decision and what becomes known of it, with the times when."""

    row: Row
    feedback: tuple[datetime, Feedback, Action | None] | None
    components: tuple[tuple[datetime, str, dict[str, float]], ...]

    def known_at(self, moment: datetime) -> Row:
        """The row as the app had it at a moment."""
        row, changed = dict(self.row), self.row["created_at"]
        if self.feedback is not None and self.feedback[0] <= moment:
            changed, row["feedback"], row["correction"] = self.feedback
            row["feedback_at"] = changed
        seen = [part for part in self.components if part[0] <= moment]
        if seen:
            row["components"] = {group: values for _, group, values in seen}
            changed = max(changed, *(at for at, _, _ in seen))
        if len(seen) == len(self.components):
            row["outcome_at"] = max(at for at, _, _ in seen)
            row["outcome"] = {"status": "DONE"}
        return row | {"updated_at": changed}


def end_of(day: date) -> datetime:
    """The moment a day is over, in UTC."""
    return datetime.combine(day + timedelta(days=1), time(0, tzinfo=UTC))


def desk_rows(desk: DeskSettings, end: datetime) -> Iterator[Row]:
    """The decisions of the days up to a moment, oldest first, as they are known then."""
    for back in reversed(range(desk.days)):
        day = (end - timedelta(days=back + 1)).date()
        for agent in AgentType:
            for story in _day(desk, agent, day):
                yield story.known_at(end)


def _day(desk: DeskSettings, agent: AgentType, day: date) -> Iterator[Story]:
    """One agent's decisions of a day, session by session."""
    rng = Random(digest("desk", desk.seed, agent, day.isoformat()))  # noqa: S311  (a simulation)
    number = 0
    while number < desk.decisions:
        session, user = f"{agent.lower()}-{day:%Y%m%d}-{number}", f"user-{rng.randrange(desk.users)}"
        at = datetime.combine(day, OPENS) + timedelta(seconds=rng.randrange(WORKING_HOURS * 3600))
        length = min(1 + rng.randrange(LONGEST_SESSION), desk.decisions - number)
        for step in range(length):
            ids = {"external_id": f"{session}-{step}", "session_id": session, "step": step, "user_id": user}
            yield _story(desk, agent, rng, at + timedelta(minutes=3 * step), ids)
        number += length


def _story(desk: DeskSettings, agent: AgentType, rng: Random, at: datetime, ids: Row) -> Story:
    rule = RULES[agent]
    state = rule.state(rng)
    truth, wrong = rule.truth(state), rule.wrong(rng, state)
    right = rng.random() < desk.right
    done, other = (truth, wrong) if right else (wrong, truth)
    row = {
        **ids,
        "agent_type": agent,
        "state": state,
        "action": done,
        "item_id": f"item-{ids['external_id']}",
        "opus_id": done.get("opus"),
        "model_version": MODEL,
        "confidence": round(min(1.0, max(0.0, rng.gauss(0.7 if right else 0.5, 0.15))), 2),
        "created_at": at,
    }
    said = _feedback(desk, rng, agrees=right, other=other)
    feedback = None if said is None else (at + said[0], *said[1:])
    return Story(row, feedback, tuple(_components(agent, rng, at, good=right)))


def _feedback(
    desk: DeskSettings, rng: Random, *, agrees: bool, other: Action
) -> tuple[timedelta, Feedback, Action | None] | None:
    """What the user says and after how long: nothing, or what he thinks, which the noise turns into its opposite.

    Who was right and is corrected all the same is told what is wrong.
    """
    silent, late, lazy = rng.random() < desk.silent, rng.random() < LATE, rng.random() < LAZY
    delay = timedelta(days=rng.uniform(1, 3)) if late else timedelta(minutes=rng.uniform(1, 60))
    if silent:
        return None
    if agrees != (rng.random() < desk.noise):
        return delay, Feedback.CONFIRMED, None
    if lazy:
        return delay, rng.choice((Feedback.IGNORED, Feedback.OVERRIDDEN)), None
    return delay, Feedback.CORRECTED, other


def _components(
    agent: AgentType, rng: Random, at: datetime, *, good: bool
) -> Iterator[tuple[datetime, str, dict[str, float]]]:
    """Groups of components and the times when they are known; feedback itself is none of them."""
    for group, weights in WEIGHTS[agent].items():
        values = {name: _observed(rng, good=good) for name in weights if name not in FROM_FEEDBACK}
        seen = {name: value for name, value in values.items() if value is not None}
        yield at + timedelta(days=SLOWEST[group] * rng.uniform(0.3, 1)), group, seen


def _observed(rng: Random, *, good: bool) -> float | None:
    """A component of a decision: good ones tend to 0.7, others to -0.15."""
    value = max(-1.0, min(1.0, rng.gauss(0.7 if good else -0.15, 0.3)))
    return None if rng.random() < UNSEEN else round(value, 3)
