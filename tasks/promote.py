"""The verdict, carried out."""

from prefect import task

from core.checkpoint import Checkpoint
from core.evaluation import Evaluation
from core.exporting.results import Release
from core.promotion import Promotion, decide
from core.run import Run
from core.served_names import follow_champion
from core.store.registry import record_promotion
from tasks.evaluate import INCUMBENT, Played
from tasks.stage import RETRIES


@task(name="promote", **RETRIES)
def promote(
    run: Run, candidate: Checkpoint, played: Played, evaluation: Evaluation, files: Release
) -> Promotion:
    """Move the champion pointer on 'better' and a verified export, in one transaction with its evidence.

    Then the aliases `<use case>-<slot>-<format>` among the releases point at the new champion's files, and at nothing else.
    """
    promotion = decide(
        evaluation,
        files.check,
        use_case=run.use_case.name,
        slot=run.config.slot,
        candidate=candidate.sha256,
        incumbent=played.entrants[INCUMBENT].sha256,
        release=files.sha256,
    )
    record_promotion(run.id, promotion)
    if promotion.promoted:
        follow_champion(promotion.use_case, promotion.slot)
    return promotion
