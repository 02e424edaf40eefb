"""The value head of PPO: what a session is still worth, read from the model's last hidden state at a prompt's end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.errors import ModelError, one_line
from core.language.group import group_logprobs
from core.language.row import TokenGroup
from core.training.batch import GroupBatch
from core.training.data import TrainingGroup

VALUE_HEAD = "value_head.safetensors"
"""Beside the adapter's weights: in checkpoints, and in the folder that is published."""
ROUNDING = 1e-6
"""The part of their size by which equal returns may differ."""


class ValueHead(nn.Module):
    """Values in units of reward: `mean` + `scale` x a linear map of hidden states, which starts at 0 everywhere.

    Mean and scale are those of the first returns that it meets, and stay: what the map has to learn, and so what it asks
    of the weights it shares with the policy, is of the size of 1 whatever rewards are counted in.
    """

    mean: Tensor
    scale: Tensor
    returns: Tensor
    """How many returns gave mean and scale; 0 while the head is new."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("returns", torch.tensor(0))

    def forward(self, states_B_H: Tensor) -> Tensor:
        """(B, hidden) to (B,), in float32."""
        return self.mean + self.scale * self.linear(states_B_H.float())[:, 0]

    @property
    def new(self) -> bool:
        """Whether it has met no returns yet."""
        return not self.returns.item()

    def scale_to(self, returns_D: Tensor) -> None:
        """Take mean and standard deviation of these as mean and scale.

        Returns that are all equal (to rounding) have no spread: their own size is the scale, and 1 where they are 0.
        """
        returns_D = returns_D.double()
        size, spread = returns_D.abs().max(), returns_D.std(correction=0)
        scale = spread if spread > ROUNDING * size else size
        self.mean.fill_(returns_D.mean().item())
        self.scale.fill_(scale.item() or 1.0)
        self.returns.fill_(len(returns_D))


def add_value_head(model: nn.Module, start: Path | None) -> None:
    """Put a head on a model: the one in the folder that training starts from, or a new one. Raises: ModelError."""
    plain: Any = model
    head = ValueHead(plain.config.get_text_config().hidden_size)
    model.add_module("value_head", head.to(next(model.parameters()).device))
    if start is not None and (start / VALUE_HEAD).is_file():
        load_value_head(model, start)


def value_head(model: nn.Module) -> ValueHead | None:
    """A model's value head, if it has one."""
    head = getattr(model, "module", model)._modules.get("value_head")  # noqa: SLF001  (not of the model inside)
    return head if isinstance(head, ValueHead) else None


def save_value_head(model: nn.Module, folder: Path) -> None:
    """Write a model's head into a folder; nothing where it has none."""
    head = value_head(model)
    if head is not None:
        save_file(head.state_dict(), folder / VALUE_HEAD)


def load_value_head(model: nn.Module, folder: Path) -> None:
    """Read a model's head from a folder; nothing where the model has none. Raises: ModelError."""
    head = value_head(model)
    if head is None:
        return
    try:
        head.load_state_dict(load_file(folder / VALUE_HEAD))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder / VALUE_HEAD} is no value head of this model ({one_line(error)}): train ppo from another start"
        ) from error


def set_own_learning_rate(optimizer: torch.optim.Optimizer, head: ValueHead, rate: float) -> None:
    """Take a head's weights out of an optimizer's groups and put them into one of their own, without weight decay."""
    own = {id(parameter) for parameter in head.parameters()}
    for group in optimizer.param_groups:
        group["params"] = [value for value in group["params"] if id(value) not in own]
    optimizer.add_param_group({"params": list(head.parameters()), "lr": rate, "weight_decay": 0.0})


def computed(
    model: nn.Module, groups: Sequence[TrainingGroup], device: torch.device, *, values: bool
) -> tuple[Tensor, GroupBatch]:
    """Log-probabilities of groups' completion tokens (N,), and the groups as a batch, with `values` where those are wanted."""
    batch = GroupBatch.of(groups, device)
    if not values:
        return group_logprobs(model, batch.tokens, **batch.distribution), batch
    logprobs_N, values_B = logprobs_and_values(model, batch.tokens, **batch.distribution)
    head = value_head(model)
    return logprobs_N, replace(batch, values_B=values_B, value_scale=head.scale if head else 1.0)


def logprobs_and_values(
    model: nn.Module, groups: Sequence[TokenGroup], **distribution: Any
) -> tuple[Tensor, Tensor]:
    """`group_logprobs` (N,), with the distribution it takes, and the value of each group's prompt (B,), from one computation. Raises: ModelError."""
    head = value_head(model)
    plain: Any = getattr(model, "module", model)
    states: list[Tensor] = []

    def read(module: nn.Module, inputs: Any, options: dict[str, Any], output: Any) -> None:
        """A shared row holds one root a group; a plain computation's rows all begin with one group's prompt."""
        del module, inputs
        forest = options.get("forest")
        for start in [0] if forest is None else [root.start for root in forest.roots]:
            end = start + len(groups[len(states)].prompt) - 1
            states.append(output.last_hidden_state[0, end])

    hook = plain.get_base_model().base_model.register_forward_hook(read, with_kwargs=True)
    try:
        logprobs_N = group_logprobs(model, groups, **distribution)
    finally:
        hook.remove()
    if head is None or len(states) != len(groups):
        raise ModelError(
            f"'{plain.config.model_type}' gave {len(states)} prompt states for {len(groups)} groups and has "
            f"{'a' if head else 'no'} value head: ppo can't train it"
        )
    return logprobs_N, head(torch.stack(states))
