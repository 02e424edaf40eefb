"""What a checkpoint's record says of the run that made it, whichever backend trained."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from core.language.four_bit import Quantization
from core.training.config import MethodSettings


def run_notes(
    said: Iterable[str],
    *,
    dropped: Mapping[str, int],
    dtype: str,
    total_steps: int,
    started: float,
    quantization: Quantization = "none",
    stopped: str = "",
) -> dict[str, Any]:
    """The notes; `said` are sentences for a person, and `started` is when the run began (`time.perf_counter`)."""
    return {
        "said": [sentence for sentence in said if sentence],
        "dropped": dict(dropped),
        "dtype": dtype,
        "quantization": quantization,
        "total_steps": total_steps,
        "stopped": stopped,
        "seconds": round(time.perf_counter() - started, 1),
    }


def not_done(by: str, settings: MethodSettings) -> list[str]:
    """What the settings allow and another library's trainer does not do."""
    said = [f"{by} does not go back (max_rollbacks): a loss or gradient that is no number is an error"]
    if settings.quantization == "auto":
        said.append(f"full base weights: {by} trains on no 4-bit ones")
    return said
