"""The names that a slot's files are served under follow its champion, whoever moved the pointer."""

from core.exporting.aliases import alias_name, point_aliases, releases_folder
from core.files import locked
from core.store.registry import Champion, champion, released


def follow_champion(use_case: str, slot: str) -> tuple[Champion | None, tuple[str, ...]]:
    """Point a slot's aliases at the files of the model in use now; one call at a time, so the last one sees the last pointer.

    Also the formats whose files are gone or changed: they have no alias until they are released again.
    Raises: StoreError, StorageError.
    """
    with locked(releases_folder() / f".{alias_name(use_case, slot)}.lock"):
        holder = champion(use_case, slot)
        files = released(holder.release) if holder else ()
        return holder, point_aliases(use_case, slot, files)
