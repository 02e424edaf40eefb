"""Is the exported file still the model that was trained? Measured where it matters: tokens, and decisions.

The same held-out prompts are read by the merged model (float32, transformers) and by the file (llama.cpp,
onnxruntime). Greedy text is not compared: at a tie any rounding changes it.
"""

from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from core.exporting.config import MOST_KL_RATIO, Cap
from core.exporting.merge import token_kl
from core.exporting.replay import AT_ONCE, EncodedPrompt, LogProbs, Reader
from core.exporting.results import Divergence


@dataclass(slots=True)
class DivergenceTally:
    """Collects one pair of readers, prompt by prompt, so that no whole distribution is kept."""

    kl: list[LogProbs] = field(default_factory=list)
    same: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    same_choice: list[bool] = field(default_factory=list)
    choice_kl: list[float] = field(default_factory=list)
    error_max: float = 0.0

    def add(self, prompt: EncodedPrompt, reference_T_V: LogProbs, other_T_V: LogProbs) -> None:
        """Compare one prompt; `reference_T_V` and `other_T_V` are what the two readers said."""
        self.error_max = float(np.maximum(self.error_max, np.abs(reference_T_V - other_T_V).max()))
        if prompt.every_position:
            self.kl.append(token_kl(reference_T_V, other_T_V))
            self.same.append(reference_T_V.argmax(-1) == other_T_V.argmax(-1))
        if prompt.answers:
            answers = list(prompt.answers)
            p_A, q_A = _renormalised(reference_T_V[-1, answers]), _renormalised(other_T_V[-1, answers])
            self.same_choice.append(bool(p_A.argmax() == q_A.argmax()))
            self.choice_kl.append(float(token_kl(p_A, q_A)))

    def result(self) -> Divergence:
        """The figures of all prompts added."""
        kl, same = np.concatenate(self.kl), np.concatenate(self.same)
        choices = len(self.same_choice)
        return Divergence(
            positions=len(kl),
            prompts=max(len(self.kl), choices),
            kl=float(kl.mean()),
            kl_error=_error([float(part.mean()) for part in self.kl]),
            kl_p99=float(np.quantile(kl, 0.99)),
            kl_max=float(kl.max()),
            top1=float(same.mean()),
            top1_error=_error([float(part.mean()) for part in self.same]),
            error_max=self.error_max,
            choices=choices,
            choice=float(np.mean(self.same_choice)) if choices else None,
            choice_error=_error([float(same) for same in self.same_choice]),
            choice_kl=float(np.mean(self.choice_kl)) if choices else None,
        )


def _renormalised(logprobs_A: LogProbs) -> LogProbs:
    return logprobs_A - np.log(np.exp(logprobs_A - logprobs_A.max()).sum()) - logprobs_A.max()


def _error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def measure(
    reference: Reader,
    files: Mapping[str, Reader],
    prompts: Sequence[EncodedPrompt],
    *,
    tokens_only: Container[str] = (),
) -> dict[str, Divergence]:
    """How far each file is from the reference; `AT_ONCE` readers work side by side, one prompt at a time.

    Files in `tokens_only` read only the prompts that are compared at every position.
    """
    tallies = {name: DivergenceTally() for name in files}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for prompt in prompts:
            names = [name for name in files if prompt.every_position or name not in tokens_only]
            ask = partial(_ask, prompt)
            said, *others = pool.map(ask, [reference, *(files[name] for name in names)])
            for name, other in zip(names, others, strict=True):
                tallies[name].add(prompt, said, other)
    return {name: tally.result() for name, tally in tallies.items()}


def _ask(prompt: EncodedPrompt, reader: Reader) -> LogProbs:
    return reader.log_probabilities(prompt)


def judge(
    divergence: Divergence,
    cap: Cap,
    *,
    base_kl: float | None = None,
    most_ratio: float = MOST_KL_RATIO,
    noise_kl: float = 0.0,
) -> tuple[str, ...]:
    """What is wrong with a file, each with its figure and its limit; empty when it is the model.

    A figure that is no number is a fault. Means and shares get two standard errors of benefit of the doubt. What the base model itself loses on these prompts is
    allowed: some texts hold tokens that quantise badly whatever was trained (a lone space before a digit costs
    SmolLM2-135M 4.4 nats at q8_0). The ratio to the base model is only asked above
    `noise_kl`, where it is quantisation and not rounding that is compared.
    """
    found = []
    most_kl = max(cap.kl, base_kl or 0.0)
    if not divergence.kl - 2 * divergence.kl_error <= most_kl:
        found.append(f"KL {divergence.kl:.3g} nats a token (at most {most_kl:.3g})")
    if divergence.top1 + 2 * divergence.top1_error < cap.top1:
        found.append(f"top-1 agreement {divergence.top1:.1%} (at least {cap.top1:.1%})")
    if cap.kl_max is not None and not divergence.kl_max <= cap.kl_max:
        found.append(f"KL of the worst token {divergence.kl_max:.3g} nats (at most {cap.kl_max:g})")
    if cap.error_max is not None and not divergence.error_max <= cap.error_max:
        found.append(
            f"largest error of a log-probability {divergence.error_max:.3g} (at most {cap.error_max:g})"
        )
    if divergence.choice is not None and divergence.choice + 2 * divergence.choice_error < cap.choice:
        found.append(f"same decision {divergence.choice:.1%} (at least {cap.choice:.1%})")
    least_kl = divergence.kl - 2 * divergence.kl_error
    if base_kl is not None and least_kl > noise_kl and least_kl > most_ratio * base_kl:
        found.append(f"KL {least_kl / base_kl:.2f} times that of the base model (at most {most_ratio:g})")
    return tuple(found)
