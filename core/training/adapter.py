"""The LoRA adapter that is trained: float32 weights, computed in the type of the model they lie on."""

from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from core.checkpoint import Checkpoint
from core.errors import ModelError, one_line
from core.language.config import ModelConfig
from core.language.model import adapter_settings, misfit, put_adapter
from core.training.config import AdapterSettings
from core.training.lora_product import multiply_as_one


def trainable_model(
    model: PreTrainedModel, config: ModelConfig, settings: AdapterSettings, start: Checkpoint | None
) -> PeftModel:
    """The model with the adapter that is trained: a new one, or a copy of the one that training starts from.

    Raises: ModelError when the start is of another model.
    """
    folder = start_adapter(config, start)
    if folder is None:
        adapted = new_adapter(model, settings, config)
    else:
        adapted = put_adapter(model, folder, trainable=True)
        # PEFT looks at the base model's config whenever it saves: here, not on the hub
        adapted.peft_config["default"].base_model_name_or_path = model.name_or_path
    compute_in_model_type(adapted)
    return adapted


def start_adapter(config: ModelConfig, start: Checkpoint | None) -> Path | None:
    """The adapter that training goes on from, if any. Raises: ModelError when the start is of another model."""
    if start is None or start.kind == "base":
        return None
    if start.kind != "adapter":
        raise ModelError(
            f"training can't start from {start.path}: it is {start.kind}; give a base model or an adapter"
        )
    if start.base_model != config.name:
        raise ModelError(
            f"{start.path} is an adapter of '{start.base_model}', not of '{config.name}': use its own model"
        )
    return Path(start.path)


def new_adapter(model: PreTrainedModel, settings: AdapterSettings, config: ModelConfig) -> PeftModel:
    """A model with a fresh LoRA adapter, which changes nothing until it is trained. Raises: ModelError."""
    layers = model.config.num_hidden_layers
    if settings.top_layers is not None and settings.top_layers > layers:
        raise ModelError(
            f"adapter.top_layers {settings.top_layers} is more than the {layers} of '{config.name}'"
        )
    trained = None if settings.top_layers is None else list(range(layers - settings.top_layers, layers))
    lora = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(config.lora_targets) or linear_layers(model),
        layers_to_transform=trained,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, lora)
    except ValueError as error:
        raise ModelError(f"'{config.name}' can't take an adapter: {error}; check its lora_targets") from error


def adapter_like(model: PreTrainedModel, folder: Path) -> PeftModel:
    """A model with an adapter of another one's shape and none of its weights. Raises: ModelError."""
    lora = adapter_settings(folder)
    lora.inference_mode = False
    try:
        return get_peft_model(model, lora)
    except (ValueError, KeyError) as error:
        raise misfit(model, folder, one_line(error)) from error


def linear_layers(model: PreTrainedModel) -> list[str]:
    """The names of all kinds of linear layers except the head."""
    head = model.get_output_embeddings()
    found = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    return sorted(found)


def compute_in_model_type(model: PeftModel) -> None:
    """Multiply by the adapter in the activations' own type; PEFT would turn them into float32 and back.

    On a bf16 model that saves about a sixth of a training step. The weights that are trained, saved and summed over
    steps stay float32.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
            for pair in (module.lora_A, module.lora_B):
                for name, linear in pair.items():
                    pair[name] = _CastLinear(linear)
            multiply_as_one(module)


class _CastLinear(nn.Module):
    """A linear layer without bias whose weight takes the type of its input."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.weight = linear.get_parameter("weight")

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return functional.linear(inputs, self.weight.to(inputs.dtype))
