"""Who trains: our own trainer on groups, or another library's. Needs no torch: what a backend lacks is said at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from core.checkpoint import Checkpoint
from core.errors import ConfigError
from core.training.backends.mlx_limits import mlx_refusal
from core.training.backends.trl_limits import trl_refusal
from core.training.config import AdapterSettings, MethodSettings, TrainerName, online
from core.training.spec import TrainingSpec


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to get from a `TrainingSpec` to a checkpoint, its curves and its record."""

    name: str
    refusal: Callable[[MethodSettings, AdapterSettings], str | None]
    """Why it can't train as the settings say (and what to do instead), or None. Needs neither torch nor rows."""
    train: Callable[[TrainingSpec], Checkpoint]
    """Runs in the training process. Raises: OvernightError, also for rows that the backend can't train on."""
    chooses: bool = False
    """Whether its SFT knows choices: a softmax over the legal answers alone."""


def _train_group(spec: TrainingSpec) -> Checkpoint:
    from core.training.backends.group import train  # noqa: PLC0415  (torch)

    return train(spec)


def _train_trl(spec: TrainingSpec) -> Checkpoint:
    from core.training.backends.trl import train  # noqa: PLC0415  (torch, and an extra)

    return train(spec)


def _train_mlx(spec: TrainingSpec) -> Checkpoint:
    from core.training.backends.mlx import train  # noqa: PLC0415  (mlx, where it is installed)

    return train(spec)


BACKENDS: Mapping[TrainerName, Backend] = {
    "group": Backend("group", lambda _settings, _adapter: None, _train_group, chooses=True),
    "trl": Backend("trl", trl_refusal, _train_trl),
    "mlx": Backend("mlx", mlx_refusal, _train_mlx),
}


_NO_CHOICE = (
    "its sft imitates one completion among all texts, and these rows are choices among legal answers; leave trainer at "
    "'group'"
)


def backend_of(settings: MethodSettings) -> Backend:
    """The backend that settings name."""
    return BACKENDS[settings.trainer]


def need_backend(settings: MethodSettings, adapter: AdapterSettings, *, choices: bool = False) -> None:
    """Make sure that a method can be trained as its settings say, on `choices` if the rows are known to be such.

    Raises: ConfigError with the reason.
    """
    backend = backend_of(settings)
    reason = (
        _four_bits(settings)
        or backend.refusal(settings, adapter)
        or _one_process(settings)
        or _each_epoch(settings)
    )
    if reason is None and choices and settings.method == "sft" and not backend.chooses:
        reason = _NO_CHOICE
    if reason is not None:
        raise ConfigError(f"{settings.method}.trainer '{settings.trainer}' can't do this: {reason}")


def _one_process(settings: MethodSettings) -> str | None:
    """Several processes share what is known before the step."""
    if settings.processes == 1 or (settings.trainer == "group" and not online(settings)):
        return None
    what = "completions that the policy draws itself" if settings.trainer == "group" else "its steps"
    return f"{what} are not shared among processes {settings.processes}: set processes to 1"


def _each_epoch(settings: MethodSettings) -> str | None:
    """Other libraries count epochs in rows of their own."""
    if settings.save_each_epoch and settings.trainer != "group":
        return "it keeps no weights of each epoch: set save_each_epoch to false, or leave trainer at 'group'"
    return None


def _four_bits(settings: MethodSettings) -> str | None:
    """Base weights in 4 bits are for our own trainer, and need a package of their own."""
    if settings.quantization != "nf4":
        return None
    if settings.trainer != "group":
        return "it has no 4-bit base weights; leave trainer at 'group', or set quantization to 'none'"
    if find_spec("bitsandbytes") is None:
        return (
            "4-bit base weights need bitsandbytes, which is not installed: pip install -c constraints.txt "
            "'bitsandbytes>=0.50', or set quantization to 'auto' or 'none'"
        )
    return None
