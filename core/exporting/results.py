"""What a release leaves behind: published folders, and how each file compares with its model. Imports no torch."""

from core.exporting.serving import Ask, Parameter
from core.promotion import ReleaseCheck
from core.record import Record


class Divergence(Record):
    """How far one reader's distributions are from another's; KL in nats a token."""

    positions: int
    prompts: int
    kl: float
    kl_error: float
    """Standard error of `kl`, prompts taken as the independent units."""
    kl_p99: float
    kl_max: float
    top1: float
    top1_error: float
    error_max: float
    """Largest difference of any token's log-probability, over the whole vocabulary."""
    choices: int
    """Prompts with legal answers; the three figures below are over these."""
    choice: float | None
    """Share in which the likeliest legal answer is the same."""
    choice_error: float
    choice_kl: float | None
    """Mean KL divergence of the distributions over the legal answers, in nats."""


class Agreement(Record):
    """One exported file against the model it was made from."""

    level: str
    status: ReleaseCheck
    reason: str
    file: str
    sha256: str
    bytes: int
    bits_per_weight: float
    fallback_share: float
    kl: float | None = None
    top1: float | None = None
    choice: float | None = None
    error_max: float | None = None
    divergence: Divergence | None = None
    base_kl: float | None = None
    """The base model's own KL at this level; None when it was not asked for."""
    kl_ratio: float | None = None
    warnings: tuple[str, ...] = ()


class Published(Record):
    """A folder that no longer changes."""

    format: str
    path: str
    sha256: str
    """Digest of all files' names and digests: the same content, the same folder."""
    files: dict[str, int]
    """Bytes by file name."""


class Asked(Record):
    """A text that a server is given, and what is expected of it."""

    prompt: str
    expected: str


class Modelfile(Record):
    """How one GGUF file is to be asked: what is written beside it, and what a server must say when it does the same."""

    file: str
    sha256: str
    ask: Ask
    template: str | None
    """A Go template; None leaves the file's own chat template in force."""
    system: str
    stop: tuple[str, ...]
    parameters: dict[str, Parameter]
    note: str
    """Where the template comes from, or why there is none."""
    start: str
    """The text of the token that is put before every prompt by itself; empty where there is none."""
    rendering: Asked
    """A user's text, and how it stands in the prompt."""
    first: Asked | None
    """A held-out prompt, and the token that the merged model goes on with; None where no prompt has one to look for."""


class Registration(Record):
    """What became of a GGUF file at an Ollama server."""

    check: ReleaseCheck
    reason: str
    url: str
    served_name: str
    """What apps ask for."""
    candidate: str | None = None
    """The name the file has by its digest; None when it was not registered."""
    compared: tuple[str, ...] = ()
    """What was held against the model, and how."""
    deployed: bool = False
    """Whether the served name was moved to it."""


class Served(Record):
    """What a served name stands for after it was moved, or left where it was."""

    name: str
    url: str
    model: str
    """The name it was copied from."""
    moved: bool
    """False when it stood for that model already."""
    previous: str | None
    """The name under which the model before is kept; None when there was none."""


class Release(Record):
    """Everything one release made, by format, and whether it is the model that was trained."""

    name: str
    check: ReleaseCheck
    reason: str
    sha256: str
    """Digest of the published folders."""
    parameters: int
    parity_kl: float
    """KL divergence, adapter on base to merged model, in nats a token."""
    signal_kl: float
    """KL divergence, trained to base model, in nats a token: what the training changed."""
    published: tuple[Published, ...]
    agreements: tuple[Agreement, ...] = ()
    left_out: tuple[Agreement, ...] = ()
    """Quantised files that lost too much of the model: not published, where others were."""
    seconds: dict[str, float]
    modelfile: Modelfile | None = None
    """How the GGUF file that is served is asked; None without one."""
    ollama: Registration | None = None
    """What became of it at an Ollama server; None when it was not to go there."""

    def folder(self, format_: str) -> str | None:
        """The folder of one format; None when it was not published."""
        return next((row.path for row in self.published if row.format == format_), None)
