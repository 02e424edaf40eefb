"""The contest of decision agents: the same held-out decisions for everybody, marked by what users wanted."""

import json
from pathlib import Path

import pytest

from core.checkpoint import Checkpoint
from core.config import load_config
from core.dataset import read_rows, write_snapshot
from core.errors import DataError
from core.evaluation import Contest, evaluate
from core.evaluation.summary import summary
from core.files import file_digest
from core.given_rows import given_rows
from core.language.testing import tiny_language_model
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.contest import Paper, contest
from core.use_cases.decision_agents.exam import TRAINED_ON, UNKNOWN, exam
from core.use_cases.decision_agents.groups import TOO_LONG


@pytest.fixture
def config() -> DecisionAgentsConfig:
    return load_config(
        DecisionAgentsConfig, "decision_agents", "demo", {"contest.items": 6, "contest.samples": 2}
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    folder = tiny_language_model(tmp_path_factory.mktemp("tiny") / "model")
    return Checkpoint(kind="merged", path=str(folder), sha256="t", base_model=str(folder), method="given")


def row(number, logged, truth, split="test"):
    return {
        "id": f"d{number}",
        "prompt": f"item {number}:",
        "completions": [json.dumps(logged) + "\n"],
        "rewards": [0.5],
        "split": split,
        "metadata": {
            "person": f"user-{number // 2}",
            "logged_at": f"2026-11-0{number % 9 + 1}T00:00:00+00:00",
            "truth": None if truth is None else json.dumps(truth, separators=(",", ":")),
        },
    }


def nothing(_share, _words):
    """Progress that nobody watches."""


def test_everybody_answers_the_same_decisions(config, checkpoint, tmp_path):
    """Only held-out ones of known truth; a model that enters twice answers once, and its errors are kept."""
    a, b = {"opus": "A"}, {"opus": "B"}
    held_out = [row(n, a if n % 3 else b, a) for n in range(8)]
    rows = [
        row(20, a, b, "train"),
        row(21, a, b, "train"),
        row(22, a, a, "train"),
        row(30, a, None),
        *held_out,
    ]
    rewards = write_snapshot(tmp_path / "rows", "rewards", rows)
    other = checkpoint.model_copy(update={"sha256": "u"})
    entrants = {"candidate": checkpoint, "incumbent": other, "untrained": other}
    played, aa = contest(config, rewards, entrants, nothing)
    assert played.items == tuple(f"d{n}" for n in range(6))
    assert played.policies == ("candidate", "incumbent", "untrained", "as logged", "most common answer")
    assert played.values_of("as logged", "accuracy").tolist() == [0, 1, 1, 0, 1, 1]
    assert played.values_of("most common answer", "accuracy").tolist() == [0] * 6
    assert played.clusters_I.tolist() == [0, 0, 1, 1, 2, 2]
    assert played.counts["candidate"]["invalid"] == 6
    assert played.counts["incumbent"] == played.counts["untrained"]
    assert [sample.why for sample in played.samples["candidate"]] == ["invalid"] * 2
    assert played.samples["candidate"][0].wanted == '{"opus":"A"}'
    played.save(tmp_path / "saved")
    assert Contest.load(tmp_path / "saved").samples == played.samples
    evaluation = evaluate(played, config.evaluation, {}, aa=aa)
    assert evaluation.verdict != "better"
    found = summary(evaluation, played)
    assert found["policies"]["candidate"]["error_rate"] == 1.0
    assert found["policies"]["as logged"]["accuracy"]["mean"] == pytest.approx(2 / 3)
    assert {one["candidate_minus"] for one in found["differences"]} >= {"incumbent", "as logged"}
    json.dumps(found, allow_nan=False)


def test_what_an_agent_may_not_write_is_not_asked_for(config, checkpoint, tmp_path):
    """A right answer, or a prompt, beyond the agent's limits is left out as it is in training, and counted."""
    long = {"opus": "A", "reason": "so " * 600}
    rows = [row(n, {"opus": "A"}, {"opus": "A"}) for n in range(4)] + [row(4, {"opus": "A"}, long)]
    rows.append(row(5, {"opus": "A"}, {"opus": "A"}) | {"prompt": "word " * 3000})
    rewards = write_snapshot(tmp_path / "rows", "rewards", rows)
    played, _ = contest(
        config, rewards, dict.fromkeys(("candidate", "incumbent", "untrained"), checkpoint), nothing
    )
    assert played.items == ("d0", "d1", "d2", "d3")
    assert played.design["decisions"].endswith(f"; left out: {TOO_LONG}: 2")


def test_one_users_decisions_are_no_contest(config, checkpoint, tmp_path):
    """Nothing could be said of another."""
    rewards = write_snapshot(tmp_path / "rows", "rewards", [row(0, {}, {}), row(1, {}, {})])
    with pytest.raises(
        DataError, match=r"2 held-out decisions of known truth, of fewer than 2 users: collect more"
    ):
        contest(config, rewards, {"candidate": checkpoint}, nothing)


@pytest.mark.parametrize(
    ("text", "accuracy", "score", "invalid"),
    [
        ('{"a":1,"b":2}', 1.0, 1.0, 0),
        ('{"b": 2, "a": 1}', 1.0, 1.0, 0),
        ('{"a":1,"b":3}', 0.0, 0.5, 0),
        ('{"a":1}', 0.0, 0.5, 1),
        ("[1,2]", 0.0, 0.0, 1),
        ('{"a":1,', 0.0, 0.0, 1),
    ],
)
def test_a_paper_is_marked(text, accuracy, score, invalid):
    """Right in any spelling of JSON; of another shape is invalid, which the guard on promotions counts."""
    paper = Paper()
    paper.mark(row(0, {}, {"a": 1, "b": 2}), text, 5)
    assert (paper.values, paper.invalid) == ({"accuracy": [accuracy], "score": [score]}, invalid)
    assert len(paper.samples) == (accuracy == 0)


def examined(config, lines, tmp_path: Path):
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = given_rows(file, file_digest(file), tmp_path / "given")
    found = exam(config, given, tmp_path / "exam")
    return found, list(read_rows(found))


def app_line(number, feedback, **change):
    known = {"decisionId": f"d{number}", "userFeedback": feedback, "createdAt": "2026-11-01T00:00:00+00:00"}
    return {
        "prompt": f"p{number}",
        "completion": '{"opus": "A"}',
        "reward": 1.0,
        "confidence": None,
        "metadata": known,
    } | change


def test_lines_of_an_app_are_questions_where_the_answer_is_known(config, tmp_path):
    """A confirmed completion is right, and a correction; one of words alone, or what is no JSON, says nothing."""
    lines = [
        app_line(1, "CONFIRMED"),
        app_line(2, "CORRECTED"),
        app_line(3, None),
        app_line(4, "CONFIRMED", completion="A"),
    ]
    for number, correction in ((5, {"opus": "B"}), (6, '{"opus": "C"}'), (7, "to C")):
        line = app_line(number, "CORRECTED")
        lines.append(line | {"metadata": line["metadata"] | {"userCorrection": correction}})
    found, rows = examined(config, lines, tmp_path)
    assert found.skipped == {UNKNOWN: 4}
    only, *corrected = rows
    assert [row["metadata"]["truth"] for row in corrected] == ['{"opus":"B"}', '{"opus":"C"}']
    assert (only["id"], only["split"], only["metadata"]["truth"]) == ("d1", "test", '{"opus":"A"}')
    with pytest.raises(
        DataError, match=r"lines.jsonl has no line to test a model on \(right answer unknown: 1\)"
    ):
        examined(config, [app_line(2, "IGNORED")], tmp_path)


def test_a_file_of_one_user_is_a_test_too(config, checkpoint, tmp_path):
    """Its sessions share luck, and where it names none each line has its own; one line alone is told what to do."""
    entrants = dict.fromkeys(("candidate", "incumbent", "untrained"), checkpoint)
    sessions = ("s1", "s1", "s2", "s2")
    for names, unit, clusters in ((sessions, "session", [0, 0, 1, 1]), ((None,) * 4, "line", [0, 1, 2, 3])):
        lines = []
        for number, name in enumerate(names):
            one = app_line(number, "CONFIRMED")
            lines.append(one | {"metadata": one["metadata"] | {"userId": "ann", "sessionId": name}})
        found, _ = examined(config, lines, tmp_path / unit)
        played, _ = contest(config, found, entrants, nothing)
        assert (played.cluster_name, played.clusters_I.tolist()) == (unit, clusters)
    found, _ = examined(config, lines[:1], tmp_path / "one")
    with pytest.raises(
        DataError, match="1 held-out decisions of known truth, of fewer than 2 lines: give a file of more"
    ):
        contest(config, found, entrants, nothing)


def test_a_file_of_both_splits_is_tested_on_its_held_out_rows(config, tmp_path):
    """As our own exports are."""
    lines = [row(1, {"opus": "A"}, {"opus": "B"}), row(2, {"opus": "A"}, {"opus": "A"}, "train")]
    found, rows = examined(config, lines, tmp_path)
    assert [each["id"] for each in rows] == ["d1"]
    assert rows[0]["metadata"]["truth"] == '{"opus":"B"}'
    assert rows[0]["metadata"]["person"] == "user-0"
    assert found.skipped == {TRAINED_ON: 1}
