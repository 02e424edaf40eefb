"""What became of every row that was read: read = written + unchanged + quarantined + skipped, or the run fails."""

from collections import Counter
from collections.abc import Mapping
from typing import Self

from core.errors import DataError
from core.record import Record


class Accounting(Record):
    """Rows by what became of them; quarantined and skipped by reason."""

    read: int = 0
    written: int = 0
    unchanged: int = 0
    quarantined: Mapping[str, int] = {}
    skipped: Mapping[str, int] = {}

    def __add__(self, other: Self) -> Self:
        return type(self)(
            read=self.read + other.read,
            written=self.written + other.written,
            unchanged=self.unchanged + other.unchanged,
            quarantined=dict(Counter(self.quarantined) + Counter(other.quarantined)),
            skipped=dict(Counter(self.skipped) + Counter(other.skipped)),
        )

    @property
    def accounted(self) -> int:
        """Rows whose end is known."""
        left_out = sum(self.quarantined.values()) + sum(self.skipped.values())
        return self.written + self.unchanged + left_out

    def checked(self, what: str) -> Self:
        """The same, when it adds up. Raises: DataError when a row was lost or counted twice."""
        if self.read != self.accounted:
            raise DataError(
                f"{what}: {self.read} rows were read and {self.accounted} accounted for ({self.written} written, "
                f"{self.unchanged} unchanged, quarantined {dict(self.quarantined)}, skipped {dict(self.skipped)}): "
                "nothing after this step can be trusted; please report it"
            )
        return self
