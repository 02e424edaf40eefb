"""The products. A new one is a folder here, its configs, one flow, and one name in USE_CASES."""

from enum import StrEnum

from core.config import presets
from core.errors import ConfigError
from core.use_case import UseCase
from core.use_cases.decision_agents import DECISION_AGENTS
from core.use_cases.fantasy_draft import FANTASY_DRAFT
from core.use_cases.widget_ratings import WIDGET_RATINGS

USE_CASES: tuple[UseCase, ...] = (FANTASY_DRAFT, DECISION_AGENTS, WIDGET_RATINGS)


class UseCaseName(StrEnum):
    """The product: its settings are a folder in configs/."""

    vars().update({use_case.name: use_case.name for use_case in USE_CASES})


class Preset(StrEnum):
    """How much is done: a file in the folder of the product's settings."""

    vars().update({name: name for use_case in USE_CASES for name in presets(use_case.name)})


def use_case_named(name: str) -> UseCase:
    """The registered use case of that name. Raises: ConfigError."""
    for use_case in USE_CASES:
        if use_case.name == name:
            return use_case
    known = ", ".join(use_case.name for use_case in USE_CASES)
    raise ConfigError(f"unknown use case '{name}': choose one of {known}")
