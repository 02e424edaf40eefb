"""Decisions for the tests of the ledger."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.store.decisions import ingest
from core.store.engine import connection
from core.store.registry import record_run

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
WHOLE = {
    "FILER": {
        "immediate": {"userFeedback": 1, "confidenceCalibration": 0.5},
        "delayed": {
            "completionSuccess": 1,
            "blockageAvoidance": 0.5,
            "reworkPenalty": -1,
            "timeEfficiency": 0.25,
        },
        "strategic": {"goalAlignment": 0.5, "opportunityCost": -0.5},
    },
    "STORER": {
        "immediate": {"userAcceptance": 1, "editDistance": 0.5},
        "delayed": {"corpusCoherence": -0.5, "findability": 0.3, "duplicationPenalty": 0},
    },
}


@pytest.fixture(scope="session")
def decision() -> Callable[..., dict[str, Any]]:
    """Makes decisions that are wholly known, one a minute from 2026-11-01 12:00 UTC, unless a change says otherwise."""
    return _decision


def _decision(number: int, agent_type: str = "FILER", **change: Any) -> dict[str, Any]:
    return {
        "external_id": f"d{number}",
        "agent_type": agent_type,
        "state": {"text": f"paper {number}"},
        "action": {"folder": "bills"},
        "model_version": "base",
        "created_at": AT + timedelta(minutes=number),
        "components": WHOLE[agent_type],
    } | change


@pytest.fixture
def desk(database: str) -> Callable[..., None]:
    """Puts decisions into the store, as an app's import does; the run 'run' is there too."""
    record_run(
        run_id="run",
        use_case="desk",
        preset="default",
        config_digest="c",
        code_revision="k",
        config={},
    )

    def keep(*rows: Mapping[str, Any]) -> None:
        for page in ingest("app", rows, now=AT + timedelta(days=1000)):
            assert page.read == page.written + page.unchanged

    return keep


@pytest.fixture
def ask(database: str) -> Callable[..., list[tuple[Any, ...]]]:
    """The rows of a query of the store."""

    def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
        with connection() as held:
            return held.execute(query, values).fetchall()

    return rows
