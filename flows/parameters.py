"""What a flow is asked for, checked before anything else."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from pydantic import create_model

from core.config import validate
from core.record import Record

P = ParamSpec("P")
R = TypeVar("R")


def checked(run: Callable[P, R]) -> Callable[P, R]:
    """A flow's function that refuses wrong parameters in one line, as it refuses wrong settings: with a ConfigError.

    Prefect's own check, which a flow turns off with `validate_parameters=False`, takes several lines for it. The form
    of a deployment is drawn from the same annotations either way.
    """
    signature = inspect.signature(run)
    fields: dict[str, Any] = {
        name: (parameter.annotation, parameter.default) for name, parameter in signature.parameters.items()
    }
    form = create_model(run.__name__, __base__=Record, **fields)

    @wraps(run)
    def begin(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        asked = validate(form, given, f"the parameters of flow {run.__name__}")
        return run(**dict(asked))  # type: ignore[call-arg]

    return begin
