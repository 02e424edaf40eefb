"""The figures of the check, by hand, and each way a file can fail it."""

import numpy as np
import pytest
from pydantic import ValidationError

from core.exporting.agreement import DivergenceTally, judge
from core.exporting.config import Cap, ReleaseSettings, default_cap
from core.exporting.merge import token_kl
from core.exporting.replay import EncodedPrompt
from core.exporting.results import Divergence


def _log(*rows):
    return np.log(np.array(rows, dtype=np.float32))


def test_kl_of_two_coins_by_hand():
    """KL(½,½ || ¼,¾) = ½ ln 2 + ½ ln ⅔ = ½ ln 4/3."""
    assert token_kl(_log([0.5, 0.5]), _log([0.25, 0.75]))[0] == pytest.approx(0.5 * np.log(4 / 3), abs=1e-6)


def test_tokens_and_decisions_are_counted_apart():
    """At the last token the likeliest word differs, but among the legal answers the decision is the same."""
    reference = _log([0.7, 0.2, 0.1], [0.5, 0.3, 0.2])
    other = _log([0.7, 0.2, 0.1], [0.2, 0.5, 0.3])
    tally = DivergenceTally()
    tally.add(EncodedPrompt(tokens=(1, 2), answers=(1, 2), every_position=True), reference, other)
    tally.add(EncodedPrompt(tokens=(1, 2), answers=(0, 1), every_position=False), reference[1:], other[1:])
    result = tally.result()
    assert (result.positions, result.prompts, result.choices) == (2, 2, 2)
    assert result.top1 == 0.5
    assert result.choice == 0.5
    worst = 0.5 * np.log(5 / 2) + 0.3 * np.log(3 / 5) + 0.2 * np.log(2 / 3)
    assert result.kl_max == pytest.approx(worst, abs=1e-6)
    assert result.error_max == pytest.approx(np.log(0.5 / 0.2), abs=1e-6)
    assert result.kl == pytest.approx(worst / 2, abs=1e-6)
    # answers (.6, .4) against (.625, .375), and (.625, .375) against (2/7, 5/7)
    first = 0.6 * np.log(0.6 / 0.625) + 0.4 * np.log(0.4 / 0.375)
    second = 0.625 * np.log(0.625 * 7 / 2) + 0.375 * np.log(0.375 * 7 / 5)
    assert result.choice_kl == pytest.approx((first + second) / 2, abs=1e-6)


def _divergence(**changes):
    values = {
        "positions": 2000, "prompts": 64, "kl": 0.01, "kl_error": 0.0, "kl_p99": 0.1, "kl_max": 0.5, "top1": 0.95,
        "top1_error": 0.0, "error_max": 0.5, "choices": 64, "choice": 0.95, "choice_error": 0.0, "choice_kl": 0.01,
    }  # fmt: skip
    return Divergence(**{**values, **changes})


CAP = Cap(kl=0.02, top1=0.93, choice=0.9, kl_max=1.0, error_max=1.0)


@pytest.mark.parametrize(
    ("changes", "base_kl", "word"),
    [
        ({"kl": 0.03}, None, "KL 0.03 nats a token (at most 0.02)"),
        ({"top1": 0.9}, None, "top-1 agreement 90.0% (at least 93.0%)"),
        ({"kl_max": 2.0}, None, "KL of the worst token 2 nats (at most 1)"),
        ({"error_max": 3.0}, None, "largest error of a log-probability 3 (at most 1)"),
        ({"error_max": np.nan}, None, "largest error of a log-probability nan (at most 1)"),
        ({"kl": np.nan}, None, "KL nan nats a token (at most 0.02)"),
        ({"choice": 0.5}, None, "same decision 50.0% (at least 90.0%)"),
        ({}, 0.005, "KL 2.00 times that of the base model (at most 1.5)"),
    ],
)
def test_each_gate_names_its_figure_and_its_limit(changes, base_kl, word):
    """One gate at a time is broken."""
    assert judge(_divergence(**changes), CAP, base_kl=base_kl, most_ratio=1.5, noise_kl=1e-4) == (word,)


def test_a_file_within_its_limits_passes():
    """Free text has no decisions to compare, rounding has no ratio to speak of, doubt is the file's benefit; so is no limit."""
    free = _divergence(choices=0, choice=None, choice_kl=None)
    unlimited = CAP.model_copy(update={"kl_max": None})
    assert judge(_divergence(kl_max=9.0), unlimited, base_kl=None, most_ratio=1.5, noise_kl=1e-4) == ()
    assert judge(free, CAP, base_kl=0.009, most_ratio=1.5, noise_kl=1e-4) == ()
    assert judge(_divergence(kl=5e-5), CAP, base_kl=1e-6, most_ratio=1.5, noise_kl=1e-4) == ()
    assert judge(_divergence(kl=0.03, kl_error=0.006), CAP, base_kl=None, most_ratio=1.5, noise_kl=1e-4) == ()


def test_caps_grow_stricter_with_the_model():
    """The same level costs a large model less, so it is allowed less."""
    small, middle, large = (
        default_cap("q4_k_m", size) for size in (135_000_000, 3_000_000_000, 8_000_000_000)
    )
    assert small.kl > middle.kl > large.kl
    assert small.top1 < middle.top1 < large.top1
    assert (small.kl_max, middle.kl_max, large.kl_max) == (None, None, None)
    assert default_cap("f16", 3_000_000_000).kl_max == default_cap("f16", 1).kl_max == 0.02
    assert ReleaseSettings(caps={"q4_k_m": CAP}).cap("q4_k_m", 8_000_000_000) == CAP


def test_an_unknown_level_is_refused_with_the_list():
    """In the configuration already, before anything is trained."""
    with pytest.raises(ValidationError, match="unknown quantisation level q7: choose from f16, q8_0"):
        ReleaseSettings(levels=("q7",))
