"""The report of the reward ledger says what a person has to know, in few lines."""

from datetime import UTC, date, datetime

from core.accounting import Accounting
from core.reports.rewards import LedgerStory, ledger_report
from core.reward import Reward
from core.reward_drift import drifts
from core.reward_moments import Moments
from core.store.ledger_state import Day, ModelCount, StatusCount, Unused, VersionChange


def strata(values, status="final"):
    moments = Moments()
    for value in values:
        moments.add("STORER", Reward(status, [value, None], (), value, 0.5, None))
    return moments.strata({"STORER": ["found", "late"]})


def story(**change):
    now, then = strata([0.9] * 50), strata([-0.5, 0.5] * 100)
    return LedgerStory(
        use_case="desk",
        version="7",
        title="the night of 2026-11-01",
        accounting=Accounting(
            read=3, written=1, quarantined={"bad_component": 1}, skipped={"no_components": 1}
        ),
        stale_snapshots=2,
        strata=now,
        before=then,
        drifts=drifts(now, then),
        counts=[StatusCount(agent_type="STORER", status="final", count=250, mean_normalized=0.5)],
        models=[
            ModelCount(
                agent_type="STORER",
                model_version="base",
                decisions=4,
                confirmed=3,
                refused=1,
                mean_total=0.25,
                last=datetime(2026, 11, 1, 12, tzinfo=UTC),
            )
        ],
        unused=[Unused(reason="bad_component", count=1, example="app x: no number")],
    ).model_copy(update=change)


def test_a_night_is_told():
    """What became of the rows, whose snapshots are stale, the counts, the drift, a picture, the quarantine."""
    text = ledger_report("Rewards", [story()], ["other: already running"]).text()
    for line in (
        "- other: already running",
        "## desk, rewards 7: the night of 2026-11-01",
        "| read | 3 |",
        "| quarantined: bad_component | 1 |",
        "**2 snapshots hold decisions or rewards that are others now: the next run reads them again**",
        "| STORER | final | 250 | 50 | 0.5 |",
        "| STORER | base | 4 | 75.0 % | 25.0 % | 0.25 | 2026-11-01 12:00 |",
        "**look at STORER (total), STORER found**",
        "**STORER**: late missed in 100.0 %",
        "![STORER: found](data:image/png;base64,",
        "| bad_component | 1 | app x: no number |",
    ):
        assert line in text, line
    assert "Beside version" not in text


def test_a_quiet_night_says_so():
    """No picture without values, and no drift without nights before."""
    text = ledger_report(
        "Rewards", [story(strata={}, before={}, drifts=(), unused=(), stale_snapshots=0)]
    ).text()
    assert "nothing to hold it against" in text
    assert "png" not in text
    assert "snapshots were made" not in text


def test_a_backfill_tells_its_days_and_the_version_before():
    """Each day, and what lacks a reward still; ranks are told by agent type."""
    change = VersionChange(before="6", agent_type="STORER", count=40, correlation=None)
    lacking = [Day(day=date(2026, 11, day), decisions=9, lacking=4) for day in (1, 2)]
    text = ledger_report("Rewards", [story(days=lacking, days_after=lacking[1:], changes=[change])]).text()
    assert "| 2026-11-01 | 9 | 4 | 0 |" in text
    assert "| 2026-11-02 | 9 | 4 | 4 |" in text
    assert "### Beside version 6" in text
    assert "| STORER | 40 | – |" in text
