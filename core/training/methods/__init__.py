"""The training methods, by their settings."""

from core.training.config import DpoSettings, GrpoSettings, KtoSettings, MethodSettings, SftSettings
from core.training.methods.dpo import dpo_method
from core.training.methods.group_method import GroupMethod
from core.training.methods.grpo import grpo_method
from core.training.methods.kto import kto_method
from core.training.methods.ppo import ppo_method
from core.training.methods.sft import sft_method


def method_of(settings: MethodSettings) -> GroupMethod:
    """The method that settings describe."""
    if isinstance(settings, SftSettings):
        return sft_method()
    if isinstance(settings, GrpoSettings):
        return grpo_method(settings)
    if isinstance(settings, DpoSettings):
        return dpo_method(settings)
    return kto_method(settings) if isinstance(settings, KtoSettings) else ppo_method(settings)
