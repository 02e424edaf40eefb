"""What TRL's trainers lack, said before any work starts. Needs neither TRL nor torch."""

from importlib.util import find_spec

from core.training.config import (
    AdapterSettings,
    DpoSettings,
    GrpoSettings,
    KtoSettings,
    MethodSettings,
    PpoSettings,
)

INSTALL = "it is not installed: pip install -c constraints.txt 'trl>=1.16,<2' 'datasets>=5'"
_GRPO = {
    "exact": "its grpo writes completions of its own, and knows no choice among answers whose expectation is exact",
    "sampled": "its grpo draws from all tokens, not from the legal answers of a choice",
    "logged": "its grpo writes completions of its own, and takes no logged groups",
    "online": "its grpo knows neither answers 'listed', json_schema nor rewards that can be missing",
}


def trl_refusal(settings: MethodSettings, adapter: AdapterSettings) -> str | None:
    """Why TRL can't train as settings say, and what to do instead; None where it can."""
    del adapter
    lacks = _lacks(settings)
    if lacks is not None:
        return f"{lacks}; leave trainer at 'group'"
    return None if find_spec("trl") and find_spec("datasets") else INSTALL


def _lacks(settings: MethodSettings) -> str | None:
    if isinstance(settings, PpoSettings):
        return "TRL 1.16 has no ppo"
    if isinstance(settings, GrpoSettings):
        return _GRPO[settings.estimator]
    if isinstance(settings, DpoSettings) and settings.loss_type == "sigmoid" and settings.label_smoothing:
        return "its dpo leaves label_smoothing out of loss_type 'sigmoid'"
    if isinstance(settings, KtoSettings) and settings.batch_size < 2 * settings.gradient_accumulation_steps:
        return "its kto measures its reference point on one forward pass, which needs two completions or more"
    return None
