"""What the server does by itself when something happens to a run."""

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY

ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
RESTS = ("Suspended", "AwaitingRetry", "Scheduled")
"""States in which a run rightly sends no heartbeat: without them a waiting run would be taken for dead."""

SILENCE = 3
"""Heartbeats that may be missing."""


def zombies() -> AutomationCore:
    """Marks a run as crashed when its process went away without a word (SIGKILL, power, memory)."""
    seconds = SILENCE * int(PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() or 30)
    beat = "prefect.flow-run.heartbeat"
    return AutomationCore(
        name="crash-zombies",
        description=f"A run that sends no heartbeat for {seconds} s is marked as crashed.",
        trigger=EventTrigger(
            after={beat},
            expect={beat, *(f"prefect.flow-run.{state}" for state in (*ENDS, *RESTS))},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                force=False,
                name="Zombie",
                message=f"its process sent no heartbeat for {seconds} s: trigger it again, finished stages are kept",
            )
        ],
    )


def register_automations(client: SyncPrefectClient) -> list[str]:
    """Create what is missing and renew what changed; what a person switched off stays off.

    Returns the names of those it touched.
    """
    wanted = zombies()
    known = client.read_automations_by_name(wanted.name)
    if not known:
        client.create_automation(wanted)
        return [wanted.name]
    if _content(known[0]) == _content(wanted):
        return []
    client.update_automation(known[0].id, wanted.model_copy(update={"enabled": known[0].enabled}))
    return [wanted.name]


def _content(automation: AutomationCore) -> dict[str, object]:
    """What the automation does, without the ids that the server adds."""
    trigger = automation.trigger.model_dump(mode="json", exclude={"id"})
    for names in ("after", "expect", "for_each"):
        trigger[names] = sorted(trigger[names])
    actions = [action.model_dump(mode="json") for action in automation.actions]
    return {"description": automation.description, "trigger": trigger, "actions": actions}
