"""Thumbs become a model that chooses what people like, again and again, and each new rating counts as new once."""

import json
import re

import pytest

from core.accounting import Accounting
from core.store.engine import connection
from core.store.lease import lease
from core.store.rating_claims import OnlineSettings, online_status
from flows.collect import collect
from flows.evaluate import evaluate_model
from flows.train import train
from flows.widget_ratings import widget_ratings

pytestmark = pytest.mark.slow
FEW = {
    "simulation.scenarios": 8,
    "simulation.questions": 4,
    "simulation.raters": 6,
    "simulation.ratings": 60,
    "simulation.days": 2,
    "min_samples": 10,
    "adapter.top_layers": 2,
    "dpo.eval_every": 1000,
    "dpo.save_every": 1000,
    "dpo.max_pairs": 1,
    "contest.pairs": 12,
    "release.formats": ["lora"],
    "release.prompts": 2,
    "release.token_positions": 64,
    "tracking.wandb": "off",
}


@pytest.fixture
def few(tiny_llama):
    """Overrides of the demo preset for a matter of seconds."""
    return FEW | {"model": str(tiny_llama)}


def asked(query):
    with connection() as held:
        return held.execute(query).fetchall()


def report_of(home, state):
    return (home / "runs" / str(state.state_details.flow_run_id) / "report.md").read_text()


def test_ratings_of_the_simulation_teach_a_model(home, database, prefect_server, few):
    """The whole chain, then nothing to do; a vote that changes is new again, and a run by hand learns from it at once."""
    state = widget_ratings("demo", few, return_state=True)
    assert state.is_completed(), state.message
    report = report_of(home, state)
    assert "true taste" in report
    assert "## Written by themselves" in report
    assert "A judge who knows the simulated raters' taste prefers the liked answer in" in report
    assert "rater was not sure" in report
    assert asked("SELECT count(*) FROM overnight.ratings WHERE used_at IS NULL") == [(0,)]

    _check_any_model(home, few)
    again = widget_ratings("demo", few, return_state=True)
    assert again.message.startswith("nothing to do yet: 0 new ratings, of at least 100")
    assert online_status("simulation", OnlineSettings()).next_check is None

    with connection() as held:
        held.execute("UPDATE overnight.ratings SET used_at = NULL WHERE number % 50 = 0")
    by_hand = widget_ratings("demo", few, now=True, return_state=True)
    assert by_hand.is_completed(), by_hand.message
    assert asked("SELECT count(*) FROM overnight.ratings WHERE used_at IS NULL") == [(0,)]


def _check_any_model(home, few):
    """A model of any kind is asked about the same held-out pairs, or about those of a file."""
    output, file = home / "results.json", home / "pairs.jsonl"
    asked = (few["model"], None, "widget_ratings", "demo", few, None, str(output))
    ran = evaluate_model(*asked, return_state=True)
    found = json.loads(output.read_text())
    assert ran.result().items == 12
    assert found["policies"]["candidate"]["accuracy"]["mean"] == 0.5  # against itself nothing is ahead
    assert found["policies"]["true taste"]["accuracy"]["mean"] > 0.5

    lines = [{"prompt": f"{number}:", "completions": [" a", " b"], "rewards": [1, 0]} for number in range(6)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ran = evaluate_model(few["model"], str(file), *asked[2:], return_state=True)
    assert (ran.result().items, ran.result().clusters) == (6, 6)
    assert "true taste" not in json.loads(output.read_text())["policies"]
    assert "6 lines of pairs.jsonl" in report_of(home, ran)


def test_pairs_alone_or_too_few_of_them_train_nothing(home, database, prefect_server, few):
    """A dry run tells the counts and claims nothing; fewer pairs than are asked for end the run as completed."""
    dry = widget_ratings("demo", few, dry_run=True, return_state=True)
    assert dry.is_completed()
    assert dry.message.startswith("dry run: ")
    assert "pairs to train on" in dry.message
    report = report_of(home, dry)
    assert report.startswith(f"# Widget ratings: dry run\n\n**Dry run: {dry.message.partition(': ')[2]}**")
    assert "## What came in\n\n| end | rows |" in report
    assert f"They make {dry.message.split()[2]} pairs to train on, at most 1 of a prompt." in report
    assert asked("SELECT count(*) FROM overnight.ratings WHERE claimed_by IS NOT NULL") == [(0,)]
    lacking = widget_ratings("demo", few | {"min_samples": 10_000}, return_state=True)
    assert lacking.is_completed()
    assert lacking.message.startswith("not enough data: ")
    untested = widget_ratings("demo", few | {"held_out": 0.001}, return_state=True)
    assert untested.message.startswith(
        "not enough data: 0 held-out pairs, of fewer than 2 questions: collect"
    )
    assert report_of(home, untested).startswith(
        "# Widget ratings: not enough data\n\n**Not enough data: 0 held-out"
    )
    for algorithm, what in (("dpo", "pairs"), ("kto", "prompts without a pair")):
        by_hand = train("widget_ratings", algorithm, "demo", few | {"min_samples": 9999}, return_state=True)
        assert re.fullmatch(
            rf"not enough data: \d+ {what} to train on, of at least 9,999 \(min_samples\)", by_hand.message
        )
    assert asked("SELECT count(*) FROM overnight.checkpoints") == [(0,)]
    assert asked("SELECT DISTINCT status FROM overnight.runs") == [("completed",)]


def test_switched_off_the_schedule_touches_nothing(home, database, prefect_server, few):
    """No raters are simulated, so that those of another preset stay what they are; the run says what is off."""
    state = widget_ratings("demo", few | {"online.enabled": False}, return_state=True)
    assert state.is_completed()
    assert state.message == "nothing to do yet: online learning is switched off (online.enabled)"
    assert asked("SELECT count(*) FROM overnight.ratings") == [(0,)]


def test_the_second_of_two_runs_leaves_it_to_the_first(home, database, prefect_server, few):
    """It ends as completed and says who is at it."""
    with lease("learning from the ratings of simulation", "the first"):
        state = widget_ratings("demo", few, return_state=True)
    assert state.is_completed()
    assert state.message.startswith(
        "already running: 'learning from the ratings of simulation' is held by the first"
    )


def test_files_in_the_seeds_form_are_imported(home, database, prefect_server, tmp_path):
    """A simulation and its ratings; the same files again change nothing, and what was rated that isn't there is told."""
    entries = [
        {
            "entry_id": f"e{number}",
            "question_id": "q1",
            "question": "How are the pumps?",
            "scenario": "kpi",
            "fixture": name,
        }
        for number, name in enumerate(("badge", "gauge", "plain"))
    ]
    ratings = {"e0": {"rating": "up"}, "e1": {"rating": "down", "notes": "cluttered"}, "e9": {"rating": "up"}}
    for name, content in (("data", {"entries": entries}), ("ratings", {"ratings": ratings})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    files = {"data_file": str(tmp_path / "data.json"), "ratings_file": str(tmp_path / "ratings.json")}
    state = collect("widget_ratings", "demo", files, return_state=True)
    assert state.result() == Accounting(read=6, written=5, quarantined={"unknown_entry": 1})
    report = report_of(home, state)
    assert "5 of 6 rows from 'files' are new or changed" in report
    assert "| quarantined: unknown_entry | 1 |" in report
    assert "2 ratings by 1 raters, 2 of them new." in report
    again = collect("widget_ratings", "demo", files)
    assert again == Accounting(read=6, unchanged=5, quarantined={"unknown_entry": 1})
