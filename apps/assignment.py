"""Which of two models a user gets, over HTTP: GET /assignment?experiment=tone&user=u1."""

from fastapi import FastAPI, Request

from core.experiment import Experiments, assign
from core.record import Record
from core.store.arms import version_of_arm


class Assignment(Record):
    """A user's arm of an experiment."""

    experiment: str
    arm: str
    model: str
    """As the experiment names it: 'champion', 'previous', 'untrained', or a version."""
    version: str
    """What that is now; it belongs into every rating of the answers that this user is shown."""


def serve_assignments(app: FastAPI, experiments: Experiments) -> None:
    """Let an app ask who gets what."""
    app.state.experiments = experiments
    app.get("/assignment")(assignment)


def assignment(experiment: str, user: str, request: Request) -> Assignment:
    """The user's arm, the same at every call; the store is asked only where the arm's model is named by its role."""
    settings = request.app.state.experiments.named(experiment)
    arm = assign(settings, user)
    return Assignment(
        experiment=experiment, arm=arm.name, model=arm.model, version=version_of_arm(settings, arm)
    )
