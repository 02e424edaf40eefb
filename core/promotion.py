"""Whether the champion pointer moves: the verdict of the contest and the check of what would be served."""

from enum import StrEnum

from core.evaluation import Evaluation, Verdict
from core.record import Record


class ReleaseCheck(StrEnum):
    """What became of the exported file's comparison with the model it was made from."""

    VERIFIED = "verified"
    NOT_VERIFIED = "not verified"
    FAILED = "failed"


class Promotion(Record):
    """One decision about the champion of a use case's slot, moved or kept."""

    use_case: str
    slot: str
    verdict: Verdict
    candidate: str
    """Digest of the candidate's checkpoint."""
    incumbent: str
    """Digest of the checkpoint in use until now."""
    evaluation: str
    """Id of the evaluation."""
    release: str | None
    """Digest of the exported release; None when nothing was exported."""
    promoted: bool
    reason: str

    @property
    def champion(self) -> str:
        """Digest of the checkpoint in use from now on."""
        return self.candidate if self.promoted else self.incumbent


def decide(
    evaluation: Evaluation,
    release_check: ReleaseCheck,
    *,
    use_case: str,
    slot: str,
    candidate: str,
    incumbent: str,
    release: str | None = None,
) -> Promotion:
    """Promote on 'better' and a verified release, keep the incumbent on everything else."""
    promoted = evaluation.verdict is Verdict.BETTER and release_check == ReleaseCheck.VERIFIED
    return Promotion(
        use_case=use_case,
        slot=slot,
        verdict=evaluation.verdict,
        candidate=candidate,
        incumbent=incumbent,
        evaluation=evaluation.id,
        release=release,
        promoted=promoted,
        reason=_reason(evaluation, release_check),
    )


def _reason(evaluation: Evaluation, release_check: ReleaseCheck) -> str:
    verdict = f"{evaluation.verdict}: {evaluation.reason}"
    if evaluation.verdict is not Verdict.BETTER:
        return f"incumbent kept, {verdict}"
    if release_check != ReleaseCheck.VERIFIED:
        return f"incumbent kept, the release is {release_check}; {verdict}"
    return f"promoted, {verdict}; the release is verified"
