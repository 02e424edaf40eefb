"""How much there is to train on, agent by agent."""

from collections.abc import Iterator
from typing import ClassVar

from core.decision import AgentType
from core.record import Record
from core.reward import RewardSpec
from core.store.engine import connection
from core.store.rewarded import known_spec

COUNTS = """
    SELECT d.agent_type, count(*), count(d.feedback),
        count(*) FILTER (WHERE r.status = 'pending'), count(r.total) FILTER (WHERE r.status = 'final'),
        avg(r.total) FILTER (WHERE r.status = 'final'), avg(r.normalized) FILTER (WHERE r.status = 'final')
    FROM overnight.decisions d LEFT JOIN overnight.rewards r ON r.subject = d.number AND r.spec = %s
    WHERE d.source = %s GROUP BY 1
"""


class AgentStatistics(Record):
    """What one agent type has; means are of final rewards, None without any."""

    agent_type: AgentType
    decisions: int = 0
    with_feedback: int = 0
    pending: int = 0
    """Whose reward waits for a component."""
    final: int = 0
    """Whose reward is known; of which nothing became known until the last deadline is none."""
    mean_reward: float | None = None
    """Of the raw total, in [-5, 5]."""
    mean_normalized: float | None = None
    ready: bool = False
    """Whether it has at least as many final rewards as were asked for."""


class TrainingStatistics(Record):
    """What a source's decisions are good for now."""

    columns: ClassVar[tuple[str, ...]] = tuple(
        name.replace("_", " ") for name in AgentStatistics.model_fields
    )
    source: str
    minimum: int
    """Final rewards from which an agent type is ready."""
    agents: tuple[AgentStatistics, ...]

    @property
    def sentence(self) -> str:
        """Which agent types can be trained."""
        ready = [each.agent_type.lower() for each in self.agents if each.ready]
        return f"Ready from {self.minimum:,} final rewards on, those to be held out among them: {', '.join(ready) or 'none'}."

    def lines(self) -> Iterator[tuple[object, ...]]:
        """One agent type a line."""
        for agent in self.agents:
            yield tuple(agent.model_dump(mode="json").values())


def training_statistics(use_case: str, source: str, spec: RewardSpec, minimum: int) -> TrainingStatistics:
    """Counts and means for every agent type, by a version of the rewards. Raises: StoreError."""
    with connection() as held:
        number = known_spec(held, use_case, spec.sha256)
        found = {row[0]: row[1:] for row in held.execute(COUNTS, (number, source))}
    agents = tuple(_statistics(agent, found.get(agent), minimum) for agent in AgentType)
    return TrainingStatistics(source=source, minimum=minimum, agents=agents)


def _statistics(
    agent: AgentType, row: tuple[int | float | None, ...] | None, minimum: int
) -> AgentStatistics:
    if row is None:
        return AgentStatistics(agent_type=agent)
    names = ("decisions", "with_feedback", "pending", "final", "mean_reward", "mean_normalized")
    counted = AgentStatistics.model_validate({"agent_type": agent, **dict(zip(names, row, strict=True))})
    return counted.model_copy(update={"ready": counted.final >= minimum})
