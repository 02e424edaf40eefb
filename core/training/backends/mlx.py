"""`trainer: mlx`: LoRA SFT by mlx-lm on Apple silicon, with the same settings in and the same artifacts out."""

import gc
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlx.core as mx
import numpy as np
import torch

from core.checkpoint import Checkpoint
from core.errors import ConfigError, DataError, ModelError
from core.language.config import ModelConfig, model_config
from core.language.group import plain_logprobs
from core.language.model import FloatType, load_model, load_tokenizer, model_folder, pick_device
from core.language.model import put_adapter as put_on_torch
from core.language.row import TokenGroup
from core.training.adapter import start_adapter
from core.training.backends.mlx_model import (
    AdaptedModel,
    context_length,
    load_weights,
    new_adapter,
    pick_type,
    put_adapter,
)
from core.training.backends.mlx_trainer import PROBES, MlxTrainer
from core.training.checkpoints import Best
from core.training.config import SftSettings
from core.training.data import GroupData, load_groups
from core.training.memory import before_loading, empty_model
from core.training.notes import not_done, run_notes
from core.training.progress import append_progress
from core.training.publish import publish
from core.training.spec import TrainingSpec

_PROBES = 4
PARITY_LIMIT = {"fp32": 1e-3, "bf16": 0.05}
"""Mean difference of a token's log-probability, in nats, that rounding in two libraries explains."""


def train(spec: TrainingSpec) -> Checkpoint:
    """Run one training stage in this process and publish its checkpoint. Raises: OvernightError."""
    settings = spec.settings
    if not isinstance(settings, SftSettings):
        raise ConfigError(f"mlx-lm trains sft only, not {settings.method}")
    started, folder, config = time.perf_counter(), Path(spec.folder), model_config(spec.model)
    append_progress(folder, "loading", 0, 0)
    base, device = model_folder(config), pick_device()
    empty = partial(empty_model, base, config, spec.adapter, start=spec.start)
    before_loading(empty, settings, device)
    data = load_groups(spec.snapshot, load_tokenizer(base), settings, context_length(config, base))
    _need_single_completions(data, spec)
    dtype, reason = pick_type(settings.dtype)
    mx.random.seed(settings.seed)
    trainer = MlxTrainer(
        _adapted(spec, config, base, dtype),
        settings=settings,
        train=[group.tokens for group in data.train],
        held_out=[group.tokens for group in data.held_out],
        probes=_probes(data),
        folder=folder,
    )
    trainer.run()
    best, total_steps = trainer.best, trainer.total_steps
    del trainer
    apart = _parity(config, best, _probes(data), dtype)
    said = [
        reason,
        "trained by mlx-lm: every completion with its own prompt",
        *not_done("mlx-lm", settings),
        data.said,
        f"the adapter answers in torch as in MLX: {apart:.1g} nats a token apart",
    ]
    notes = run_notes(said, dropped=data.dropped, dtype=dtype, total_steps=total_steps, started=started)
    return publish(spec, best, total_steps, "loss", notes)


def _adapted(spec: TrainingSpec, config: ModelConfig, base: Path, dtype: FloatType) -> AdaptedModel:
    start, model = start_adapter(config, spec.start), load_weights(base, dtype)
    return put_adapter(model, start) if start else new_adapter(model, spec.adapter, config)


def _need_single_completions(data: GroupData, spec: TrainingSpec) -> None:
    if any(len(group.tokens.completions) > 1 for group in data.train):
        raise DataError(
            f"{spec.snapshot.path} holds choices among several answers, and mlx-lm learns from written completions only: "
            "leave sft.trainer at 'group'"
        )


def _probes(data: GroupData) -> list[TokenGroup]:
    return [group.tokens for group in (data.held_out or data.train)[:_PROBES]]


def _parity(config: ModelConfig, best: Best | None, probes: Sequence[TokenGroup], dtype: FloatType) -> float:
    """How far the published adapter's answers in torch are from those in MLX: nats a token.

    Raises: ModelError when they are too far apart to be the same model.
    """
    if best is None:
        return 0.0
    gc.collect()
    mx.clear_cache()
    adapted = put_on_torch(load_model(config, dtype, pick_device()).model, best.folder)
    with torch.no_grad():
        there_N = torch.cat([plain_logprobs(adapted, group) for group in probes]).cpu().numpy()
    here_N = np.array(json.loads((best.folder / PROBES).read_text(encoding="utf-8")))
    apart = float(np.abs(there_N - here_N).mean())
    if not apart <= PARITY_LIMIT[dtype]:
        raise ModelError(
            f"the adapter in {best.folder} answers otherwise in torch than in MLX ({apart:.2g} nats a token, at most "
            f"{PARITY_LIMIT[dtype]:g}): '{config.name}' is another model there; leave sft.trainer at 'group'"
        )
    return apart
