"""Decisions of the desk into the store and out again as rows, every one of them accounted for."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from core.config import load_config
from core.dataset import read_rows
from core.errors import ConfigError, DataError
from core.store.decisions import ingest
from core.store.engine import connection
from core.store.ledger import open_ledger
from core.store.registry import record_run, record_snapshot
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.desk import desk_rows, end_of
from core.use_cases.decision_agents.desk_rules import RULES
from core.use_cases.decision_agents.gathering import gather
from core.use_cases.decision_agents.groups import INCOMPLETE, KNOWN, NO_ANSWER, NO_TRUTH, TWICE, groups
from core.use_cases.decision_agents.rows import app_line, collect, remember, reward, split_of

DAY = date(2026, 11, 9)


def configured(**overrides) -> DecisionAgentsConfig:
    small = {"desk.decisions": 24, "as_of": DAY} | {
        key.replace("__", "."): value for key, value in overrides.items()
    }
    return load_config(DecisionAgentsConfig, "decision_agents", "demo", small)


def nothing(_share, _words):
    """Progress that nobody watches."""


def written(config):
    return gather(config, None, nothing)


def collected(config, folder: Path):
    snapshot = collect(config, folder, nothing)
    return snapshot, list(read_rows(snapshot))


def stored(query, *values):
    with connection() as held:
        return held.execute(query, values).fetchall()


def test_a_day_is_the_same_whenever_it_is_asked_for():
    """Other days and other seeds are others."""
    desk = configured().desk
    first = list(desk_rows(desk, end_of(DAY)))
    assert first == list(desk_rows(desk, end_of(DAY)))
    assert first != list(desk_rows(desk.model_copy(update={"seed": 2}), end_of(DAY)))
    assert len(first) == desk.decisions * desk.days * len(RULES)
    assert all(row["created_at"] <= row["updated_at"] <= end_of(DAY) for row in first)


def test_each_desk_has_a_name_of_its_own(database, tmp_path):
    """Their ids are the same: another preset's night must not change this one's. An app has no generator's name."""
    usual, small = (
        load_config(DecisionAgentsConfig, "decision_agents", "default", {"as_of": DAY}),
        configured(),
    )
    assert (usual.rows_of, small.rows_of[:5]) == ("desk", "desk-")
    assert small.rows_of == configured(desk__days=3).rows_of != configured(desk__seed=2).rows_of
    assert written(small).written == small.desk.decisions * small.desk.days * len(RULES)
    assert written(usual).written == usual.desk.decisions * usual.desk.days * len(RULES)
    assert written(small).unchanged == small.desk.decisions * small.desk.days * len(RULES)
    for name in ("desk", small.rows_of, "packages"):
        with pytest.raises(ConfigError, match=f"the name '{name}' is a generator's: give the app another"):
            configured(source={"name": name, "kind": "recorded"})


def test_users_want_what_the_rule_says_save_for_the_noise():
    """Nine in ten of what was confirmed or corrected is the rule's own action; some feedback comes days later."""
    rows = [
        row for row in desk_rows(configured(desk__decisions=200).desk, end_of(DAY)) if row.get("feedback")
    ]
    agreed = Counter[str]()
    for row in rows:
        known = row["action"] if row["feedback"] == "CONFIRMED" else row.get("correction")
        if known is not None:
            agreed[row["agent_type"], known == RULES[row["agent_type"]].truth(row["state"])] += 1
    for agent in RULES:
        assert agreed[agent, True] / (agreed[agent, True] + agreed[agent, False]) > 0.9
    late = [row for row in rows if row["feedback_at"] - row["created_at"] > timedelta(days=1)]
    assert 0.15 < len(late) / len(rows) < 0.35


def test_the_next_night_writes_only_what_became_known(database):
    """What is unchanged is unchanged, late feedback and components come in, and the same night again changes nothing."""
    first, second = written(configured()), written(configured())
    assert (first.read, first.unchanged) == (first.written, 0)
    assert (second.written, second.unchanged) == (0, first.read)
    later = written(configured(as_of=DAY + timedelta(days=1)))
    new = 24 * len(RULES)
    assert later.read == first.read
    assert new < later.written < later.read
    assert stored("SELECT count(*) FROM overnight.decisions") == [(first.read + new,)]
    assert stored("SELECT count(*) FROM overnight.decisions WHERE revision > 1") == [(later.written - new,)]


def test_every_decision_is_a_row_or_counted(database, open_desk, tmp_path):
    """Newest first, ids in the order of their bytes; the options leave out what they say, by reason."""
    config = configured()
    open_desk(config)
    asked = {
        "all": {"export__limit": None, "export__min_reward": None, "export__pending": True},
        "final": {"export__limit": None},
        "good": {"export__limit": None, "export__min_reward": 1.0},
        "said": {"export__limit": None, "export__require_feedback": True},
        "few": {"export__limit": 10},
    }
    found = {name: collected(configured(**how), tmp_path / name) for name, how in asked.items()}
    written = config.desk.decisions * config.desk.days
    for snapshot, rows in found.values():
        assert snapshot.counts["rows"] + sum(snapshot.skipped.values()) == written
        at = [(row["metadata"]["createdAt"], row["id"].encode()) for row in rows]
        assert at == sorted(sorted(at, key=lambda each: each[1]), key=lambda each: each[0], reverse=True)
    rows = {name: rows for name, (_, rows) in found.items()}
    assert len(rows["all"]) == written
    assert all(row["reward"] >= 1.0 for row in rows["good"])
    assert all(row["metadata"]["userFeedback"] for row in rows["said"])
    assert rows["few"] == rows["final"][:10]
    assert 10 < len(rows["good"]) < len(rows["final"]) < len(rows["all"])
    assert set(found["few"][0].skipped) - {"below min_reward"} == {"reward pending", "beyond the limit"}
    for row in rows["all"]:
        assert list(row) == sorted(row)
        assert list(row["metadata"]) == sorted(row["metadata"])


def test_only_the_sources_own_decisions_up_to_the_day_are_read(database, open_desk, tmp_path):
    """Another app's rows, another agent's, and those of the days after stay where they are."""
    config = configured()
    open_desk(config)
    before = collected(config, tmp_path / "before")[0]
    row = next(row for row in desk_rows(config.desk, end_of(DAY)) if row["agent_type"] == "FILER")
    assert sum(page.written for page in ingest("other app", [row], now=end_of(DAY))) == 1
    open_desk(configured(as_of=DAY + timedelta(days=1)))
    with open_ledger("decision_agents", config.rewards, end_of(DAY), run_id="again") as ledger:
        ledger.compute()
    again = collected(config, tmp_path / "again")[1]
    assert {row["id"] for row in read_rows(before)} <= {row["id"] for row in again}
    assert max(row["metadata"]["createdAt"] for row in again) < "2026-11-10"
    assert all(row["id"].startswith("filer-") for row in again)


def test_nothing_to_read_says_what_to_do(database, tmp_path):
    """No decision at all, and decisions that nothing was computed for."""
    with pytest.raises(
        DataError,
        match=r"'desk-\w+' has no FILER decision to train on, nor any other: run collect/decisions first",
    ):
        collect(configured(), tmp_path / "none", nothing)
    written(configured())
    with pytest.raises(DataError, match=r"\(no reward: 144\): compute rewards of version demo first"):
        collect(configured(), tmp_path / "none", nothing)


def test_a_person_is_on_one_side_for_ever(database, open_desk, tmp_path):
    """Whoever else is there, on whatever day; about the share that was asked for is held out."""
    people: dict[str, set[str]] = {}
    for night in (DAY, DAY + timedelta(days=3)):
        config = configured(as_of=night, export__limit=None)
        open_desk(config)
        for row in collected(config, tmp_path / str(night))[1]:
            people.setdefault(row["person"], set()).add(row["split"])
    assert all(len(sides) == 1 for sides in people.values())
    held_out = [split_of(f"user-{number}", 0.3) for number in range(2000)].count("test")
    assert 0.27 < held_out / 2000 < 0.33


def test_a_changed_reward_makes_the_snapshots_that_used_it_stale(database, open_desk, tmp_path):
    """The rows that a snapshot holds are known by their numbers, whichever night changes them."""
    config = configured(export__pending=True)
    open_desk(config)
    snapshot, rows = collected(config, tmp_path / "rows")
    record_run(
        run_id="r", use_case="decision_agents", preset="demo", config_digest="", code_revision="", config={}
    )
    record_snapshot("r", snapshot)
    for _ in range(2):
        remember(config, snapshot)
    ((subjects,),) = stored(
        "SELECT subjects FROM overnight.snapshot_subjects WHERE snapshot = %s", snapshot.sha256
    )
    assert sorted(subjects) == sorted(row["number"] for row in rows)
    assert stored("SELECT stale_since FROM overnight.snapshots") == [(None,)]
    open_desk(configured(as_of=DAY + timedelta(days=2)))
    stale = "SELECT stale_since IS NOT NULL FROM overnight.snapshots"
    assert stored(stale) == [(True,)]
    of_it = snapshot.model_copy(update={"sha256": "made of it", "parents": (snapshot.sha256,)})
    record_snapshot("r", of_it)
    assert stored(stale) == [(True,), (True,)]
    for again in (snapshot, of_it):  # read again, and the same bytes: what had changed isn't in them
        record_snapshot("r", again)
    assert stored(stale) == [(False,), (False,)]


def made(config, tmp_path, name, method):
    """Groups of a method from decisions that a test wrote."""
    decisions = collect(config, tmp_path / f"{name}-rows", nothing)
    return groups(
        config, method, reward(config, decisions, tmp_path / f"{name}-rewards", nothing), tmp_path / name
    )


def decision(number, text, **change):
    at = datetime(2026, 11, 8, 9, number % 60, tzinfo=UTC)
    return {
        "external_id": f"d{number:03d}",
        "agent_type": "FILER",
        "state": {"item": {"title": text}},
        "action": {"opus": "A"},
        "user_id": f"user-{number}",
        "model_version": "m",
        "created_at": at,
        "feedback": "CONFIRMED",
        "feedback_at": at,
        "outcome_at": at,
        "components": {"immediate": {"confidenceCalibration": 0.5}},
    } | change


def kept(config, *rows):
    for page in ingest(configured().rows_of, rows, now=end_of(DAY)):
        assert not page.quarantined
    with open_ledger("decision_agents", config.rewards, end_of(DAY), run_id="test") as ledger:
        ledger.compute()


SIDES = {
    side: [n for n in range(200) if split_of(f"user-{n}", 0.3, 0.1) == side] for side in ("train", "test")
}
LONG = "a letter of the north lake garden society about the roof of the old tower and what it would take to mend it, signed"


def test_what_the_test_knows_and_what_says_the_same_twice_is_dropped(database, tmp_path):
    """Upper case, spaces and stops make no difference, nor does one word in thirty; each is counted under its reason."""
    (one, two, three, four), (held_out, *_) = SIDES["train"][:4], SIDES["test"]
    rows = [
        decision(held_out, "the held out question"),
        decision(one, "The  HELD OUT question!"),
        decision(two, LONG),
        decision(three, LONG.upper() + "."),
        decision(four, "something else"),
    ]
    config = configured()
    kept(config, *rows)
    found = made(config, tmp_path, "sft", "sft")
    assert found.skipped == {KNOWN: 1, TWICE: 1}
    assert found.counts == {"rows": 3, "train": 2, "test": 1}
    apart = made(configured(export__near_duplicates=None), tmp_path, "all", "sft")
    assert (apart.counts["rows"], apart.skipped) == (5, {})


def test_accepted_decisions_are_imitated_as_their_users_want_them(database, tmp_path):
    """Confirmed as they were, corrected as corrected; the others teach by their reward only."""
    one, two, three, four = SIDES["train"][:4]
    rows = [
        decision(one, "first", confidence=0.9),
        decision(two, "second", confidence=0.8, feedback="CORRECTED", correction={"opus": "B"}),
        decision(three, "third", feedback="OVERRIDDEN"),
        decision(four, "fourth", feedback="CORRECTED", correction="put it under B"),
    ]
    config = configured()
    kept(config, *rows)
    found = made(config, tmp_path, "sft", "sft")
    assert {row["id"]: row["completions"] for row in read_rows(found)} == {
        f"d{one:03d}": ['{"opus":"A"}\n'],
        f"d{two:03d}": ['{"opus":"B"}\n'],
    }
    assert found.skipped == {NO_TRUTH: 1, NO_ANSWER: 1}
    lines = {row["id"]: app_line(row) for row in read_rows(found)}
    first, second = lines[f"d{one:03d}"], lines[f"d{two:03d}"]
    assert first["confidence"] == 0.9
    assert (second["reward"], second["confidence"]) == (None, None)
    assert second["metadata"]["truth"] == second["completion"] == '{"opus":"B"}'
    logged = {row["id"]: row for row in read_rows(made(config, tmp_path, "ppo", "ppo"))}
    assert [logged[f"d{number:03d}"]["completions"] for number in (one, two, three)] == [
        ['{"opus":"A"}\n']
    ] * 3
    assert logged[f"d{one:03d}"]["rewards"][0] > logged[f"d{two:03d}"]["rewards"][0]
    assert json.loads(logged[f"d{two:03d}"]["metadata"]["truth"]) == {"opus": "B"}


def test_sessions_are_whole_or_left_out(database, tmp_path):
    """A missing step would lose its reward to those before it; an app that numbers none is taken by time, and what another
    agent decided in between is no step of this one's.
    """
    person = SIDES["train"][0]
    numbered = [decision(n, f"step {n}", session_id="s", step=n, user_id=f"user-{person}") for n in range(3)]
    broken = [decision(n, f"gap {n}", session_id="gap", step=n, user_id=f"user-{person}") for n in (10, 12)]
    shared = [
        decision(n, f"both {n}", session_id="both", step=n - 39, user_id=f"user-{person}", agent_type=agent)
        for n, agent in ((40, "FILER"), (41, "LIBRARIAN"), (42, "FILER"))
    ]
    timed = [decision(n, f"time {n}", session_id="t", user_id=f"user-{person}") for n in (22, 21, 20)]
    logprobs = [decision(30, "alone", logprobs=[-0.5, -0.25], user_id=f"user-{person}")]
    config = configured()
    kept(config, *numbered, *broken, *shared, *timed, *logprobs)
    found = made(config, tmp_path, "ppo", "ppo")
    by_session: dict[str, list] = {}
    for row in read_rows(found):
        by_session.setdefault(row["metadata"]["session"], []).append((row["metadata"]["step"], row["id"]))
    assert by_session == {
        "s": [(0, "d000"), (1, "d001"), (2, "d002")],
        "t": [(0, "d020"), (1, "d021"), (2, "d022")],
        "d030": [(0, "d030")],
        "both": [(0, "d040"), (1, "d042")],
    }
    assert found.skipped == {INCOMPLETE: 2}
    (alone,) = [row for row in read_rows(found) if row["id"] == "d030"]
    assert alone["behaviour"] == [[-0.5, -0.25]]


def test_a_session_lies_on_one_side_whoever_is_in_it(database, tmp_path):
    """A user who logs in on the way, and users who share one: all that they ever did is on one side."""
    config = configured(export__limit=None, export__min_reward=None, export__pending=True)
    late = [
        decision(
            4 * n + step,
            f"late {n} {step}",
            session_id=f"late-{n}",
            step=step,
            user_id=f"user-{n}" if step else None,
        )
        for n in range(30)
        for step in range(2)
    ]
    shared = [
        decision(
            400 + 4 * n + step,
            f"shared {n} {step}",
            session_id=f"shared-{n}",
            step=step,
            user_id=f"pair-{n + step}",
        )
        for n in range(20)
        for step in range(2)
    ]
    kept(config, *late, *shared)
    sides: dict[str, set[str]] = {}
    for row in collected(config, tmp_path / "rows")[1]:
        sides.setdefault("pairs" if "shared" in row["session"] else row["session"], set()).add(row["split"])
    assert [session for session, found in sides.items() if len(found) > 1] == []
    assert {side for found in sides.values() for side in found} == {"train", "validation", "test"}


def test_few_users_are_split_by_session(database, tmp_path):
    """One of them would be too much to hold out, and of one alone nothing ever would be."""
    rows = [decision(n, f"letter {n}", user_id=f"user-{n % 4}", session_id=f"s{n // 2}") for n in range(200)]
    config = configured(export__limit=None)
    kept(config, *rows)
    decisions, found = collected(config, tmp_path / "few")
    assert decisions.notes["unit"] == "session"
    assert decisions.counts["train"] > 80
    assert decisions.counts["test"] > 30
    assert len({(row["session"], row["split"]) for row in found}) == 100
    kept(config, decision(201, "another", user_id="user-5"))
    assert collected(config, tmp_path / "five")[0].notes["unit"] == "user"


def test_the_last_days_alone_can_be_held_out(database, tmp_path):
    """Of the users that are held out, and nobody is trained on what came after; what lies on neither side is counted."""
    start = datetime(2026, 11, 2, tzinfo=UTC)
    config = configured(
        export__limit=None, export__min_reward=None, export__pending=True, export__test_days=1
    )
    rows = [
        decision(60 * n, f"paper {n}", user_id=f"user-{n % 20}", created_at=start + timedelta(hours=2 * n))
        for n in range(60)
    ]
    kept(config, *rows)
    snapshot, found = collected(config, tmp_path / "rows")
    cut = (start + timedelta(hours=2 * 59) - timedelta(days=1)).isoformat()
    sides = {
        side: [row["metadata"]["createdAt"] for row in found if row["split"] == side]
        for side in ("train", "test")
    }
    assert max(sides["train"]) < cut <= min(sides["test"])
    assert snapshot.counts["rows"] + sum(snapshot.skipped.values()) == 60
    assert snapshot.skipped["too early to be held out, or too late to be trained on"] > 0
