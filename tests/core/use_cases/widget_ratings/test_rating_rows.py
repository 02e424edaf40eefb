"""Thumbs become answers that are liked or not: nothing a rater said is asked, and no scenario is on both sides."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from core.accounting import Accounting
from core.config import load_config
from core.dataset import read_rows
from core.errors import DataError
from core.store.rating_feedback import add_feedback
from core.store.ratings import ingest_entries, ingest_ratings
from core.use_cases.widget_ratings.config import WidgetRatingsConfig
from core.use_cases.widget_ratings.contest import TRUE_TASTE, _scripted, _scripts, pairs_of
from core.use_cases.widget_ratings.divided import CROSSED
from core.use_cases.widget_ratings.gathering import gather
from core.use_cases.widget_ratings.groups import groups, is_paired
from core.use_cases.widget_ratings.rows import ALONE, FEW, SEVERAL_LINES, SPLIT, _shuffled, collect, reward
from core.use_cases.widget_ratings.simulation import UNSURE

AT = datetime(2026, 11, 1, tzinfo=UTC)
LOOKS = ("badge", "gauge", "plain")


def nothing(_share, _words):
    """Progress that nobody watches."""


def configured(**overrides):
    asked = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(WidgetRatingsConfig, "widget_ratings", "default", asked)


def entry(name, widget="kpi", look="badge", size="normal", **change):
    return {
        "entry_id": name,
        "question_id": "q",
        "question": "How are the pumps?",
        "widget": widget,
        "fixture": look,
        "size": size,
    } | change


def rated(entries, votes):
    """Keep entries and (entry, rater, thumb, further fields) in the simulation's source."""
    assert sum(ingest_entries("simulation", entries), Accounting()).written == len(entries)
    rows = [
        {"entry_id": name, "rater_id": rater, "rating": thumb, "rated_at": AT} | rest
        for name, rater, thumb, rest in votes
    ]
    assert sum(ingest_ratings("simulation", rows, now=AT + timedelta(days=1)), Accounting()).written == len(
        rows
    )


def made(config, folder):
    votes = collect(config, folder / "votes", nothing)
    rewards = reward(config, votes, folder / "rewards", nothing)
    return rewards, {row["id"]: row for row in read_rows(rewards)}


def test_a_thumb_is_a_vote_on_the_widget_and_on_its_look(database, tmp_path):
    """A widget's votes are those of all its looks; a look's those of one size of one widget."""
    rated(
        [entry(look, look=look) for look in LOOKS]
        + [entry("trend", "trend", "line"), entry("big", size="hero")],
        [
            ("badge", "a", "up", {}),
            ("badge", "b", "up", {}),
            ("gauge", "a", "down", {}),
            ("trend", "a", "down", {}),
            ("big", "a", "up", {}),
        ],
    )
    rewards, rows = made(configured(), tmp_path)
    widget = rows["q/widget"]
    assert dict(zip(widget["completions"], widget["rewards"], strict=True)) == {
        "kpi (hero)\n": 1.0,
        "kpi (normal)\n": 1.0,
        "trend (normal)\n": -1.0,
    }
    assert dict(zip(widget["completions"], widget["metadata"]["votes"], strict=True)) == {
        "kpi (hero)\n": [1, 0],
        "kpi (normal)\n": [2, 1],
        "trend (normal)\n": [0, 1],
    }
    look = rows["q/kpi/normal"]
    assert dict(zip(look["completions"], look["rewards"], strict=True)) == {"badge\n": 1.0, "gauge\n": -1.0}
    assert rows["q/kpi/hero"]["rewards"] == [1.0]
    assert rewards.skipped == {ALONE: 1}
    assert "Widgets: kpi, trend" in widget["prompt"]
    assert "Looks: badge, gauge, plain" in rows["q/kpi/normal"]["prompt"]


def test_what_raters_are_divided_on_or_not_sure_of_is_left_out(database, tmp_path):
    """By the share that agree, by the number of votes, by their own tag; each counted."""
    rated(
        [entry(look, look=look) for look in LOOKS],
        [
            ("badge", "a", "up", {}),
            ("badge", "b", "down", {}),
            ("gauge", "a", "up", {}),
            ("gauge", "b", "up", {}),
            ("plain", "a", "down", {"tags": [UNSURE]}),
        ],
    )
    rewards, rows = made(configured(), tmp_path / "usual")
    assert rows["q/kpi/normal"]["completions"] == ["gauge\n"]
    assert rewards.skipped == {"rater was not sure": 1, SPLIT: 1}
    rewards, rows = made(configured(votes__votes=3, problems=["fixture"]), tmp_path / "three")
    assert (rows, rewards.skipped) == ({}, {"rater was not sure": 1, FEW: 2})
    rewards, _ = made(configured(votes__max_buffer_size=2), tmp_path / "newest")
    assert rewards.skipped["older than the newest that count"] == 3


def test_a_tag_weighs_its_rating(database, tmp_path):
    """Two of three are against it, but the third was marked as careful; what was said goes along, and never into a prompt."""
    rated(
        [entry(look, look=look) for look in LOOKS],
        [
            ("badge", "a", "up", {"tags": ["careful", "clear"], "notes": "saw it at once"}),
            ("badge", "b", "down", {"tags": ["100%"], "notes": "not mine"}),
            ("badge", "c", "down", {"tags": ["hasty", "careful"]}),
            ("gauge", "b", "down", {"tags": ["accident"], "notes": "slipped"}),
            ("plain", "b", "down", {}),
        ],
    )
    config = configured(votes__tag_weights={"careful": 3, "hasty": 0.25, "100%": 0.5}, problems=["fixture"])
    rewards, rows = made(config, tmp_path)
    row = rows["q/kpi/normal"]
    said = dict(
        zip(
            row["completions"],
            zip(*(row["metadata"][n] for n in ("votes", "tags", "notes")), strict=True),
            strict=True,
        )
    )
    assert dict(zip(row["completions"], row["rewards"], strict=True)) == {"badge\n": 1.0, "plain\n": -1.0}
    assert said["badge\n"] == (
        [3.0, 0.75],
        {"100%": 1, "careful": 2, "clear": 1, "hasty": 1},
        ["not mine", "saw it at once"],
    )
    assert said["plain\n"] == ([0.0, 1.0], {}, [])
    assert rewards.skipped == {"rater was not sure": 1}


def test_what_raters_say_is_never_asked(database, tmp_path):
    """Tags, notes, thumbs, raters and versions of the model change no prompt."""
    rated(
        [
            entry(look, look=look, context={"intent": {"domains": ["water"]}, "secret": "XYZZY"})
            for look in LOOKS
        ],
        [
            (look, "PLUGH", "up", {"notes": "NOTED", "tags": ["TAGGED"], "model_version": "FROTZ"})
            for look in LOOKS
        ],
    )
    _, rows = made(configured(), tmp_path)
    text = json.dumps([row["prompt"] for row in rows.values()])
    assert "water" in text
    for word in ("XYZZY", "PLUGH", "NOTED", "TAGGED", "FROTZ", "up", "down"):
        assert word not in text.replace("pumps", "")


def test_words_are_rated_as_they_are(database, tmp_path):
    """An app that notes prompt and response needs no widgets."""
    rated(
        [{"entry_id": name, "prompt": "Greet me.", "response": name} for name in ("Hello.", "Go away.")],
        [("Hello.", "a", "up", {}), ("Go away.", "a", "down", {})],
    )
    _, rows = made(configured(), tmp_path)
    (row,) = rows.values()
    assert (row["prompt"], row["completions"], row["rewards"]) == (
        "Greet me.",
        ["Go away.\n", "Hello.\n"],
        [-1.0, 1.0],
    )


def test_a_question_of_several_scenarios_has_a_row_in_each(database, tmp_path):
    """Each with a name of its own; where they are for different things, only those stay that are for the same as the question."""
    entries = [
        entry(f"{scenario}-{widget}", widget, scenario=scenario, question_id="q1")
        for scenario in ("pumps", "chillers", "boilers")
        for widget in ("kpi", "trend")
    ]
    rated(
        entries,
        [(each["entry_id"], "ann", "up" if each["widget"] == "kpi" else "down", {}) for each in entries],
    )
    rewards, rows = made(configured(problems=["widget"]), tmp_path)
    assert {row["metadata"]["scenario"]: row["split"] for row in rows.values()} == {
        "pumps": "train",
        "chillers": "train",
    }
    assert rewards.skipped[CROSSED] == 1


def test_answers_of_several_lines_are_left_out(database, tmp_path):
    """A model's answer ends with its line: what can't be written whole is not learnt from, and counted."""
    said = {"short": "It runs.", "ends": "It stopped.\n", "long": "It runs.\nSince noon."}
    rated(
        [{"entry_id": name, "prompt": "How is it?", "response": text} for name, text in said.items()],
        [(name, "a", "up" if name == "short" else "down", {}) for name in said],
    )
    rewards, rows = made(configured(), tmp_path)
    (row,) = rows.values()
    assert sorted(row["completions"]) == ["It runs.\n", "It stopped.\n"]
    assert rewards.skipped == {SEVERAL_LINES: 1}


def test_nobody_rated_anything(database, tmp_path):
    """Says where it looked and what to do."""
    with pytest.raises(DataError, match=r"source 'simulation' has no rating .*: run collect/ratings first"):
        collect(configured(), tmp_path / "none", nothing)


def test_the_simulated_raters_like_what_they_are_said_to_like(database, tmp_path, smollm2):
    """Pairs and leftovers are all prompts, no scenario lies on both sides, and who knows the taste is nearly always right."""
    config = configured(
        simulation__questions=8, simulation__ratings=200, model="smollm2-135m", problems=["widget", "fixture"]
    )
    gather(config, None, nothing)
    rewards, rows = made(config, tmp_path)
    sides: dict[str, set[str]] = {}
    for row in rows.values():
        sides.setdefault(row["metadata"]["scenario"], set()).add(row["split"])
    assert all(len(found) == 1 for found in sides.values())
    paired, alone = (
        list(read_rows(groups(config, method, rewards, tmp_path / method))) for method in ("dpo", "kto")
    )
    assert all(is_paired(row) for row in paired)
    assert not any(is_paired(row) for row in alone)
    assert {row["id"] for row in paired} | {row["id"] for row in alone} == set(rows)
    pairs = list(pairs_of(config, rewards, Counter()))
    assert max(Counter(pair.row["id"] for pair in pairs).values()) == config.contest.pairs_a_prompt
    accuracy = {
        name: _scripted(worth, pairs)["accuracy"].mean() for name, worth in _scripts(config, rewards).items()
    }
    assert accuracy[TRUE_TASTE] > 0.85
    assert 0.3 < accuracy["most liked elsewhere"] < accuracy[TRUE_TASTE]
    assert TRUE_TASTE not in _scripts(configured(simulation__raters=0), rewards)


def test_people_alone_rate_what_the_simulation_shows(database):
    """Without simulated raters a night brings in the entries and no rating; what people said stays."""
    config = configured(simulation__raters=0, simulation__scenarios=2, simulation__questions=1)
    assert gather(config, None, nothing).written == 2 * 96
    (page,) = ingest_ratings(
        "simulation", [{"entry_id": "pumps-000/kpi/hero/plain-number", "rating": "up"}], now=AT
    )
    assert page.written == 1
    assert gather(config, None, nothing).written == 0
    assert config.rows_of == "simulation"


def test_votes_on_another_simulations_entries_are_not_counted(database, tmp_path):
    """Its ids mean something else here; under a name of its own it is learnt from."""
    files = {}
    for name, question in (("old", "How are the pumps?"), ("new", "How are the valves?")):
        shown = {
            "entry_id": "e1",
            "question_id": "q1",
            "question": question,
            "scenario": "kpi",
            "fixture": "badge",
        }
        votes = {"e1": {"rating": "down", "rater_id": name}}
        for kind, content in (("entries", [shown]), ("ratings", votes)):
            path = tmp_path / f"{name}-{kind}.json"
            path.write_text(json.dumps({kind: content}))
        files[name] = {"data_file": str(tmp_path / f"{name}-entries.json"), "ratings_file": str(path)}
    assert gather(configured(**files["old"]), None, nothing) == Accounting(read=2, written=2)
    found = gather(configured(**files["new"]), None, nothing)
    assert found == Accounting(read=2, quarantined={"duplicate_entry": 2})
    apart = configured(**files["new"], file_source="valves")
    assert gather(apart, None, nothing) == Accounting(read=2, written=2)
    assert apart.rows_of == "valves"


def test_what_the_page_gives_as_a_file_is_a_ratings_file(database, tmp_path):
    """Of the catalogue's entries, where they lie."""
    few = {"simulation__raters": 0, "simulation__scenarios": 2, "simulation__questions": 1}
    assert gather(configured(**few), None, nothing).written == 2 * 96
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps({"ratings": [{"entry_id": "pumps-000/kpi/hero/plain-number", "rating": "up"}]})
    )
    config = configured(ratings_file=str(path), file_source="simulation")
    assert gather(config, None, nothing) == Accounting(read=1, written=1)


@pytest.mark.parametrize("own", [False, True])
def test_looks_that_show_other_data_answer_the_same_question(database, tmp_path, own):
    """As in the seed's files, where each look comes with numbers of its own; what all of them show is in the prompt."""
    entries = [
        entry(look, look=look, context={"data_override": {"demoData": {"value": look if own else "7"}}})
        for look in LOOKS
    ]
    rated(
        entries, [(LOOKS[0], "ann", "up", {}), (LOOKS[1], "ann", "down", {}), (LOOKS[2], "ann", "down", {})]
    )
    ((row,),) = [made(configured(problems=["fixture"]), tmp_path)[1].values()]
    assert row["rewards"].count(1.0) == 1
    assert row["rewards"].count(-1.0) == 2
    assert ("Data: value 7" in row["prompt"]) != own


def test_thumbs_that_an_app_hands_over_are_learnt_from(database, tmp_path, monkeypatch):
    """Under the app's own name, and without a database of its own."""
    monkeypatch.delenv("OVERNIGHT_SOURCE_URL", raising=False)
    for widget, thumb in (("kpi", "up"), ("trend", "down")):
        assert add_feedback("plant", entry(widget, widget) | {"rating": thumb})
    config = configured(source={"name": "plant", "kind": "recorded"}, problems=["widget"])
    assert gather(config, None, nothing) == Accounting()
    (row,) = made(config, tmp_path)[1].values()
    assert dict(zip(row["completions"], row["rewards"], strict=True)) == {
        "kpi (normal)\n": 1.0,
        "trend (normal)\n": -1.0,
    }


def test_which_pairs_of_a_question_are_learnt_from_does_not_follow_the_alphabet() -> None:
    answers = [f"{letter} (normal)" for letter in "abcdefghijklmnop"]
    votes = {answer: [0, 1] for answer in answers}

    first = {_shuffled(f"question-{number}", votes)[0] for number in range(200)}

    assert first == set(answers)
    assert _shuffled("question-1", votes) == _shuffled("question-1", dict(reversed(votes.items())))
