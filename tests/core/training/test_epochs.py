"""The weights after each epoch are kept as whole adapters beside the result."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.errors import ConfigError
from core.given_checkpoint import checkpoint_in
from core.training.backends import need_backend
from core.training.config import AdapterSettings
from core.training.epochs import Epochs
from core.training.launch import train
from core.training.schedule import GroupOrder


def files(folder: str | Path) -> dict[str, bytes]:
    """Settings as they stand, and every tensor's bytes."""
    tensors = {
        f"{path.name}/{name}": tensor.numpy().tobytes()
        for path in Path(folder).glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }
    return tensors | {path.name: path.read_bytes() for path in Path(folder).glob("*.json")}


@pytest.mark.parametrize("method", ["sft", "ppo"])
def test_the_last_epoch_is_the_result_where_the_last_step_is_the_best(  # noqa: PLR0917
    tmp_path, tiny, choices, sessions, spec_of, settings_of, method
):
    """Byte for byte, with the settings and PPO's value head; the epochs before are other weights, and checkpoints too."""
    rows = sessions if method == "ppo" else choices
    more = {"value_learning_rate": 1e-2} if method == "ppo" else {}
    settings = settings_of[method](epochs=3, save_each_epoch=True, learning_rate=2e-3, eval_every=100, **more)
    spec = spec_of(tiny, rows, tmp_path / "run", settings)
    made = train(spec)
    assert made.notes["best_step"] == made.notes["total_steps"]
    kept = sorted(path.name for path in (tmp_path / "run").glob("epoch-*"))
    assert kept == ["epoch-1", "epoch-2", "epoch-3"]
    assert (
        "the weights after each epoch lie beside the result: epoch-1, epoch-2, epoch-3" in made.notes["said"]
    )
    epochs = [files(tmp_path / "run" / name) for name in kept]
    assert epochs[2] == files(made.path)
    assert ("value_head.safetensors" in {key.partition("/")[0] for key in epochs[2]}) == (method == "ppo")
    assert epochs[0] != epochs[1] != epochs[2]
    assert json.loads(epochs[0]["adapter_config.json"])["base_model_name_or_path"] == "model"

    first, last = (checkpoint_in(tmp_path / "run" / kept[place]) for place in (0, 2))
    assert last.sha256 == made.sha256 != first.sha256
    assert (first.kind, first.method, first.base_model, first.parents) == (
        "adapter",
        method,
        made.base_model,
        made.parents,
    )


@pytest.mark.parametrize(
    ("method", "changes", "ends"),
    [
        ("sft", {"epochs": 3}, (3, 5, 8)),
        ("grpo", {"epochs": 2, "estimator": "sampled", "num_iterations": 2}, (6, 10)),
        ("ppo", {"epochs": 2, "source": "online", "iterations": 2}, (3, 5, 8, 10)),
        ("sft", {"epochs": 3, "batch_size": 30}, (1, 1, 1)),
    ],
)
def test_an_epoch_ends_with_the_step_that_completes_a_pass(settings_of, method, changes, ends):
    """Ten groups in steps of four, also with several updates a draw, several draws, and fewer groups than a step takes."""
    order = GroupOrder(10, settings_of[method](**changes))
    assert order.epoch_ends == ends
    assert len(order) / settings_of[method](**changes).batch_size <= ends[-1]


def test_what_a_run_will_come_to_again_is_forgotten(tmp_path):
    """It goes on from a checkpoint, from its start, or anew; what was before that stays."""
    epochs = Epochs(tmp_path, "model", (4, 8, 12))
    for checkpoint, left in (("checkpoint-8", 2), ("checkpoint-7", 1), ("start", 0), (None, 0)):
        for number in (1, 2, 3):
            (tmp_path / f"epoch-{number}").mkdir(exist_ok=True)
        epochs.go_on_from(tmp_path / checkpoint if checkpoint else None)
        assert len(list(tmp_path.glob("epoch-*"))) == left


def test_other_trainers_say_that_they_keep_none(settings_of):
    """Before any work."""
    for trainer in ("trl", "mlx"):
        with pytest.raises(ConfigError, match=r"sft.trainer '(trl|mlx)' can't do this: "):
            need_backend(settings_of["sft"](trainer=trainer, save_each_epoch=True), AdapterSettings())
