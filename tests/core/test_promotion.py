"""The champion pointer moves on 'better' and a verified release, on nothing else."""

import numpy as np
import pytest

from core.evaluation import Contest, EvaluationSettings, Verdict, evaluate
from core.promotion import Promotion, ReleaseCheck, decide

AHEAD = {Verdict.BETTER: 0.2, Verdict.NOT_BETTER: -0.2, Verdict.CANNOT_TELL: 0.0}


def evaluation(verdict):
    """One that ends in the verdict."""
    ahead = AHEAD[verdict] + np.tile([0.1, -0.1], 20)
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(40))),
        clusters_I=np.arange(40),
        values={"win": np.stack([ahead, np.zeros(40)])},
    )
    return evaluate(rows, EvaluationSettings(primary_metric="win"), {})


def decision(verdict, check):
    """What follows from a verdict and a check."""
    return decide(
        evaluation(verdict),
        check,
        use_case="chess",
        slot="default",
        candidate="new",
        incumbent="old",
        release="gguf",
    )


@pytest.mark.parametrize("check", ReleaseCheck)
@pytest.mark.parametrize("verdict", Verdict)
def test_only_better_and_verified_moves_the_pointer(verdict, check):
    """Of nine combinations one promotes."""
    promotion = decision(verdict, check)

    assert promotion.verdict is verdict
    assert promotion.promoted == (verdict is Verdict.BETTER and check is ReleaseCheck.VERIFIED)
    assert promotion.champion == ("new" if promotion.promoted else "old")


@pytest.mark.parametrize(
    ("verdict", "check", "start"),
    [
        (Verdict.BETTER, ReleaseCheck.VERIFIED, "promoted, better: candidate minus incumbent"),
        (Verdict.BETTER, ReleaseCheck.FAILED, "incumbent kept, the release is failed; better:"),
        (Verdict.BETTER, ReleaseCheck.NOT_VERIFIED, "incumbent kept, the release is not verified; better:"),
        (Verdict.CANNOT_TELL, ReleaseCheck.VERIFIED, "incumbent kept, cannot tell:"),
    ],
)
def test_the_reason_says_what_decided(verdict, check, start):
    """One sentence: kept or promoted, by what, with the numbers."""
    assert decision(verdict, check).reason.startswith(start)


def test_a_promotion_names_its_evidence_and_survives_json():
    """The evaluation's id is in it; stored and read again it is equal."""
    promotion = decision(Verdict.BETTER, ReleaseCheck.VERIFIED)

    assert promotion.evaluation == evaluation(Verdict.BETTER).id
    assert Promotion.model_validate_json(promotion.model_dump_json()) == promotion
