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
TRL_STD_FLOOR = 1e-4
_GRPO = {
    "exact": "its grpo writes completions of its own, and knows no choice among answers whose expectation is exact",
    "sampled": "its grpo draws from all tokens, not from the legal answers of a choice",
    "logged": "its grpo writes completions of its own, and takes no logged groups",
}


def trl_refusal(settings: MethodSettings, adapter: AdapterSettings) -> str | None:
    """Why TRL can't train as settings say, and what to do instead; None where it can."""
    lacks = _lacks(settings) or _grpo_lacks(settings, adapter)
    if lacks is not None:
        return (
            f"{lacks}; or leave trainer at 'group'"
            if ": set " in lacks
            else f"{lacks}; leave trainer at 'group'"
        )
    return None if find_spec("trl") and find_spec("datasets") else INSTALL


def _lacks(settings: MethodSettings) -> str | None:
    if isinstance(settings, PpoSettings):
        return "TRL 1.16 has no ppo"
    if isinstance(settings, GrpoSettings) and settings.estimator != "online":
        return _GRPO[settings.estimator]
    if isinstance(settings, DpoSettings) and settings.loss_type == "sigmoid" and settings.label_smoothing:
        return "its dpo leaves label_smoothing out of loss_type 'sigmoid'"
    if isinstance(settings, DpoSettings) and settings.nll_weight:
        return "its dpo takes the mean likelihood of a batch's tokens, not of each completion's: set nll_weight to 0"
    if isinstance(settings, KtoSettings) and settings.batch_size < 2 * settings.gradient_accumulation_steps:
        return "its kto measures its reference point on one forward pass, which needs two completions or more"
    return None


def _grpo_lacks(settings: MethodSettings, adapter: AdapterSettings) -> str | None:
    """What of online GRPO it has another way of, or none."""
    if not isinstance(settings, GrpoSettings):
        return None
    online, sampling = settings.online, settings.online.sampling
    found = {
        "its grpo can't hold answers to the 'listed' ones": online.answers == "listed",
        "its grpo can't hold answers to a json_schema": sampling.json_schema is not None,
        "its grpo ends completions at no text of sampling.stop": bool(sampling.stop),
        "its grpo leaves top_p out of the ratio: set sampling.top_p to 1": sampling.top_p < 1,
        "completions are drawn by the model that is trained: set online.rollout to torch": online.rollout.backend
        != "torch",
        "its grpo scores completions that were cut like whole ones: set online.train_cut to true": not online.train_cut,
        "its grpo has a std_floor of its own: set it to 0.0001": settings.advantage_scale == "std"
        and settings.std_floor != TRL_STD_FLOOR,
        "its grpo watches no KL: set max_kl to null": settings.max_kl is not None,
        "its grpo would drop out the reference's inputs too: set adapter.dropout to 0": adapter.dropout > 0,
    }
    return next((words for words, so in found.items() if so), None)
