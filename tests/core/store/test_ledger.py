"""The reward ledger: every decision once, again only where something changed, and nothing lost."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.accounting import Accounting
from core.errors import BusyError, ConfigError, DataError, LeaseLostError, StoreError
from core.reward import CODE, RewardSpec
from core.store import reward_page, server
from core.store.engine import connection
from core.store.ledger import open_ledger
from core.store.migrate import downgrade, migrate
from core.store.nights import reward_night

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SPEC = RewardSpec(version="1")
ROOT = Path(__file__).parents[3]
BITS = """
    SELECT count(*), count(DISTINCT subject), md5(string_agg(encode(float8send(total), 'hex'), '' ORDER BY subject))
    FROM overnight.rewards
"""
SNAPSHOT = """
    INSERT INTO overnight.snapshots (sha256, kind, path, counts, skipped, parents, notes)
    VALUES (%s, 'rows', '/', '{}', '{}', '{}', '{}')
"""

MADE_OF = """
    INSERT INTO overnight.snapshots (sha256, kind, path, counts, skipped, parents, notes)
    VALUES (%s, 'groups', '/', '{}', '{}', %s, '{}')
"""


def computed(days=100.0, run="run", spec=SPEC, told=None, window=None):
    with open_ledger("desk", spec, AT + timedelta(days=days), run_id=run) as opened:
        return (opened.between(*window) if window else opened).compute(told)


def test_a_decision_gets_its_reward_once(desk, decision, ask):
    """One row with its parts in the order of the spec; the same night again changes no row."""
    desk(decision(1), decision(2, "STORER", components={"delayed": {"findability": 1}}, feedback="CORRECTED"))
    work = computed()
    assert work.accounting == Accounting(read=2, written=2)
    rows = ask(
        "SELECT status, components, total, normalized, revision, due_at, code FROM overnight.rewards ORDER BY subject"
    )
    assert rows[0][0] == "final"
    assert (rows[0][1][0], rows[0][1][-1]) == (1.0, -0.5)
    assert rows[0][2:4] == (pytest.approx(1.675, abs=1e-12), pytest.approx(0.91875, abs=1e-12))
    assert rows[0][4:] == (1, None, CODE[:12])
    assert rows[1][1] == [-0.5, "missed", "missed", 1.0, "missed"]
    named = "SELECT name, value, status FROM overnight.reward_components ORDER BY subject, place"
    assert ask(named)[0] == ("userFeedback", 1.0, "observed")
    assert ask(named)[7:10] == [
        ("opportunityCost", -0.5, "observed"),
        ("userAcceptance", -0.5, "observed"),
        ("editDistance", None, "missed"),
    ]
    assert rows[1][2] == pytest.approx(-0.5 + 0.6)

    before = ask("SELECT ctid, xmin, * FROM overnight.rewards ORDER BY subject")
    assert computed().accounting == Accounting()
    assert ask("SELECT ctid, xmin, * FROM overnight.rewards ORDER BY subject") == before


def test_rewards_of_an_older_store_are_carried_over(desk, decision, ask):
    """Observed, missed and awaited components keep their names when the tables go back, and are the same after."""
    desk(decision(1), decision(2, "STORER", components={"delayed": {"findability": 1}}, feedback="CORRECTED"))
    computed(days=20.0)
    content = "SELECT * FROM overnight.rewards ORDER BY subject"
    now = ask(content)
    downgrade("0007")
    assert ask("SELECT components FROM overnight.rewards ORDER BY subject")[1][0][:2] == [
        ["userAcceptance", -0.5, "observed"],
        ["editDistance", None, "missed"],
    ]
    migrate()
    assert ask(content) == now
    assert now[1][3][2] == "pending"


def test_what_is_awaited_comes_to_its_end(desk, decision, ask):
    """Nothing before the deadline; then it is missed, and one row changes."""
    desk(decision(0), decision(0, external_id="late", components=None, feedback="CONFIRMED"))
    assert computed(days=1).accounting == Accounting(read=2, written=2)
    assert ask("SELECT status, due_at, total FROM overnight.rewards ORDER BY subject")[1] == (
        "pending",
        AT + timedelta(days=7),
        1.0,
    )
    assert computed(days=6).accounting == Accounting()
    assert computed(days=7).accounting == Accounting(read=1, written=1)
    assert computed(days=90).accounting == Accounting(read=1, written=1)
    assert ask("SELECT status, due_at, total FROM overnight.rewards ORDER BY subject")[1] == (
        "final",
        None,
        1.0,
    )
    assert computed(days=900).accounting == Accounting()


def test_a_late_outcome_changes_what_it_touches(desk, decision, ask):
    """One reward and the snapshots made of it; a change that is none of the reward's leaves the reward."""
    known = {"userFeedback": 1, "confidenceCalibration": 1}
    late = decision(2, components={"immediate": known})
    desk(decision(1), late, decision(3))
    computed(days=1)
    with open_ledger("desk", RewardSpec(version="0"), AT, run_id="other") as opened:
        another = opened.ledger.spec
    ((spec,),) = ask("SELECT DISTINCT spec FROM overnight.rewards")
    with connection() as held:
        for name, of_spec, subjects in (
            ("with", spec, [1, 2]),
            ("without", spec, [1, 3]),
            ("other", another, [2]),
        ):
            held.execute(SNAPSHOT, (name,))
            held.execute(MADE_OF, (f"groups of {name}", [name]))
            held.execute(MADE_OF, (f"lines of {name}", [f"groups of {name}"]))
            held.execute(
                "INSERT INTO overnight.snapshot_subjects VALUES (%s, 0, %s, %s)", (name, of_spec, subjects)
            )

    desk(
        late
        | {
            "components": {"immediate": known, "delayed": {"completionSuccess": -1}},
            "outcome_at": AT + timedelta(days=2),
            "updated_at": AT + timedelta(days=2),
        }
    )
    work = computed(days=3)
    assert work.accounting == Accounting(read=1, written=1)
    assert work.stale_snapshots == 3
    stale = "SELECT sha256 FROM overnight.snapshots WHERE stale_since IS NOT NULL ORDER BY 1"
    assert ask(stale) == [("groups of with",), ("lines of with",), ("with",)]
    assert ask("SELECT status, revision FROM overnight.rewards WHERE subject = 2") == [("final", 2)]

    before = ask("SELECT computed_at, components, total FROM overnight.rewards ORDER BY subject")
    desk(decision(1) | {"reasoning": "it looked like one", "updated_at": AT + timedelta(days=4)})
    corrected = computed(days=5)  # as a correction may be: the decision is another, its total is not
    assert (corrected.accounting, corrected.stale_snapshots) == (Accounting(read=1, unchanged=1), 3)
    assert [name for (name,) in ask(stale) if "other" in name] == []
    assert len(ask(stale)) == 6
    assert computed(days=5).accounting == Accounting()
    assert ask("SELECT computed_at, components, total FROM overnight.rewards ORDER BY subject") == before


def test_what_can_not_be_used_is_kept_aside_and_the_others_are_done(desk, decision, ask):
    """A reason each; nothing known is no reward and no 0; a row that lost its number loses its reward."""
    bad = {
        "text": {"delayed": {"completionSuccess": "1.0"}},
        "truth": {"delayed": {"completionSuccess": True}},
        "group": {"delayed": 3},
        "far": {
            "delayed": {"completionSuccess": 1e308, "reworkPenalty": 1e308},
            "strategic": {"goalAlignment": 1e308},
        },
    }
    heavy = RewardSpec(
        version="heavy",
        weights={"FILER": {"delayed": {"completionSuccess": 1.5, "reworkPenalty": 1.5}}},
    )
    desk(
        decision(0),
        *(
            decision(place + 1, external_id=name, components=given)
            for place, (name, given) in enumerate(bad.items())
        ),
        decision(7, external_id="nothing", components=None),
        decision(8, external_id="empty", components={"delayed": {"completionSuccess": None}}),
        decision(9, external_id="other", agent_type="STORER"),
    )
    with connection() as held:  # what no import lets in, but another hand may
        held.execute(
            """INSERT INTO overnight.decisions (source, external_id, agent_type, state, action, model_version,
            components, created_at, updated_at) VALUES ('app', 'huge', 'FILER', '{}', '1', 'base',
            '{"delayed": {"completionSuccess": 1e400}}', now(), now()), ('app', 'heap', 'FILER', '{}', '1', 'base',
            jsonb_build_object('notes', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 3000) n)), now(), now())"""
        )
    work = computed(spec=heavy)
    assert work.accounting == Accounting(
        read=10,
        written=3,
        quarantined={"bad_component": 3, "non_finite": 1, "out_of_range": 1, "oversize": 1},
        skipped={"no_weights": 1},
    )
    kept = dict(ask("SELECT external_id, detail FROM overnight.quarantine WHERE source = 'rewards of desk'"))
    assert kept["2"] == "app text: component completionSuccess is '1.0', not a number"
    assert len(kept) == 6
    again = computed(spec=heavy).accounting
    assert again == work.accounting.model_copy(update={"read": 7, "written": 0})
    assert len(ask("SELECT 1 FROM overnight.quarantine")) == 6

    later = {"updated_at": AT + timedelta(days=1)}
    desk(decision(1, external_id="text", components={"delayed": {"completionSuccess": 1}}) | later)
    desk(decision(0) | {"components": {"delayed": {"completionSuccess": []}}} | later)
    assert computed(spec=heavy).accounting.quarantined == work.accounting.quarantined
    assert ask("SELECT subject FROM overnight.rewards WHERE total IS NOT NULL") == [(2,)]
    assert ask("SELECT external_id FROM overnight.quarantine WHERE released_at IS NOT NULL") == [("2",)]


def test_values_beyond_every_scale_do_not_fail_the_night(desk, decision, ask):
    """Finite, and infinite once squared: each is kept aside, the others of its page have their rewards."""
    far = [{"delayed": {"completionSuccess": value}} for value in (1e200, -1e308, 1e308)]
    desk(decision(0), *(decision(number, components=given) for number, given in enumerate(far, 1)))
    assert computed().accounting == Accounting(read=4, written=1, quarantined={"out_of_range": 3})
    night = reward_night("desk", SPEC, AT.date(), AT + timedelta(days=100), run_id="run")
    assert night.work.accounting == Accounting(read=3, quarantined={"out_of_range": 3})
    assert ask("SELECT subject FROM overnight.rewards") == [(1,)]


def test_large_components_stay_in_the_store_however_well_they_compress(desk, decision, ask):
    """The length of the text decides; of what is too large, nothing is fetched."""
    padded = [{"immediate": {"userFeedback": 1}, "notes": "x" * length} for length in (15_000, 900_000)]
    desk(*(decision(number, components=given) for number, given in enumerate(padded)))
    ((small, large),) = ask("SELECT min(pg_column_size(components)), max(pg_column_size(components)) FROM overnight.decisions")  # fmt: skip
    assert small < large < reward_page.LARGEST
    assert computed().accounting == Accounting(read=2, written=1, quarantined={"oversize": 1})
    assert ask("SELECT subject FROM overnight.rewards") == [(1,)]
    assert ask("SELECT external_id, octet_length(raw) FROM overnight.quarantine") == [("2", 0)]


def test_of_what_nothing_is_known_is_awaited_and_then_final_and_never_worth_0(desk, decision, ask):
    """It has a row without a total, which is looked at again at its deadlines alone; what comes late counts."""
    desk(decision(0, components=None), decision(1, components=None))
    rows = "SELECT status, total, normalized FROM overnight.rewards ORDER BY subject"
    assert computed(days=1).accounting == Accounting(read=2, written=2)
    assert computed(days=2).accounting == Accounting()
    assert ask(rows) == 2 * [("pending", None, None)]
    desk(decision(0, components=None, feedback="CONFIRMED", updated_at=AT + timedelta(days=3)))
    assert computed(days=3).accounting == Accounting(read=1, written=1)
    assert computed(days=100).accounting == Accounting(read=2, written=2)
    assert ask(rows) == [("final", 1.0, 0.75), ("final", None, None)]


def test_a_ledger_may_keep_to_one_source(desk, decision, ask):
    """What another app decided waits for its own run."""
    desk(decision(0), decision(1))
    ask("UPDATE overnight.decisions SET source = 'other' WHERE number = 2 RETURNING 1")
    with open_ledger("desk", SPEC, AT + timedelta(days=100), run_id="run", rows_of="other") as opened:
        assert opened.compute().accounting == Accounting(read=1, written=1)
    assert computed().accounting == Accounting(read=1, written=1)


def test_a_version_stands_for_one_spec(desk, decision):
    """Other weights under the same name are refused; a new name computes all decisions anew beside the old."""
    desk(decision(1), decision(2))
    computed()
    other = {"FILER": {"delayed": {"completionSuccess": 0.7}}}
    with pytest.raises(ConfigError, match=r"version '1' stands for other weights.*raise the version"):
        computed(spec=RewardSpec(version="1", weights=other))
    assert computed(spec=RewardSpec(version="2", weights=other)).accounting.written == 2
    assert computed().accounting.read == 0


def test_pages_are_computed_one_by_one(desk, decision, ask, monkeypatch):
    """In three pages as in one, what is due between the new ones too; a window keeps to its days."""
    monkeypatch.setattr(reward_page, "PAGE", 2)
    desk(*(decision(number, components={"immediate": {"userFeedback": 1}}) for number in range(3)))
    assert computed(days=1).accounting.written == 3
    desk(*(decision(number) for number in range(3, 6)))
    told = []
    assert computed(days=8, told=told.append).accounting == Accounting(read=6, written=6)
    assert [page.read for page in told] == [2, 4, 6]

    desk(*(decision(number, created_at=AT + timedelta(days=number)) for number in range(6, 10)))
    window = (AT + timedelta(days=7), AT + timedelta(days=9))
    assert computed(days=8, window=window).accounting.written == 2
    assert computed(days=8).accounting.written == 2


def test_a_row_that_is_lost_fails_the_night(desk, decision, ask, monkeypatch):
    """Read = written + unchanged + quarantined + skipped, or an error, and nothing of the page is kept."""
    desk(*(decision(number) for number in range(3)))
    copy_in = reward_page.copy_in
    monkeypatch.setattr(reward_page, "copy_in", lambda *given: copy_in(*given[:-1], given[-1][1:]))
    with pytest.raises(DataError, match="rewards of desk: 3 rows were read and 2 accounted for"):
        computed()
    assert ask("SELECT count(*) FROM overnight.rewards") == [(0,)]


def test_two_at_once_do_no_decision_twice(desk, decision, ask, monkeypatch):
    """The second is told who is at it; one that lost its lease keeps nothing of its page."""
    monkeypatch.setattr(reward_page, "PAGE", 2)
    desk(*(decision(number) for number in range(6)))

    def second(_accounting):
        with pytest.raises(BusyError, match="'rewards desk' is held by run"):
            computed(run="second")

    assert computed(told=second).accounting.written == 6

    desk(*(decision(number) for number in range(6, 12)))

    def taken_over(_accounting):
        ask("UPDATE overnight.leases SET holder = 'another' RETURNING 1")

    with pytest.raises(LeaseLostError):
        computed(told=taken_over)
    assert ask(BITS)[0][:2] == (8, 8)
    ask("DELETE FROM overnight.leases RETURNING 1")
    assert computed().accounting.written == 4


KILLED = """
import os, signal, sys
from datetime import datetime
from core.reward import RewardSpec
from core.store import reward_page
from core.store.ledger import open_ledger

reward_page.PAGE = 10

def told(accounting):
    print(accounting.read, flush=True)
    if accounting.read == 20:
        reward_page.copy_in = die

def die(held, *given):
    copy_in(held, *given)
    os.kill(os.getpid(), signal.SIGKILL)

copy_in = reward_page.copy_in
with open_ledger("desk", RewardSpec(version="1"), datetime.fromisoformat(sys.argv[1]), run_id="killed") as opened:
    opened.compute(told)
"""


def test_a_killed_night_is_finished_by_the_next(desk, decision, ask):
    """SIGKILL with a page written and not committed: two pages stay, no row twice, the totals are the same bits."""
    desk(
        *(decision(number, components={"delayed": {"completionSuccess": number / 7}}) for number in range(50))
    )
    command = [sys.executable, "-c", KILLED, (AT + timedelta(days=100)).isoformat()]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["10", "20"]), killed.stderr
    assert ask(BITS)[0][:2] == (20, 20)
    assert computed().accounting == Accounting(read=30, written=30)
    resumed = ask(BITS)
    ask("DELETE FROM overnight.rewards RETURNING 1")
    assert computed().accounting.written == 50
    assert ask(BITS) == resumed
    assert resumed[0][:2] == (50, 50)


def test_a_database_that_stops_and_starts_loses_nothing(embedded, decision, monkeypatch):
    """The page in work is lost with an error that may pass; the next call finds the server back and finishes."""
    from core.store.decisions import ingest  # noqa: PLC0415

    migrate()
    list(ingest("app", (decision(number) for number in range(30)), now=AT + timedelta(days=1000)))
    monkeypatch.setattr(reward_page, "PAGE", 10)
    stopped = []
    copy_in = reward_page.copy_in

    def stop_before_commit(held, *given):
        count = copy_in(held, *given)
        if not stopped and len(told) == 1:
            stopped.append(server.stop())
        return count

    told = []
    monkeypatch.setattr(reward_page, "copy_in", stop_before_commit)
    with pytest.raises(StoreError):
        computed(told=told.append)
    assert stopped == [True]
    assert computed().accounting == Accounting(read=20, written=20)
    with connection() as held:
        assert held.execute(BITS).fetchone()[:2] == (30, 30)
