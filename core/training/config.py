"""Settings of the training methods. Needs no torch, so that a flow's form can be drawn without it."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from core.language.sampling import RolloutBackend, SamplingSettings, TorchRollouts, VllmRollouts
from core.record import Settings

Dtype = Literal["auto", "bf16", "fp32"]
TrainerName = Literal["group", "trl", "mlx"]


class AdapterSettings(Settings):
    """LoRA (Hu et al. 2021, arXiv:2106.09685): which layers, how wide, how strong."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    top_layers: int | None = Field(default=None, ge=1)
    """Train only the last n layers; the backward pass stops there. None trains all."""


class TrainingSettings(Settings):
    """What every method needs."""

    trainer: TrainerName = "group"
    """group: our own, for every method, each prompt computed once. trl: TRL's trainers for sft, dpo, kto and online grpo.
    mlx: MLX's on Apple silicon, for sft."""
    learning_rate: float = Field(gt=0)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimizer steps, whatever `epochs` says."""
    batch_size: int = Field(default=8, ge=1)
    """Groups in one optimizer step."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Forward passes one optimizer step is spread over, to save memory."""
    processes: int = Field(default=1, ge=1)
    """Processes that share each step, on one GPU each or on parts of the CPU; with gradient_accumulation_steps they divide
    `batch_size`."""
    gradient_checkpointing: bool = False
    warmup_ratio: float = Field(default=0.05, ge=0, lt=1)
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    dtype: Dtype = "auto"
    """The type of the frozen weights. auto: bf16 on an accelerator; on a CPU the faster one, timed at the start."""
    quantization: Literal["none", "nf4", "auto"] = "none"
    """nf4: keep the frozen weights in 4 bits while training (QLoRA); needs bitsandbytes, and trainer 'group'. auto: that
    where all of them and CUDA are, else none."""
    eval_every: int = Field(default=25, ge=1)
    """Steps between looks at the held-out groups; also before the first step and after the last."""
    eval_groups: int = Field(default=64, ge=1)
    """How many held-out groups a look takes."""
    save_every: int = Field(default=25, ge=1)
    """Steps between checkpoints a killed run can go on from."""
    save_each_epoch: bool = False
    """Keep the weights after each pass over the rows too, as adapters `epoch-1` ... beside the result (trainer 'group')."""
    max_rollbacks: int = Field(default=2, ge=0)
    """How often a run may go back to its last good checkpoint, each time with half the learning rate, when a loss or
    gradient is no number or the KL is above `max_kl`. After that the run ends with the best checkpoint so far; when
    nothing was better than the start, what is no number is an error. Trainers 'trl' and 'mlx' never go back."""
    seed: int = 0

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        parts = self.gradient_accumulation_steps * self.processes
        if self.batch_size % parts:
            times = f" x processes {self.processes}" if self.processes > 1 else ""
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}{times}"
            )
        return self


class SftSettings(TrainingSettings):
    """Supervised fine-tuning: imitate the completion, or the distribution over a choice."""

    method: Literal["sft"] = "sft"
    learning_rate: float = Field(default=5e-4, gt=0)


class GuardSettings(Settings):
    """When logged completions are too old, or too far from the policy that training starts from, to learn from."""

    max_age_days: float | None = Field(default=None, gt=0)
    """Rows whose `metadata.logged_at` (ISO time; UTC where it names no zone) lies more days before the snapshot's newest
    row are left out: against the newest row and not the clock, so that a snapshot always gives the same groups."""
    max_versions_behind: int | None = Field(default=None, ge=0)
    """The same for `metadata.policy_version`, a whole number that counts the policies that were served."""
    min_ess: float = Field(default=0.1, ge=0, le=1)
    """The effective sample size of the training completions, as a share of their number, below which they are stale."""
    max_kl: float = Field(default=0.2, gt=0)
    """Nats a token from the policy that drew the completions to the one training starts from, above which they are stale."""


class OnlineSettings(Settings):
    """Completions that the policy draws while it is trained, and what they are worth."""

    sampling: SamplingSettings = SamplingSettings()
    rollout: RolloutBackend = TorchRollouts()
    """Who draws: the model that is trained, or a vLLM server that serves it (or one near it: it is not told what was
    learned, and the curve `ess` says how far training has moved on). Held-out prompts are always answered by the model."""
    answers: Literal["free", "listed"] = "free"
    """free: whatever the policy writes. listed: one of the row's own completions, chosen among them token by token."""
    reward: str = "listed"
    """listed: a completion that is one of the row's own earns that one's reward. `package.module:function`: imported by
    the training process and called with a prompt, its completions' texts and the row's metadata; it returns one number for
    each, or None or NaN for those it can't score. Either way a text has lost what ended it: the token that ends a
    completion, or a text of `sampling.stop` with all that came after it. The row's own completions may end with it."""
    unlisted_reward: float = 0.0
    """What 'listed' gives any other completion."""
    train_cut: bool = False
    """Whether completions cut at `sampling.max_tokens` are scored and trained on as if they were whole; else they are as
    if never drawn, and counted."""

    @field_validator("reward")
    @classmethod
    def _reward_can_be_found(cls, reward: str) -> str:
        if reward != "listed" and not re.fullmatch(r"\w+(\.\w+)*:\w+", reward):
            raise ValueError(f"'{reward}' is no reward: give listed, or package.module:function")
        return reward

    @model_validator(mode="after")
    def _one_rule_for_what_is_legal(self) -> Self:
        if self.answers == "listed" and self.sampling.json_schema is not None:
            raise ValueError(
                "answers 'listed' leaves nothing for sampling.json_schema to rule: choose one of them"
            )
        return self

    @model_validator(mode="after")
    def _a_choice_ends_by_itself(self) -> Self:
        if self.answers == "listed" and self.sampling.stop:
            raise ValueError(
                "answers 'listed' end where the row's completions end, and a text of sampling.stop would cut one short: "
                "leave stop empty, or write answers 'free'"
            )
        return self

    @model_validator(mode="after")
    def _the_backend_can_sample_so(self) -> Self:
        refusal = self.rollout.refusal(self.sampling) if isinstance(self.rollout, VllmRollouts) else None
        if refusal:
            raise ValueError(refusal)
        return self


class GrpoSettings(TrainingSettings):
    """GRPO (Shao et al. 2024, arXiv:2402.03300) on scored groups."""

    method: Literal["grpo"] = "grpo"
    learning_rate: float = Field(default=5e-5, gt=0)
    estimator: Literal["exact", "sampled", "logged", "online"] = "exact"
    """exact: the expectation over all legal answers of a choice. sampled: `group_size` answers drawn from the
    policy. logged: the group's own completions, drawn earlier: by the policy whose log-probabilities the row has as
    `behaviour`, or where it has none by the one that training starts from. online: `group_size` completions that the
    policy writes, scored as they come."""
    group_size: int = Field(default=8, ge=2)
    """Completions drawn per prompt ('sampled' and 'online')."""
    num_iterations: int = Field(default=1, ge=1)
    """Updates on one draw of completions (mu in the paper; 'sampled' and 'online')."""
    online: OnlineSettings = OnlineSettings()
    """('online' only.)"""
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
    """Go back when a batch's KL to the start exceeds this (nats): see `max_rollbacks`."""
    min_group_size: int = Field(default=2, ge=2)
    """Groups of fewer completions are left out ('logged' only)."""
    guards: GuardSettings = GuardSettings()
    """('logged' only.)"""
    on_stale: Literal["refuse", "dpo", "sft"] = "dpo"
    """What becomes of completions that the guards call stale ('logged' only). refuse: an error. dpo: pairs from the same
    groups' rewards. sft: each group's best completion is imitated. Both keep this section's settings where they have the
    same, and DPO's own defaults otherwise."""

    @model_validator(mode="after")
    def _advantage_scale_is_positive(self) -> Self:
        if self.advantage_scale != "std" and self.advantage_scale <= 0:
            raise ValueError(f"advantage_scale {self.advantage_scale} must be positive, or 'std'")
        return self


class DpoSettings(TrainingSettings):
    """DPO (Rafailov et al. 2023, arXiv:2305.18290) and its variants, on pairs from scored groups."""

    method: Literal["dpo"] = "dpo"
    learning_rate: float = Field(default=2e-4, gt=0)
    """For an adapter; the paper's 1e-6 is for all of a model's weights."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the one that training starts from (tau of IPO)."""
    loss_type: Literal["sigmoid", "ipo", "robust"] = "sigmoid"
    """sigmoid: the paper's. ipo: Azar et al. 2023, on means over a completion's tokens. robust: unbiased where a share
    `label_smoothing` of the pairs is the wrong way round (Ray Chowdhury et al. 2024)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs that are the wrong way round; with 'sigmoid' that is cDPO."""
    nll_weight: float = Field(default=0.0, ge=0)
    """What the better completion's negative log-likelihood a token adds (alpha of Pang et al. 2024, arXiv:2404.19733, eq. 1):
    without it both of a pair may become unlikely, the worse one faster, and a model that prefers well writes neither."""
    pairs: Literal["all", "best"] = "all"
    """all: every two completions of a group with unequal rewards. best: those with the best reward against the others."""
    max_pairs: int | None = Field(default=None, ge=1)
    """Pairs of one group at most: those with the largest difference in reward."""
    min_difference: float = Field(default=0.0, ge=0)
    """Completions whose rewards differ by this or less are no pair: what noise decides teaches nothing."""

    @model_validator(mode="after")
    def _smoothing_has_an_effect(self) -> Self:
        if self.loss_type == "ipo" and self.label_smoothing:
            raise ValueError("loss_type 'ipo' has no label_smoothing: leave it at 0, or take another")
        return self


class KtoSettings(TrainingSettings):
    """KTO (Ethayarajh et al. 2024, arXiv:2402.01306) on completions that are each desirable or not."""

    method: Literal["kto"] = "kto"
    learning_rate: float = Field(default=2e-4, gt=0)
    """For an adapter; the paper's 5e-7 to 5e-6 is for all of a model's weights."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the one that training starts from."""
    desirable_above: float | Literal["mean"] = 0.0
    """A completion is desirable when its reward is above this, or above its group's mean."""
    desirable_weight: float = Field(default=1.0, gt=0)
    """lambda_D of eq. 8; the paper asks for desirable_weight x desirables / (undesirable_weight x undesirables) in [1, 4/3]."""
    undesirable_weight: float = Field(default=1.0, gt=0)
    """lambda_U of eq. 8."""
    balanced: bool = False
    """Whether both kinds weigh the same, however many there are of each; the rarer one weighs more, and no weight above is read."""


class PpoSettings(TrainingSettings):
    """PPO (Schulman et al. 2017, arXiv:1707.06347, algorithm 1) on sessions of decisions, one iteration of it on logged ones.

    Logged decisions were drawn by the policy whose log-probabilities the rows have as `behaviour`, or where they have none by
    the one that training starts from; `epochs` passes over them are the paper's K.
    """

    method: Literal["ppo"] = "ppo"
    learning_rate: float = Field(default=5e-5, gt=0)
    epochs: int = Field(default=3, ge=1)
    source: Literal["logged", "online"] = "logged"
    """online: the policy answers the logged states anew, one decision each, and the sessions' advantages are of these
    answers. What an answer would have changed in the states after it stays as it was logged."""
    online: OnlineSettings = OnlineSettings()
    """('online' only.)"""
    iterations: int = Field(default=1, ge=1)
    """How often all states are answered, and trained on for `epochs` passes ('online' only)."""
    clip_range: float = Field(default=0.2, gt=0, lt=1)
    gamma: float = Field(default=0.99, ge=0, le=1)
    """What a reward is worth one decision later."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """lambda of generalised advantage estimation (Schulman et al. 2016): 0 trusts the values, 1 the rewards."""
    value_coefficient: float = Field(default=0.5, ge=0)
    """c1 of eq. 9: the weight of the value head's squared error. Errors are in units of the standard deviation of the first
    returns, so it means the same whatever rewards are counted in."""
    value_clip_range: float | None = Field(default=None, gt=0)
    """How far a value may move from the old one, in the same units; null: no limit (the paper has none)."""
    value_learning_rate: float = Field(default=1e-3, gt=0)
    """The value head's own step: it starts from nothing."""
    whiten: bool = True
    """Bring the advantages of all decisions to mean 0 and standard deviation 1."""
    max_kl: float | None = Field(default=None, gt=0)
    """As for GRPO."""
    guards: GuardSettings = GuardSettings()
    """('logged' only.) Stale sessions are refused: single decisions have no pairs, and no best of several."""


MethodSettings = Annotated[
    SftSettings | GrpoSettings | DpoSettings | KtoSettings | PpoSettings, Field(discriminator="method")
]
"""The settings of whatever the trainer can do."""


def active_guards(settings: MethodSettings) -> GuardSettings | None:
    """The guards of a method that learns from what another policy may have drawn; None for all others."""
    if isinstance(settings, GrpoSettings):
        return settings.guards if settings.estimator == "logged" else None
    return settings.guards if isinstance(settings, PpoSettings) and settings.source == "logged" else None


def online(settings: MethodSettings) -> OnlineSettings | None:
    """How a method's completions are drawn while it trains; None where they are given."""
    if isinstance(settings, GrpoSettings):
        return settings.online if settings.estimator == "online" else None
    return settings.online if isinstance(settings, PpoSettings) and settings.source == "online" else None


Method = Literal["sft", "grpo", "dpo", "kto", "ppo"]
"""The training methods that a use case's config has a section for, by the names of those sections."""
