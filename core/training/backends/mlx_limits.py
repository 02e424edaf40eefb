"""What MLX's trainer can't do, said before any work starts. Needs neither mlx nor torch."""

from importlib.util import find_spec

from core.training.config import AdapterSettings, MethodSettings

_INSTALL = "pip install -c constraints.txt 'mlx-lm[cpu]>=0.32,<0.33'"


def mlx_refusal(settings: MethodSettings, adapter: AdapterSettings) -> str | None:
    """Why mlx-lm can't train as the settings say, or None."""
    del adapter
    if settings.method != "sft":
        return "mlx-lm trains sft only; leave trainer at 'group', which trains all methods through torch"
    if find_spec("mlx") is None or find_spec("mlx_lm") is None:
        return f"mlx-lm is not installed: {_INSTALL}"
    return None
