"""Which model an app should use now, and what it writes down with each decision. Light to import: apps ask for it."""

from typing import TYPE_CHECKING, Any, Literal

from sqlmodel import col, select

from core.config import load_config
from core.exporting.aliases import alias_name, releases_folder
from core.record import Record
from core.store.engine import transaction
from core.store.tables import ChampionRow, CheckpointRow, PromotionRow, ReleaseRow

if TYPE_CHECKING:
    from core.use_case import UseCaseConfig

BASE = "base"
SHORT = 12
"""Letters of a digest that a version has."""


class ServedFiles(Record):
    """One format of a released model."""

    format: str
    alias: str | None
    """The link that points at the slot's files whatever is in use; None where they were removed."""
    path: str
    """The folder of this very model, which never changes."""
    files: dict[str, int]
    """Bytes by file name."""


class CurrentModel(Record):
    """The model a slot uses now."""

    use_case: str
    slot: str
    version: str
    """What an app stores with each decision: the first letters of the checkpoint's digest, 'base' for the untrained model."""
    kind: Literal["base", "adapter", "merged"]
    base_model: str
    """A name of configs/models, a hub id, or a folder: what an adapter lies on."""
    checkpoint: str | None
    """Digest of the weights; None while no run has read those of the untrained model."""
    path: str | None
    """Where they lie."""
    release: str | None
    """Digest of the release; None when the model in use was never released."""
    files: tuple[ServedFiles, ...] = ()


def current_model(use_case: str, slot: str = "default", *, preset: str = "default") -> CurrentModel:
    """The champion of a slot; before there is one, the untrained model that a preset of the use case names.

    Raises: ConfigError for a use case, slot or preset that there is not; StoreError; RecordError when the tables are not there yet (any run, or
    `python -m core.store.migrate`, makes them).
    """
    with transaction() as session:
        holder = session.get(ChampionRow, (use_case, slot))
        if holder is None:
            return _without_champion(use_case, slot, preset)
        trained = session.get_one(CheckpointRow, holder.checkpoint)
        release = session.get(ReleaseRow, holder.release) if holder.release else None
    return CurrentModel(
        use_case=use_case,
        slot=slot,
        version=version_of(trained.kind, trained.sha256),
        kind=trained.kind,  # type: ignore[arg-type]
        base_model=trained.base_model,
        checkpoint=trained.sha256,
        path=trained.path,
        release=holder.release,
        files=_files(release.details, alias_name(use_case, slot)) if release else (),
    )


def policy_versions(use_case: str, slot: str) -> dict[str, int]:
    """The models that a slot has had, by the version that decisions name: 'base' is 0, each one promoted the next number.

    Raises: StoreError.
    """
    query = (
        select(PromotionRow.candidate)
        .where(
            col(PromotionRow.use_case) == use_case,
            col(PromotionRow.slot) == slot,
            col(PromotionRow.action) == "promoted",
        )
        .order_by(col(PromotionRow.id))
    )
    with transaction() as session:
        promoted = dict.fromkeys(session.exec(query))
    return {BASE: 0} | {sha256[:SHORT]: number for number, sha256 in enumerate(promoted, 1)}


def version_of(kind: str, sha256: str) -> str:
    """How decisions name the model that made them."""
    return BASE if kind == "base" else sha256[:SHORT]


def _without_champion(use_case: str, slot: str, preset: str) -> CurrentModel:
    config = _configured(use_case, slot, preset)
    if config.slot != slot:  # spelt as apps spell it
        return current_model(use_case, config.slot, preset=preset)
    name = config.model
    query = (
        select(CheckpointRow)
        .where(col(CheckpointRow.kind) == "base", col(CheckpointRow.base_model) == name)
        .order_by(col(CheckpointRow.created_at).desc())
    )
    with transaction() as session:
        read = session.exec(query).first()
    return CurrentModel(
        use_case=use_case,
        slot=slot,
        version=BASE,
        kind="base",
        base_model=name,
        checkpoint=read.sha256 if read else None,
        path=read.path if read else None,
        release=None,
    )


def _configured(use_case: str, slot: str, preset: str) -> "UseCaseConfig":
    """A preset's settings for a slot, which it spells as the use case does. Raises: ConfigError for one there is not."""
    from core.use_cases import use_case_named  # noqa: PLC0415  (seconds to import, and needed until the first promotion only)

    return load_config(use_case_named(use_case).config, use_case, preset, {"slot": slot})


def _files(details: dict[str, Any], name: str) -> tuple[ServedFiles, ...]:
    return tuple(
        ServedFiles(
            format=made["format"],
            alias=_alias(name, made["format"]),
            path=made["path"],
            files=made["files"],
        )
        for made in details["published"]
    )


def _alias(name: str, format_: str) -> str | None:
    link = releases_folder() / f"{name}-{format_}"
    return str(link) if link.is_symlink() else None
