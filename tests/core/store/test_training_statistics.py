"""How much there is to train on."""

from datetime import UTC, datetime

import pytest

from core.decision import AgentType
from core.reward import RewardSpec
from core.store.decisions import ingest
from core.store.engine import connection
from core.store.reward_specs import spec_number
from core.store.training_statistics import AgentStatistics, training_statistics

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SPEC = RewardSpec(version="1")


def statistics(minimum, source="app", spec=SPEC):
    found = training_statistics("decision_agents", source, spec, minimum)
    return {each.agent_type: each for each in found.agents}


def test_every_agent_type_is_counted(database):
    """Decisions, those with feedback, pending and final rewards, the mean of final ones, and whether they suffice."""
    rows = [
        {
            "external_id": str(number),
            "agent_type": "FILER" if number < 5 else "STORER",
            "state": {},
            "action": {},
            "model_version": "m",
            "created_at": AT,
            "feedback": "CONFIRMED" if number % 2 else None,
        }
        for number in range(7)
    ]
    assert sum(page.written for page in ingest("app", rows, now=AT)) == 7
    with connection() as held:
        held.execute(
            """
            INSERT INTO overnight.rewards (spec, subject, status, components, total, normalized, revision, code)
            SELECT %s, number, CASE WHEN external_id = '3' THEN 'pending' ELSE 'final' END, '[]', number %% 3,
                   (number %% 3 + 2) / 4.0, 1, '' FROM overnight.decisions WHERE external_id < '4'
            """,
            (spec_number(held, "decision_agents", SPEC),),
        )
        totals = held.execute("SELECT number % 3 FROM overnight.decisions WHERE external_id < '3'").fetchall()
    mean = sum(total for (total,) in totals) / 3
    found = statistics(3)
    assert found[AgentType.FILER].mean_reward == pytest.approx(mean)
    assert found[AgentType.FILER].mean_normalized == pytest.approx((mean + 2) / 4)
    assert found[AgentType.FILER] == AgentStatistics(
        agent_type=AgentType.FILER,
        decisions=5,
        with_feedback=2,
        pending=1,
        final=3,
        mean_reward=found[AgentType.FILER].mean_reward,
        mean_normalized=found[AgentType.FILER].mean_normalized,
        ready=True,
    )
    assert found[AgentType.STORER] == AgentStatistics(
        agent_type=AgentType.STORER, decisions=2, with_feedback=1
    )
    assert found[AgentType.RETRIEVER] == AgentStatistics(agent_type=AgentType.RETRIEVER)
    assert not statistics(4)[AgentType.FILER].ready
    assert statistics(3, source="other")[AgentType.FILER].decisions == 0
    assert statistics(3, spec=RewardSpec(version="2"))[AgentType.FILER].final == 0
