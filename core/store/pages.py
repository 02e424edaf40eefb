"""Rows on their way into the store, in parts that fit into memory: a page is what one commit keeps."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from core.store.quarantine import Unusable

PAGE = 5_000
"""Rows a commit."""
PAGE_BYTES = 32 * 1024 * 1024
"""Bytes of text that end a page before."""
Row = TypeVar("Row")


def pages(rows: Iterable[Row], size: Callable[[Row], int]) -> Iterator[list[Row]]:
    """Rows in parts that fit into memory, by their number and by their sizes in bytes."""
    page: list[Row] = []
    held_bytes = 0
    for row in rows:
        page.append(row)
        held_bytes += size(row)
        if len(page) == PAGE or held_bytes > PAGE_BYTES:
            yield page
            page, held_bytes = [], 0
    if page:
        yield page


def letters(row: Mapping[str, Any] | Unusable) -> int:
    """About how many bytes a row's texts hold."""
    values = (row.raw,) if isinstance(row, Unusable) else row.values()
    return sum(len(value) for value in values if isinstance(value, str | bytes))
