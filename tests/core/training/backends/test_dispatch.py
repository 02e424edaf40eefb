"""Which backend trains, and what is refused before any work starts."""

import pytest

from core.errors import ConfigError
from core.training.backends import backend_of, need_backend
from core.training.config import AdapterSettings, SftSettings


def test_our_own_trainer_is_the_default():
    """It refuses no settings."""
    settings = SftSettings()
    assert backend_of(settings).name == "group"
    need_backend(settings, AdapterSettings())


def test_a_trainer_that_is_not_there_is_named():
    """One line, with the ones there are."""
    with pytest.raises(ConfigError, match=r"^sft\.trainer 'mlx' is not there yet: choose one of group"):
        need_backend(SftSettings(trainer="mlx"), AdapterSettings())
