"""Whether logged completions still say something about the policy that training starts from, and what to do if not.

An importance weight is how much more probable the start finds a completion than the policy that drew it did. Where few
weights hold all the mass, or the two policies are far apart, the clipped ratio learns from almost nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import DataError
from core.training.behaviour import Known
from core.training.config import (
    DpoSettings,
    GrpoSettings,
    GuardSettings,
    MethodSettings,
    SftSettings,
    active_guards,
)
from core.training.data import GroupData, TrainingGroup
from core.training.fallback import as_best, as_pairs, shared_settings
from core.training.losses import completion_sums, k3


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is trained on by which method after the guards have looked, and what they say."""

    data: GroupData
    settings: MethodSettings
    said: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the start is from the policy that drew the completions, measured on those completions."""

    completions: int
    ess: float
    """Effective sample size as a share of the completions."""
    kl: float
    """KL(behaviour || start) in nats a token."""

    def problems(self, guards: GuardSettings) -> list[str]:
        """What is beyond its limit, with both figures."""
        found = []
        if self.ess < guards.min_ess:
            found.append(f"an effective sample size of {self.ess:.3g} (guards.min_ess {guards.min_ess:g})")
        if self.kl > guards.max_kl:
            found.append(f"a KL of {self.kl:.3g} nats a token (guards.max_kl {guards.max_kl:g})")
        return found


def guard(data: GroupData, settings: MethodSettings) -> Guarded:
    """Groups with their reference, as they may be trained on. Raises: DataError when they are stale and refused."""
    guards = active_guards(settings)
    if guards is None:
        return Guarded(data, settings)
    known = _counted(data.behaviour)
    drift = measure(data.train)
    if drift is None:
        return Guarded(data, settings, f"{known}: taken as drawn by the policy that training starts from")
    problems = drift.problems(guards)
    if problems:
        return _stale(data, settings, f"{' and '.join(problems)} over {drift.completions} logged completions")
    figures = f"effective sample size {drift.ess:.3g} of {drift.completions}, KL {drift.kl:.3g} nats a token"
    return Guarded(data, settings, f"{known}; {figures}")


def measure(groups: Sequence[TrainingGroup]) -> Drift | None:
    """The drift on all completions whose drawing policy is known; None without any."""
    known = [group for group in groups if group.behaviour]
    if not known:
        return None
    lengths = [len(completion) for group in known for completion in group.tokens.completions]
    completion_N = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    behaviour_N = torch.tensor([value for group in known for value in group.behaviour]).double()
    start_N = torch.tensor([value for group in known for value in group.reference]).double()
    ratios_M = completion_sums(start_N - behaviour_N, completion_N, len(lengths))
    ratios_M = ratios_M[~ratios_M.isnan()]
    distance_N = k3(behaviour_N, start_N)
    return Drift(len(ratios_M), effective_share(ratios_M), distance_N[~distance_N.isnan()].mean().item())


def effective_share(ratios_M: Tensor) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2 of weights w = exp(log-ratio), divided by their number.

    Kish 1965, "Survey Sampling", section 11.7; for importance weights Kong 1992. 1 where all weights are equal, 1 / n
    where one has all. No step leaves the logarithm, so that long completions can't overflow.
    """
    effective = 2 * ratios_M.logsumexp(0) - (2 * ratios_M).logsumexp(0)
    return effective.exp().item() / len(ratios_M)


def _stale(data: GroupData, settings: MethodSettings, why: str) -> Guarded:
    on_stale = settings.on_stale if isinstance(settings, GrpoSettings) else "refuse"
    if on_stale == "refuse":
        other = ", or set on_stale to dpo or sft" if isinstance(settings, GrpoSettings) else ""
        raise DataError(
            f"the logged completions are stale for {settings.method}: {why}; start from the checkpoint that answered, "
            f"or collect newer rows{other}"
        )
    said = f"instead of {settings.method}: the completions are stale, with {why}"
    if on_stale == "dpo":
        pairs = DpoSettings(**shared_settings(settings))
        return Guarded(as_pairs(data, pairs), pairs, f"trained by DPO on pairs from their rewards {said}")
    best = SftSettings(**shared_settings(settings))
    return Guarded(as_best(data), best, f"trained by SFT on the best of each group {said}")


def _counted(known: Mapping[Known, int]) -> str:
    """How many completions come with the log-probabilities they were drawn with."""
    total = sum(known.values())
    other = known.get("other tokens", 0)
    more = f", {other} of them with those of another tokenizer" if other else ""
    return f"{known.get('logged', 0)} of {total} completions with usable behaviour log-probabilities{more}"
