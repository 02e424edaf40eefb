"""The lines of a file as questions: what a person brings to test a model on."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.dataset import Snapshot, read_rows, write_snapshot
from core.errors import DataError
from core.given_split import AS_SAID, logged_in, named_in
from core.held_out import TEST
from core.use_cases.decision_agents.answers import END, action_text, read_answer, truth_of
from core.use_cases.decision_agents.config import DecisionAgentsConfig

TRAINED_ON, UNKNOWN = "to train on, as the file says", "right answer unknown"
Row = dict[str, Any]


def exam(config: DecisionAgentsConfig, given: Snapshot, folder: Path) -> Snapshot:
    """A file's rows whose right answer is known, all held out; of a file that says what is held out, those only.

    Known is what a row of ours has as its truth, and a completion that its user confirmed, or corrected by fields or as a
    whole. Raises: DataError when none is.
    """
    skipped: Counter[str] = Counter()
    kind = f"exam of {config.agent_type}"
    unit = _unit(given)
    questions, notes = _questions(given, unit, skipped), given.notes | {"unit": unit}
    snapshot = write_snapshot(folder, kind, questions, skipped=skipped, parents=(given.sha256,), notes=notes)
    if not snapshot.counts["rows"]:
        why = ", ".join(f"{reason}: {count}" for reason, count in skipped.items())
        raise DataError(
            f"{given.notes.get('file', given.path)} has no line to test a model on ({why}): a line needs metadata.userFeedback "
            "CONFIRMED, CORRECTED with metadata.userCorrection, or metadata.truth with the right answer as JSON text"
        )
    return snapshot


def _unit(given: Snapshot) -> str:
    """Whose lines share luck: a user's, a session's where there is but one user, else each line's alone."""
    found: dict[str, set[str]] = {"user": set(), "session": set()}
    for row in read_rows(given):
        for unit, names in found.items():
            if (name := _named(row, unit)) is not None:
                names.add(name)
    return next((unit for unit, names in found.items() if len(names) > 1), "line")


def _named(row: Row, unit: str) -> str | None:
    """The user or the session that a line names."""
    known = row["metadata"]
    name = known.get("person") if unit == "user" else None
    name = named_in(known, unit) if name is None else name
    return None if name is None else str(name)


def _whose(row: Row, unit: str) -> str:
    """Whom a line belongs to; where it names neither, itself."""
    units = {"user": ("user", "session"), "session": ("session",)}.get(unit, ())
    return next((name for each in units if (name := _named(row, each)) is not None), row["id"])


def _questions(given: Snapshot, unit: str, skipped: Counter[str]) -> Iterator[Row]:
    said = given.notes.get("split") == AS_SAID
    for row in read_rows(given):
        truth = _truth(row)
        if said and row["split"] != TEST:
            skipped[TRAINED_ON] += 1
        elif truth is None:
            skipped[UNKNOWN] += 1
        else:
            yield _question(row, truth, unit)


def _truth(row: Row) -> str | None:
    """The right answer as canonical JSON, where it is known and is JSON."""
    known = logged_in(row["metadata"])
    truth = _answer(known.get("truth"))
    if truth is None and len(row["completions"]) == 1:
        action, correction = _answer(row["completions"][0]), _answer(named_in(known, "correction"))
        truth = None if action is None else truth_of(action, named_in(known, "feedback"), correction)
    return None if truth is None else action_text(truth)


def _answer(given: Any) -> Any:
    """An answer that is JSON, or JSON text."""
    return read_answer(given.strip()) if isinstance(given, str) else given


def _question(row: Row, truth: str, unit: str) -> Row:
    metadata = row["metadata"]
    logged_at = metadata.get("logged_at")
    return {
        "id": row["id"],
        "prompt": row["prompt"],
        "completions": [(row["completions"] or [truth])[0].removesuffix(END) + END],
        "split": TEST,
        "metadata": {
            "person": _whose(row, unit),
            "logged_at": logged_at if isinstance(logged_at, str) else "",
            "truth": truth,
        },
    }
