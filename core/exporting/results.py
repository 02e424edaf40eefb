"""What a release leaves behind: published folders, and how each file compares with its model. Imports no torch."""

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
    seconds: dict[str, float]

    def folder(self, format_: str) -> str | None:
        """The folder of one format; None when it was not published."""
        return next((row.path for row in self.published if row.format == format_), None)
