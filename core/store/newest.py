"""Rows of other databases into a table of ours where the newest of each key stands: a page at a time, every row's end known."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import psycopg
from psycopg import sql

from core.accounting import Accounting
from core.document import Unreadable
from core.store.bulk import copy_in, staging
from core.store.quarantine import Unusable, quarantine, release
from core.value import identity

OPTED_IN, HELD_BACK, EVALUATION = "is_training_data", "is_validation_data", "is_evaluation"
"""Columns by which an app says that a row may not be trained on, is kept to judge by, or was made to test a model."""
NO, YES = ("false", "f", "0"), ("true", "t", "1")
TWICE, NOT_MEANT, TEST = "given twice", "not for training, says the app", "an evaluation, says the app"
VALIDATION = "held back for validation, says the app"
TAKEN_OUT = "by now not for training, says the app: taken out of the store"
Key = tuple[Any, ...]


class KnownRow(Protocol):
    """A row that has been read; a dataclass whose fields are the columns of its table."""

    @property
    def external_id(self) -> str:
        """The id that it has at its source."""
        ...


AnyRow = TypeVar("AnyRow", bound=KnownRow)


@dataclass(frozen=True, slots=True)
class Newest(Generic[AnyRow]):
    """A table whose rows are known by their source and a key. `revision` counts how often what a row says changed."""

    table: str
    read: Callable[[Mapping[str, Any], datetime], AnyRow]
    """Makes a row of a source's values, at a moment. Raises: Unreadable."""
    types: Mapping[str, str]
    """Its columns, and in which types they come."""
    key: tuple[str, ...] = ("external_id",)
    """The first is never null."""
    age: str = "updated_at"
    """The time by which of two the newer is told."""
    apart: tuple[str, ...] = ("external_id", "updated_at")
    """Columns that make it no other row."""
    overtaken: str | None = None
    """Under which words the older of two is left out; where there are none, it goes to quarantine."""
    followed: Callable[[psycopg.Connection, list[int]], None] | None = None
    """Takes out what was made of rows (their numbers) that are taken out."""

    def keep(
        self,
        held: psycopg.Connection,
        source: str,
        page: Sequence[Mapping[str, Any] | Unusable],
        run_id: str | None,
        now: datetime,
    ) -> Accounting:
        """Keep a page in the caller's transaction; a row that its reader could not read goes to quarantine as it is.

        Raises: DataError when the rows don't add up, psycopg.Error.
        """
        usable: dict[Key, AnyRow] = {}
        unusable: list[Unusable] = []
        older: list[AnyRow] = []
        skipped: Counter[str] = Counter()
        left_out: dict[str, str] = {}
        for values in page:
            if isinstance(values, Unusable):
                unusable.append(values)
                continue
            if (reason := _left_out(values)) is not None:
                skipped[reason] += 1
                left_out[str(values.get("external_id"))] = reason
                continue
            try:
                row = self.read(values, now)
            except Unreadable as why:
                name = str(values.get("external_id"))
                unusable.append(Unusable(source, name, why.reason, str(why), _raw(values)))
                continue
            key = self._values(self.key, row)
            if (known := usable.get(key)) is not None:
                other, row = sorted((known, row), key=self._age)
                if self._values(self._content, other) == self._values(self._content, row):
                    skipped[TWICE] += 1
                else:
                    older.append(other)
            usable[key] = row
        for name in self._take_out(held, source, left_out):
            skipped[left_out[name]] -= 1
            skipped[TAKEN_OUT] += 1
        written, overtaken = self._upsert(held, source, usable)
        older += [usable.pop(key) for key in overtaken]
        if self.overtaken is None:
            unusable += [self._older(source, row) for row in older]
        else:
            skipped[self.overtaken] += len(older)
        quarantine(held, unusable, run_id)
        aside = {row.external_id for row in unusable}
        release(held, source, [row.external_id for row in usable.values() if row.external_id not in aside])
        return Accounting(
            read=len(page),
            written=written,
            unchanged=len(usable) - written,
            quarantined=dict(Counter(row.reason for row in unusable)),
            skipped={reason: count for reason, count in skipped.items() if count},
        ).checked(f"{self.table} of {source}")

    def _take_out(self, held: psycopg.Connection, source: str, names: Iterable[str]) -> list[str]:
        """The ids of rows that were kept while the app still let them be trained on."""
        query = sql.SQL(
            "DELETE FROM overnight.{} WHERE source = %s AND external_id = ANY (%s) RETURNING external_id, number"
        )
        asked = [name for name in names if _is_name(name)]
        if not asked:
            return []
        gone = held.execute(query.format(sql.Identifier(self.table)), (source, asked)).fetchall()
        if gone and self.followed is not None:
            self.followed(held, [number for _, number in gone])
        return [name for name, _ in gone]

    def _upsert(
        self, held: psycopg.Connection, source: str, usable: Mapping[Key, AnyRow]
    ) -> tuple[int, list[Key]]:
        """How many were new or changed, and the keys of those that came as older copies of what is there."""
        if not usable:
            return 0, []
        columns = tuple(self.types)
        table = staging(held, self.table, columns)
        rows = (self._values(columns, row) for row in usable.values())
        copy_in(held, table, columns, tuple(self.types.values()), rows)
        overtaken = held.execute(self._statement(OLDER), {"source": source}).fetchall()
        written = held.execute(self._statement(UPSERT), {"source": source}).rowcount
        held.execute("DROP TABLE pg_temp.staging")
        return written, overtaken

    def _statement(self, words: sql.SQL) -> sql.Composed:
        columns = tuple(self.types)
        first, *others = ((sql.Identifier("d", name), sql.Identifier("s", name)) for name in self.key)
        same = [
            sql.SQL("{} = {}").format(*first),
            *(sql.SQL("{} IS NOT DISTINCT FROM {}").format(*one) for one in others),
        ]
        changes = (
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
            for name in columns
            if name not in self.key
        )
        return words.format(
            table=sql.Identifier(self.table),
            columns=_listed(map(sql.Identifier, columns)),
            key=_listed(map(sql.Identifier, self.key)),
            key_staged=_listed(sql.Identifier("s", name) for name in self.key),
            same=sql.SQL(" AND ").join(same),
            age=sql.Identifier(self.age),
            changes=_listed(changes),
            kept=self._listed_content("d"),
            staged=self._listed_content("s"),
            given=self._listed_content("excluded"),
        )

    @property
    def _content(self) -> tuple[str, ...]:
        return tuple(name for name in self.types if name not in self.apart)

    def _listed_content(self, table: str) -> sql.Composable:
        """What makes a row another one; json compares as its text."""
        return _listed(
            sql.SQL("{}::text" if self.types[name] == "json" else "{}").format(sql.Identifier(table, name))
            for name in self._content
        )

    def _age(self, row: AnyRow) -> tuple[datetime, str, str]:
        """Of two that were changed at once the same one is the newer, whichever database gives them in whichever order."""
        return getattr(row, self.age), row.external_id, repr(row)

    def _older(self, source: str, row: AnyRow) -> Unusable:
        changed: datetime = getattr(row, self.age)
        detail = (
            f"a newer version of this id is there: this one was last changed {changed:%Y-%m-%d %H:%M:%S} UTC"
        )
        values = {name: getattr(row, name) for name in self.types}
        return Unusable(source, row.external_id, "older_copy", detail, _raw(values))

    @staticmethod
    def _values(names: Iterable[str], row: AnyRow) -> Key:
        return tuple(getattr(row, name) for name in names)


def _left_out(values: Mapping[str, Any]) -> str | None:
    """Why a row is none of ours."""
    if str(values.get(OPTED_IN)).lower() in NO:
        return NOT_MEANT
    for column, reason in ((HELD_BACK, VALIDATION), (EVALUATION, TEST)):
        if str(values.get(column)).lower() in YES:
            return reason
    return None


def _is_name(given: str) -> bool:
    """Whether a stored row may be called that."""
    try:
        return identity("external_id", given) is not None
    except Unreadable:
        return False


def _raw(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, default=str).encode("utf-8", "replace")


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


OLDER = sql.SQL("""
    SELECT {key_staged} FROM pg_temp.staging s JOIN overnight.{table} d ON d.source = %(source)s AND {same}
    WHERE (d.{age}, d.external_id COLLATE "C") > (s.{age}, s.external_id) AND ({kept}) IS DISTINCT FROM ({staged})
""")
UPSERT = sql.SQL("""
    INSERT INTO overnight.{table} AS d (source, {columns}) SELECT %(source)s, {columns} FROM pg_temp.staging
    ON CONFLICT (source, {key}) DO UPDATE SET {changes}, revision = d.revision + 1
    WHERE (d.{age}, d.external_id COLLATE "C") <= (excluded.{age}, excluded.external_id) AND ({kept}) IS DISTINCT FROM ({given})
""")
