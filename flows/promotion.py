"""Which model is in use, by a person's word: promoted with evidence, taken back, and who decided what when."""

from typing import Annotated

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from core.store.registry import Champion, Decision
from core.use_cases import UseCaseName
from flows.parameters import checked
from tasks.by_hand import open_by_hand, promote_by_hand, roll_back, show_history
from tasks.open import ENDINGS

LINES = 100
"""Decisions that the table shows."""


@flow(name="promotion", flow_run_name="promote-{use_case}-{slot}", validate_parameters=False, **ENDINGS)
@checked
def promote(  # noqa: PLR0917  (a form's fields)
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    slot: str = "default",
    evaluation: str | None = None,
    checkpoint: str | None = None,
    reason: str = "asked for",
    by: str | None = None,
) -> Champion:
    """Make a checkpoint the model in use: only with an evaluation that found 'better' and a verified release.

    Args:
        slot: Which champion of the use case: 'default', or an agent type.
        evaluation: The id of the evaluation (from a report), or its first letters.
        checkpoint: Instead of an evaluation, a checkpoint's digest: its newest evaluation counts.
        reason: Why, for the history.
        by: Who decides, for the history; without a name the account that the worker runs as.
    """
    word = open_by_hand(use_case, slot, by, reason, evaluation=evaluation, checkpoint=checkpoint)
    champion = promote_by_hand(word, evaluation, checkpoint)
    show_history(use_case, slot, LINES)
    return champion


@flow(name="promotion", flow_run_name="rollback-{use_case}-{slot}", validate_parameters=False, **ENDINGS)
@checked
def rollback(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    slot: str = "default",
    reason: str = "asked for",
    by: str | None = None,
) -> Champion:
    """Undo the promotion in force: the model before it is in use again, and so are its released files.

    Args:
        slot: Which champion of the use case: 'default', or an agent type.
        reason: Why, for the history.
        by: Who decides, for the history; without a name the account that the worker runs as.
    """
    champion = roll_back(open_by_hand(use_case, slot, by, reason))
    show_history(use_case, slot, LINES)
    return champion


@flow(name="promotion", flow_run_name="history-{use_case}-{slot}", validate_parameters=False)
@checked
def history(
    use_case: UseCaseName = UseCaseName("fantasy_draft"),
    slot: str = "default",
    limit: Annotated[int, Field(ge=1)] = LINES,
) -> list[Decision] | State[None]:
    """Every decision about a slot, newest first: who, when, verdict, reason, and the digests of the evidence.

    Args:
        slot: Which champion of the use case: 'default', or an agent type.
        limit: How many decisions.
    """
    decisions = show_history(use_case, slot, limit)
    return decisions or Completed(message=f"nothing was decided about {use_case} '{slot}' yet")
