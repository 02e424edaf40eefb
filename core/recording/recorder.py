"""What an app calls when its agent decides, and when it learns what came of it.

A call returns once its line is on the disk; the lines come into the store in batches, now or when it is back.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

from core.accounting import Accounting
from core.decision import COLUMNS, read_decision
from core.document import Unreadable, document
from core.errors import FAILURES, OvernightError, StorageError
from core.recording.entry import Entry, decision_entry, refused_entry
from core.recording.feedback import LATER, known_components, read_feedback
from core.recording.names import action_words, by_our_names
from core.recording.spool import drain, finish_abandoned, new_segment, spool_folder
from core.value import identity, text

Redact = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Takes personal data out of what is about to be written: called with a decision's or a feedback's fields."""
ROTATE = 64 * 1024 * 1024
"""Bytes in the store after which a file makes way for a new one."""
LONGEST_WAIT = 30.0
"""Seconds between two tries while the store is away."""
log = logging.getLogger(__name__)


def redacted(redact: Redact | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values without personal data; the app's own stay as they are. Raises: Unreadable when its function fails."""
    if redact is None:
        return dict(values)
    try:
        return dict(redact(deepcopy(dict(values))))
    except FAILURES as error:
        raise Unreadable(
            "redaction_failed", f"redact ended with {type(error).__name__}, and nothing is kept: repair it"
        ) from error


class Recorder:
    """Records one app's decisions; for all threads of a process, and made after it forked.

    `redact` sees every value before anything is written. `seconds` lie between two batches; None leaves batches to calls
    of `flush`.
    """

    def __init__(self, source: str, *, redact: Redact | None = None, seconds: float | None = 2.0) -> None:
        """Raises: StorageError when the spool can't be written, Unreadable for a name that the store can't hold."""
        self.source = text("source", source) or "app"
        self._redact = redact
        self._segment = new_segment(self.source)
        self._flushing = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._flush_again, args=(seconds or 0.0,), daemon=True)
        if seconds is not None:
            self._thread.start()

    def record_decision(self, decision: Mapping[str, Any]) -> str:
        """Keep a decision; its id, which is made where the app gives none. The same decision again changes nothing, and takes back nothing that became known.

        Fields are those of `core.decision.Decision`, in snake_case or camelCase; `created_at` is now where it is missing.
        Raises: Unreadable when it can't be used (it counts among the rows set aside), StorageError.
        """
        now = datetime.now(UTC)
        values = self._redacted(decision, now)
        try:
            given = by_our_names(values, COLUMNS)
            given["action"] = action_words(given.get("action"))
            if (components := document("components", given.get("components"))) is not None:
                given["components"] = known_components(components)
            named = {"external_id": uuid4().hex, "created_at": now} | given
            entry = decision_entry(read_decision(named, now), now, timed="created_at" in given)
        except Unreadable as why:
            self._add(refused_entry(values, why, now))
            raise
        self._add(entry)
        return entry.id

    def record_feedback(self, external_id: str, feedback: Mapping[str, Any]) -> None:
        """Keep what became known of a decision: feedback, correction, outcome, components, next_state, and when.

        It waits for its decision where that isn't there yet. Raises: as `record_decision`.
        """
        now = datetime.now(UTC)
        values = self._redacted({**feedback, "external_id": external_id}, now)
        external_id = values.pop("external_id", None)
        try:
            news = read_feedback(by_our_names(values, LATER), now)
            if (name := identity("external_id", external_id)) is None:
                raise Unreadable("missing_value", "external_id missing: say which decision this is about")  # noqa: TRY301
            entry = Entry(kind="feedback", id=name, at=now, values=news)
        except Unreadable as why:
            self._add(refused_entry(values | {"external_id": f"feedback of {external_id}"}, why, now))
            raise
        self._add(entry)

    def refuse(self, why: Unreadable) -> None:
        """Count something that never became a decision or a feedback: it was too large, or no JSON."""
        self._add(refused_entry({}, why, datetime.now(UTC)))

    def flush(self) -> Accounting:
        """Bring everything into the store now, also what killed processes of this app left here. Raises: StoreError."""
        total = Accounting()
        with self._flushing:
            segment = self._segment
            for done in drain(self.source, segment.path, segment.synced):
                total += done
            if segment.synced > ROTATE or segment.failed:
                self._segment = new_segment(self.source)
                segment.close()
            for done in finish_abandoned(self.source):
                total += done
        return total

    def close(self) -> None:
        """Bring into the store what can be brought; the rest stays on the disk for the next process of this app."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._segment.close()
        self._bring(lambda: list(finish_abandoned(self.source)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _redacted(self, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Without personal data. Raises: Unreadable where that failed: that is counted, and nothing of it is written."""
        try:
            return redacted(self._redact, values)
        except Unreadable as why:
            self._add(refused_entry({}, why, now))
            raise

    def _add(self, entry: Entry) -> None:
        line = entry.line()
        while not self._segment.add(line):
            if self._closing.is_set():
                raise StorageError(f"the recorder of {self.source} is closed: make another one")

    def _flush_again(self, seconds: float) -> None:
        """Every some seconds; after a failure twice as long."""
        wait = seconds
        while not self._closing.wait(wait):
            wait = seconds if self._bring(self.flush) else min(2 * wait, max(LONGEST_WAIT, seconds))

    def _bring(self, way: Callable[[], object]) -> bool:
        try:
            way()
        except (OvernightError, OSError) as error:
            log.warning(
                "what %s recorded stays in %s for now: %s", self.source, spool_folder(self.source), error
            )
            return False
        return True
