"""Training settings in transformers' words."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from core.training.config import MethodSettings


def training_arguments(
    settings: MethodSettings, folder: Path, device: torch.device, steps: int
) -> TrainingArguments:
    """What a `transformers.Trainer` is told; logging, evaluation and saving follow the trainer's own rhythm."""
    arguments = TrainingArguments(
        **argument_values(settings, folder, device),
        num_train_epochs=1,  # the order of groups holds all epochs
        max_steps=steps,
        ddp_find_unused_parameters=False,  # every weight of an adapter takes part in every pass
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # noqa: SLF001  (one process trains on one GPU: rows can't be dealt out over several)
    return arguments


def argument_values(settings: MethodSettings, folder: Path, device: torch.device) -> dict[str, Any]:
    """What every kind of `transformers.TrainingArguments` is told, TRL's too."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch_size // settings.gradient_accumulation_steps,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "activation_checkpointing": settings.gradient_checkpointing,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "optim": "adamw_torch",
        "use_cpu": device.type == "cpu",
        "bf16": False,  # the weights themselves are bf16 where that is chosen; adapters stay fp32
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "save_total_limit": 2,
        "eval_strategy": "no",
        "report_to": "none",
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }
