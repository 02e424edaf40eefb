"""The chain that every use case with a language model shares: from scored rows to a tested, checked, promoted model."""

from collections.abc import Sequence

from core.checkpoint import Checkpoint
from core.dataset import Snapshot
from core.errors import OvernightError
from core.promotion import Promotion
from core.run import Run
from core.training.config import Method
from tasks.evaluate import evaluate, play
from tasks.promote import promote
from tasks.release import release
from tasks.report import report
from tasks.serve import deploy, register
from tasks.snapshot import snapshot
from tasks.train import train


def improve(run: Run, rewards: Snapshot, methods: Sequence[Method]) -> Promotion:
    """Train by one method after the other, let the last and the others compete, and ship only what proves better."""
    trained: list[Checkpoint] = []
    for method in methods:
        start = trained[-1] if trained else None
        trained.append(train(run, method, snapshot(run, method, rewards), start=start))
    *others, candidate = trained
    contest = play(run, candidate, others=others, rows=rewards)
    evaluation = evaluate(run, contest)
    try:
        files = register(run, release(run, candidate, rewards, evaluation))
    except OvernightError as error:
        report(run, evaluation, failure=str(error))
        raise
    promotion = promote(run, candidate, contest, evaluation, files)
    try:
        deploy(run, candidate, files)
    except OvernightError as error:
        report(run, evaluation, promotion, failure=str(error))
        raise
    report(run, evaluation, promotion)
    return promotion
