"""Settings of the training methods. Needs no torch, so that a flow's form can be drawn without it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from core.record import Record

Dtype = Literal["auto", "bf16", "fp32"]


class AdapterSettings(Record):
    """LoRA (Hu et al. 2021, arXiv:2106.09685): which layers, how wide, how strong."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    top_layers: int | None = Field(default=None, ge=1)
    """Train only the last n layers; the backward pass stops there. None trains all."""


class TrainingSettings(Record):
    """What every method needs."""

    learning_rate: float = Field(gt=0)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimizer steps, whatever `epochs` says."""
    batch_size: int = Field(default=8, ge=1)
    """Groups in one optimizer step."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Forward passes one optimizer step is spread over, to save memory; divides `batch_size`."""
    gradient_checkpointing: bool = False
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    dtype: Dtype = "auto"
    """The type of the frozen weights. auto: bf16 on an accelerator; on a CPU the faster one, timed at the start."""
    eval_every: int = Field(default=25, ge=1)
    """Steps between looks at the held-out groups; also before the first step and after the last."""
    eval_groups: int = Field(default=64, ge=1)
    """How many held-out groups a look takes."""
    save_every: int = Field(default=25, ge=1)
    """Steps between checkpoints a killed run can go on from."""
    seed: int = 0

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}"
            )
        return self


class SftSettings(TrainingSettings):
    """Supervised fine-tuning: imitate the completion, or the distribution over a choice."""

    method: Literal["sft"] = "sft"
    learning_rate: float = Field(default=5e-4, gt=0)


class GrpoSettings(TrainingSettings):
    """GRPO (Shao et al. 2024, arXiv:2402.03300) on scored groups."""

    method: Literal["grpo"] = "grpo"
    learning_rate: float = Field(default=5e-5, gt=0)
    estimator: Literal["exact", "sampled", "logged"] = "exact"
    """exact: the expectation over all legal answers of a choice. sampled: `group_size` answers drawn from the
    policy. logged: the group's own completions, drawn earlier by the policy that training starts from."""
    group_size: int = Field(default=8, ge=2)
    """Completions drawn per prompt ('sampled' only)."""
    num_iterations: int = Field(default=1, ge=1)
    """Updates on one draw of completions (mu in the paper; 'sampled' only)."""
    beta: float = Field(default=0.04, ge=0)
    """Weight of the KL to the policy that training starts from."""
    clip_range: float = Field(default=0.2, gt=0)
    advantage_scale: float | Literal["std"] = 0.3
    """What a reward minus its group's mean is divided by: a constant in units of reward, or the group's own
    standard deviation (+ `std_floor`)."""
    std_floor: float = Field(default=0.05, gt=0)
    loss_type: Literal["sequence", "token"] = "sequence"
    """Mean over each completion's tokens first (the paper's eq. 3), or over all tokens of the batch."""
    max_kl: float | None = Field(default=None, gt=0)
    """Stop, and keep the best checkpoint so far, when a batch's KL to the start exceeds this (nats)."""

    @model_validator(mode="after")
    def _advantage_scale_is_positive(self) -> Self:
        if self.advantage_scale != "std" and self.advantage_scale <= 0:
            raise ValueError(f"advantage_scale {self.advantage_scale} must be positive, or 'std'")
        return self


MethodSettings = SftSettings | GrpoSettings

Method = Literal["sft", "grpo"]
"""The training methods, by the names of their sections in a config."""
