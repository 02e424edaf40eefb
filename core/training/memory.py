"""What a run needs in memory, from the model's config and the rows alone, and a refusal where that can't be had.

The model is built without weights (on the `meta` device) with its adapter, and a pass over as many tokens as the largest
one will have is recorded: which tensors autograd keeps, and how large they are. Attention keeps its inputs and its output,
as the attention over a row does (core/language/attention.py). Nothing is counted that is not certain to be there, so what
does not fit can't run. Passing buffers and what the allocator can't use come on top: on SmolLM2-135M the peaks of passes
over 843 and 1,673 tokens were 1.3 to 1.5 times the estimate, and 2.4 times with checkpointed layers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

from core.checkpoint import Checkpoint
from core.errors import ModelError, one_line
from core.language.config import ModelConfig
from core.language.four_bit import FOUR_BIT_DEVICES, Quantization
from core.language.model import TORCH_TYPE, FloatType
from core.language.sharing import sharing
from core.training.adapter import adapter_like, compute_in_model_type, new_adapter, start_adapter
from core.training.config import AdapterSettings, GrpoSettings, MethodSettings, online
from core.training.data import TrainingGroup

COUNTED = "overnight_counted"
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_ADAM_BYTES = 16
"""A trained weight in float32: itself, its gradient and Adam's two moments."""
_LOGITS = {"group": 3, "trl": 0, "mlx": 0}
"""By trainer, the tables of logits in float32 at once: they themselves, and the gradients of what was picked and of the
normaliser. TRL computes them a few tokens at a time."""
_PACKED_BYTES = 0.5
"""A weight in 4 bits, without the constants of its block."""


def empty_model(
    folder: Path,
    config: ModelConfig,
    adapter: AdapterSettings,
    dtype: FloatType,
    start: Checkpoint | None = None,
) -> Any:
    """The model of a folder's config without weights, with a new adapter or one of the start's shape.

    Raises: ModelError.
    """
    with torch.device("meta"):
        try:
            plain = AutoConfig.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_config(plain, dtype=TORCH_TYPE[dtype])
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder} can't be read as a language model: {one_line(error)}") from error
        shape = start_adapter(config, start)
        adapted = adapter_like(model, shape) if shape else new_adapter(model, adapter, config)
    if sharing(plain, longest=0).shared:
        model.set_attn_implementation(COUNTED)
    compute_in_model_type(adapted)
    return adapted


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of one training run on one device."""

    model: Any
    """Without weights, from `empty_model`."""
    settings: MethodSettings
    device: torch.device
    room: int
    """Bytes that were free before anything was loaded: weights that lie in a mapped file take theirs later."""
    quantization: Quantization = "none"

    def need_room_for_weights(self) -> None:
        """Before any is read. Raises: ModelError when weights, adapter and optimizer alone can't fit."""
        needed = self.weights() * self._processes
        if needed > self.room:
            raise ModelError(
                f"this model's weights, adapter and optimizer need {gigabytes(needed)} of memory, and "
                f"{gigabytes(self.room)} are free: take a smaller model{self._fewer_bits()} or a larger machine"
            )

    def need_room_for_passes(self, groups: Sequence[TrainingGroup]) -> str:
        """A sentence on what weights, optimizer and the largest pass take together. Raises: ModelError."""
        tokens, needed = largest_pass(self.settings, groups)[0], self.total(self.settings, groups)
        words = f"at least {gigabytes(needed)} of memory for passes of up to {tokens} tokens"
        if needed <= self.room:
            return f"{words}, of {gigabytes(self.room)} that were free"
        raise ModelError(
            f"{self.settings.method} needs {words}, and {gigabytes(self.room)} are free: {self._remedy(groups)}"
        )

    def total(self, settings: MethodSettings, groups: Sequence[TrainingGroup]) -> int:
        """Bytes of everything that is counted, in all processes on this device."""
        return self.weights() * self._processes + self.passes(settings, groups)

    def weights(self) -> int:
        """Bytes of the weights, and of what is trained with its gradient and the optimizer's states, in one process."""
        packed = self._packed() if self.quantization == "nf4" else set()
        total = 0.0
        for value in self.model.parameters():
            size = _PACKED_BYTES if id(value) in packed else value.element_size()
            total += value.numel() * (_ADAM_BYTES if value.requires_grad else size)
        return int(total)

    def passes(self, settings: MethodSettings, groups: Sequence[TrainingGroup]) -> int:
        """Bytes that the largest pass keeps in all processes on this device, its logits with their gradient included."""
        tokens, kept = largest_pass(settings, groups)
        if not sharing(self.model.config, tokens).shared:  # a row a completion: one of them at least
            tokens = max(group.tokens.longest for group in groups)
        plain = self.model.config.get_text_config()
        states = kept_states(self.model, tokens)
        if settings.gradient_checkpointing:
            width = self.model.get_input_embeddings().weight.element_size() * plain.hidden_size
            states = states // plain.num_hidden_layers + plain.num_hidden_layers * tokens * width
        return (states + _LOGITS[settings.trainer] * kept * plain.vocab_size * 4) * self._processes

    def _packed(self) -> set[int]:
        """The weights of all linear layers but the head."""
        head = self.model.get_output_embeddings()
        layers = (layer for layer in self.model.modules() if isinstance(layer, torch.nn.Linear))
        return {id(layer.weight) for layer in layers if layer is not head}

    def _remedy(self, groups: Sequence[TrainingGroup]) -> str:
        """The first change that makes it fit."""
        widest = self.settings.batch_size // self.settings.processes
        for checkpointing in (self.settings.gradient_checkpointing, True):
            for parts in (parts for parts in range(1, widest + 1) if widest % parts == 0):
                change = {"gradient_accumulation_steps": parts, "gradient_checkpointing": checkpointing}
                if self.total(self.settings.model_copy(update=change), groups) <= self.room:
                    new = {
                        name: value for name, value in change.items() if getattr(self.settings, name) != value
                    }
                    return "set " + " and ".join(
                        f"{name} to {str(value).lower()}" for name, value in new.items()
                    )
        return "take a smaller model or a larger machine; not even one group at a time would fit"

    def _fewer_bits(self) -> str:
        packed = replace(self, quantization="nf4").weights() * self._processes
        can = self.device.type in FOUR_BIT_DEVICES and find_spec("bitsandbytes") is not None
        return ", set quantization to nf4" if can and packed <= self.room else ""

    @property
    def _processes(self) -> int:
        """How many draw on the same memory: each GPU has its own."""
        return self.settings.processes if self.device.type == "cpu" else 1


def before_loading(
    empty: Callable[[FloatType], Any],
    settings: MethodSettings,
    device: torch.device,
    quantization: Quantization = "none",
) -> Memory:
    """What a run needs, held against what is free now. Raises: ModelError when its weights alone can't fit.

    `empty` makes the model without weights: of the type they are read in first (on a CPU 'auto' times float32 before it
    chooses).
    """
    in_full = settings.dtype == "fp32" or (settings.dtype == "auto" and device.type == "cpu")
    memory = Memory(empty("fp32" if in_full else "bf16"), settings, device, available(device), quantization)
    memory.need_room_for_weights()
    return memory


def largest_pass(settings: MethodSettings, groups: Sequence[TrainingGroup]) -> tuple[int, int]:
    """Tokens of the largest pass there can be, and how many of them predict a completion's token."""
    count = settings.batch_size // (settings.gradient_accumulation_steps * settings.processes)
    largest = sorted((_size(settings, group) for group in groups), reverse=True)[: max(1, count)]
    return sum(tokens for tokens, _ in largest), sum(kept for _, kept in largest)


def _size(settings: MethodSettings, group: TrainingGroup) -> tuple[int, int]:
    """Tokens that are computed, and those that predict; drawn completions may be as long as they may."""
    drawing, prompt = online(settings), len(group.tokens.prompt)
    if drawing is None:
        return group.tokens.computed, group.tokens.computed - prompt + 1
    drawn = (settings.group_size if isinstance(settings, GrpoSettings) else 1) * drawing.sampling.max_tokens
    return prompt + drawn, drawn


def available(device: torch.device) -> int:
    """Bytes that can be had now: of the GPU, or of the machine and the limit that this process lives under."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return min([psutil.virtual_memory().available, *_cgroups()])


def _cgroups() -> Iterator[int]:
    """What the limits leave; file pages that nobody reads any more give way."""
    for folder, limit, used in _CGROUPS:
        try:
            stat = (Path(folder) / "memory.stat").read_text().split()
            idle = int(stat[stat.index("inactive_file") + 1])
            yield int((Path(folder) / limit).read_text()) - int((Path(folder) / used).read_text()) + idle
        except (OSError, ValueError):  # no such file, or no limit ("max")
            continue


def gigabytes(size: int) -> str:
    """Bytes for a person."""
    return f"{size / 1e9:.1f} GB"


class _Counted(torch.autograd.Function):
    """Attention that computes nothing and keeps what attention over a row keeps."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        read = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, read)
        return read

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        del gradients
        return tuple(torch.zeros_like(one) for one in ctx.saved_tensors[:3])


def _counted(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> tuple[Tensor, None]:
    del module
    return _Counted.apply(query, key, value).transpose(1, 2), None


def kept_states(model: Any, tokens: int) -> int:
    """Bytes that autograd keeps of a pass over so many tokens, without the head's."""
    model.train()
    with _recorded() as kept:
        model(
            input_ids=torch.zeros(1, tokens, dtype=torch.long, device="meta"),
            attention_mask=torch.zeros(1, 1, 1, 1, device="meta"),
            use_cache=False,
            logits_to_keep=1,
        )
    own = {value.untyped_storage()._cdata for value in model.parameters()}  # noqa: SLF001
    return sum(size for storage, size in kept.items() if storage not in own)


@contextmanager
def _recorded() -> Iterator[dict[int, int]]:
    """The storages that autograd keeps while the block runs, and their bytes."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()  # noqa: SLF001
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


AttentionInterface.register(COUNTED, _counted)
