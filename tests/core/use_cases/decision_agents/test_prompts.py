"""What an agent is asked follows from the state alone, whatever shape an app gives it."""

import json
import math
from datetime import UTC, datetime

import pytest

from core.config import load_config
from core.dataset import ScoredGroup
from core.decision import AgentType
from core.errors import ConfigError
from core.store.rewarded import Rewarded
from core.training.rewarding import reward_of
from core.use_cases.decision_agents.answers import read_answer, reward_of_answers, score, truth_of
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.prompts import FORMATTERS, render
from core.use_cases.decision_agents.rows import Sides, app_line, line, scored

STATES = {
    "FILER": {
        "item": {"title": "An invoice", "rawInstructions": "pay\nit", "routingNotes": "soon"},
        "assignedOpus": {"name": "Roof", "opusType": "PROJECT", "content": "tiles"},
        "availableOpuses": [{"name": "Roof", "opusType": "PROJECT"}, {"name": "Tax"}],
    },
    "LIBRARIAN": {"item": {"title": "A book"}, "relatedItems": [{"title": "The same book"}]},
    "PRIORITIZER": {"items": [{"title": "Call", "deadline": "Monday"}, {"title": "Gym"}]},
    "STORER": {"item": {"title": "A photo"}, "outcome": {"kept": True}},
    "RETRIEVER": {"query": "who?", "sources": ["lease", "chart"]},
}
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
DECISION = Rewarded(
    number=7,
    external_id="d7",
    state=STATES["FILER"],
    action={"opus": "Tax"},
    created_at=AT,
    model_version="one",
    item_id="i",
    opus_id="o",
    user_id="u",
    session_id="s",
    step=0,
    confidence=0.5,
    logprobs=None,
    feedback=None,
    correction=None,
    components=None,
    total=None,
    normalized=None,
    session_length=1,
    person="u",
)


@pytest.fixture
def config() -> DecisionAgentsConfig:
    return load_config(DecisionAgentsConfig, "decision_agents")


def test_a_filer_reads_item_notes_and_projects():
    """Texts on one line each, projects by name and kind."""
    assert render("FILER", STATES["FILER"]).splitlines() == [
        "File the item.",
        "Item: An invoice",
        "Instructions: pay it",
        "Notes: soon",
        "Project: Roof (PROJECT): tiles",
        "Projects: Roof (PROJECT), Tax",
        "Answer in JSON:",
    ]


def test_every_agent_type_has_a_formatter_that_shows_its_own_fields():
    """Two agents asked about one state are asked different things."""
    assert set(FORMATTERS) == set(AgentType)
    for agent, state in STATES.items():
        assert "{" not in render(agent, state).replace('{"kept":true}', "")
    assert len({render(agent, STATES["FILER"]) for agent in AgentType}) == len(AgentType)


@pytest.mark.parametrize("agent", AgentType)
def test_an_unknown_state_is_shown_as_it_is(agent):
    """Any object is a state: its JSON, cut; wrong kinds inside known fields do no harm."""
    assert '{"other":"é"}' in render(agent, {"other": "é"})
    assert len(render(agent, {"other": "x" * 10_000})) < 2_000
    odd = dict.fromkeys(("item", "items", "opus", "assignedOpus", "userContext"), 5) | {
        "query": ["a", None, {"b": 1}]
    }
    assert render(agent, odd).startswith(FORMATTERS[agent][0])


def test_what_became_of_a_decision_is_not_in_its_prompt(config):
    """Rows that differ in feedback, correction, outcome, components and reward are asked the same."""
    known = DECISION._replace(
        feedback="CORRECTED",
        correction={"opus": "Roof"},
        components='{"immediate": {"x": 1.0}}',
        total=3.0,
        normalized=1.0,
    )
    plain, told = line(config, DECISION, {}, Sides(0.25)), line(config, known, {}, Sides(0.25))
    assert plain["prompt"] == told["prompt"]
    assert plain["completion"] == told["completion"] == '{"opus":"Tax"}'
    assert (plain["truth"], told["truth"]) == (None, '{"opus":"Roof"}')


def test_the_truth_is_what_was_confirmed_or_the_correction():
    """All other feedback leaves it open."""
    done, better = {"a": 1}, {"a": 2}
    assert truth_of(done, "CONFIRMED", None) == done
    assert truth_of(done, "CORRECTED", better) == better
    assert truth_of({"a": 1, "b": 2}, "CORRECTED", {"b": 3}) == {"a": 1, "b": 3}
    assert [truth_of(done, "CORRECTED", words) for words in ("the other one", 3, ["x"])] == [None] * 3
    assert truth_of("A", "CORRECTED", "B") == "B"
    assert [truth_of(done, said, None) for said in ("IGNORED", "OVERRIDDEN", None, "CORRECTED")] == [None] * 4


@pytest.mark.parametrize(
    ("answer", "worth"),
    [
        ('{"a":1,"b":["x","y"]}', 1.0),
        ('{"b":["x","y"],"a":1}', 1.0),
        ('{"a":1,"b":["x","z"]}', 0.75),
        ('{"a":1,"b":["x"]}', 0.75),
        ('{"a":1}', 0.5),
        ('{"a":1,"b":["x","y"],"c":0,"d":0}', 0.5),
        ('["x","y"]', 0.0),
        ('"a"', 0.0),
        ("{", 0.0),
        ("", 0.0),
    ],
)
def test_an_answer_is_worth_the_share_that_is_right(answer, worth):
    """By fields, and by places in a list; what was not asked for counts against it, and no JSON is worth nothing."""
    truth = {"a": 1, "b": ["x", "y"]}
    assert reward_of_answers("", [answer], {"truth": json.dumps(truth)}) == [worth]
    if (read := read_answer(answer)) is not None:
        assert score(read, truth) == worth


def test_answers_to_a_state_of_unknown_truth_have_no_reward():
    """None: the trainer leaves them out."""
    assert reward_of_answers("", ["{}", "x"], {"truth": None}) == [None, None]


def test_a_group_gives_back_the_line_that_apps_know(config):
    """Exactly the keys of the apps' own exports."""
    known = line(config, DECISION._replace(total=1.5, normalized=0.875), {}, Sides(0.25))
    found = app_line(scored(known))
    assert found == {
        name: known[name] for name in ("prompt", "completion", "reward", "confidence", "metadata")
    }
    assert set(found["metadata"]) == {
        "decisionId",
        "itemId",
        "opusId",
        "userFeedback",
        "rewardComponents",
        "createdAt",
    }
    assert scored(known)["rewards"] == [0.875]


def test_the_settings_reward_of_online_answers_is_found(config):
    """Training imports it by its name; a text has lost its end, and an unknown truth gives no number."""
    reward = reward_of(config.ppo.online, "<end>")
    known = {"truth": '{"opus":"A"}'}
    row = ScoredGroup(id="r", prompt="p", metadata=known)
    assert reward(row, ['{"opus":"A"}', '{"opus":"B"}', "A"]) == [1.0, 0.0, 0.0]
    assert all(map(math.isnan, reward(row.model_copy(update={"metadata": {"truth": None}}), ["{}"])))


@pytest.mark.parametrize(("slot", "tokens"), [("filer", 64), ("prioritizer", 256)])
def test_answers_are_as_long_as_the_agent_may(slot, tokens):
    """Online ones too, unless the settings say otherwise."""
    found = load_config(DecisionAgentsConfig, "decision_agents", "default", {"slot": slot})
    assert found.limits.completion == found.ppo.online.sampling.max_tokens == tokens
    given = {"slot": slot, "ppo.online.sampling.max_tokens": 9}
    told = load_config(DecisionAgentsConfig, "decision_agents", "default", given)
    assert told.ppo.online.sampling.max_tokens == 9
    with pytest.raises(ConfigError, match="'clerk' is no agent type: choose one of filer, librarian"):
        load_config(DecisionAgentsConfig, "decision_agents", "default", {"slot": "clerk"})
