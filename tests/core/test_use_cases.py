"""What every use case owes: whole configs, clear refusals, and rows that any training method can read."""

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import yaml

from core.config import CONFIGS, load_config
from core.dataset import ScoredGroup, read_rows
from core.errors import ConfigError
from core.language.config import model_config
from core.record import Record, Settings
from core.reward_weights import WEIGHTS
from core.training.config import Method
from core.use_case import UseCaseConfig
from core.use_cases import USE_CASES, Preset, UseCaseName, use_case_named

PRESETS = [
    (use_case, path.stem)
    for use_case in USE_CASES
    for path in sorted((CONFIGS / use_case.name).glob("*.yaml"))
]
SMALL = {
    "fantasy_draft": {
        "players.source": "synthetic",
        "collect.examples": 30,
        "collect.test_examples": 10,
        "collect.drafts": 2,
        "collect.test_drafts": 1,
        "collect.scenarios": 8,
        "reward.boards": 1,
    },
    "decision_agents": {"desk.decisions": 20, "export.limit": 80},
    "widget_ratings": {"simulation.questions": 6, "simulation.raters": 8, "problems": ["widget", "fixture"]},
}
"""What makes a use case's demo preset small enough for a test; one that is small needs nothing here."""
JUDGE = {
    "fantasy_draft": {"reward.name": "seed_dense", "reward.boards": 2},
    "decision_agents": {
        "rewards.version": "another",
        "rewards.weights": {
            agent: {
                group: {name: weight / 2 for name, weight in weights.items()}
                for group, weights in groups.items()
            }
            for agent, groups in WEIGHTS.items()
        },
    },
}
"""Settings of the judge: what rows are worth may follow them, what a policy is asked may not."""

judged = pytest.mark.parametrize(
    "use_case",
    [use_case for use_case in USE_CASES if use_case.name in JUDGE],
    ids=lambda use_case: use_case.name,
)
each = pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.name)


def nothing(_share, _words):
    """Progress that nobody watches."""


def small(use_case, judge=False) -> UseCaseConfig:
    overrides = SMALL.get(use_case.name, {}) | (JUDGE.get(use_case.name, {}) if judge else {})
    return load_config(use_case.config, use_case.name, "demo", overrides)


@pytest.fixture(scope="module")
def made(tmp_path_factory, database_of_module, open_desk):
    """Rows, rewards and groups of each use case, made twice, and once under another judge."""
    found = {}
    for use_case in USE_CASES:
        for turn in ("first", "again", "another judge"):
            folder = tmp_path_factory.mktemp(use_case.name)
            config = small(use_case, judge=turn == "another judge")
            if use_case.name == "decision_agents":
                open_desk(config)
            elif use_case.gather is not None:
                use_case.gather(config, None, nothing)
            rows = use_case.collect(config, folder / "rows", nothing)
            rewards = use_case.reward(config, rows, folder / "rewards", nothing)
            groups = {
                name: use_case.groups(config, name, rewards, folder / name) for name in use_case.methods
            }
            found[use_case.name, turn] = {"rows": rows, "rewards": rewards, **groups}
    return found


@pytest.mark.parametrize(("use_case", "preset"), PRESETS, ids=lambda value: getattr(value, "name", value))
def test_every_preset_is_whole_and_names_a_known_model(use_case, preset):
    """Each YAML file loads and validates over default.yaml; its model has a file in configs/models."""
    config = load_config(use_case.config, use_case.name, preset)
    assert config.model == model_config(config.model).name


@pytest.mark.parametrize(("use_case", "preset"), PRESETS, ids=lambda value: getattr(value, "name", value))
def test_how_weights_are_held_is_the_same_in_every_methods_section(use_case, preset):
    """A preset is for a machine: what fits it for one method must fit it for the others."""
    config = load_config(use_case.config, use_case.name, preset)
    held = {
        method: (settings.dtype, settings.quantization, settings.gradient_checkpointing)
        for method in get_args(Method)
        if (settings := getattr(config, method, None)) is not None
    }
    assert len(held) >= len(use_case.methods)
    assert len(set(held.values())) == 1, held


def records_in(annotation: object) -> set[type[Record]]:
    """Every record that a value of a type may hold, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        inner = [field.annotation for field in annotation.model_fields.values()]
        return {annotation}.union(*map(records_in, inner))
    return set().union(*map(records_in, get_args(annotation)))


@each
def test_every_section_refuses_what_is_no_number(use_case):
    """However deep: a record that lets infinity pass is a row, not settings. Defaults are held to it too."""
    found = records_in(use_case.config)
    assert {"OnlineSettings", "VllmRollouts", "Cap"} <= {kind.__name__ for kind in found}
    assert [kind.__name__ for kind in found if not issubclass(kind, Settings)] == []
    defaults = [field.default for kind in found for field in kind.model_fields.values()]
    assert all(math.isfinite(value) for value in defaults if isinstance(value, float))


@pytest.mark.parametrize(
    ("use_case", "preset"),
    [(use_case, preset) for use_case, preset in PRESETS if preset != "default"],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_preset_holds_only_what_differs(use_case, preset):
    """A value that default.yaml has already would hide a later change there."""

    def leaves(values, prefix=""):
        for key, value in values.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    read = {
        name: dict(leaves(yaml.safe_load((CONFIGS / use_case.name / f"{name}.yaml").read_text())))
        for name in ("default", preset)
    }
    same = [key for key, value in read[preset].items() if read["default"].get(key, "absent") == value]
    assert same == []


@each
def test_unknown_names_are_refused_in_one_line(use_case):
    """A preset, a key and a use case that don't exist, each named."""
    with pytest.raises(
        ConfigError, match=rf"unknown preset 'dem' for {use_case.name}: did you mean 'demo'\?"
    ):
        load_config(use_case.config, use_case.name, "dem")
    for key, meant in (("epoch", "epochs"), ("lr", "learning_rate")):
        with pytest.raises(ConfigError, match=rf"unknown key 'sft\.{key}': did you mean 'sft\.{meant}'\?"):
            load_config(use_case.config, use_case.name, "default", {f"sft.{key}": 1})
    with pytest.raises(ConfigError, match=rf"unknown use case 'poker': choose one of .*{use_case.name}"):
        use_case_named("poker")


@each
@pytest.mark.parametrize("key", ["model", "slot"])
def test_names_are_not_empty(use_case, key):
    """An empty model would be the folder that the worker runs in, an empty slot a champion nobody finds."""
    with pytest.raises(ConfigError, match=f"'{key}': is empty: give it a name"):
        load_config(use_case.config, use_case.name, "default", {key: " "})


@each
def test_the_forms_offer_the_use_case_and_its_presets(use_case):
    """The enums are made from the registry and the config folder."""
    assert use_case_named(UseCaseName(use_case.name)) is use_case
    assert {preset for owner, preset in PRESETS if owner is use_case} <= {preset.value for preset in Preset}


@each
def test_stages_read_sections_that_exist(use_case):
    """Every stage has its sections named, and every name is one of the config's."""
    assert set(use_case.reads) == {
        "collect",
        "reward",
        "contest",
        *(f"groups-{name}" for name in use_case.methods),
    }
    for sections in use_case.reads.values():
        assert set(sections) <= set(use_case.config.model_fields)


@each
def test_every_row_is_a_scored_group(use_case, made):
    """Training rows of every method validate, have their own ids, train and test; nothing else is in them."""
    for method in use_case.methods:
        rows = [ScoredGroup.model_validate(row) for row in read_rows(made[use_case.name, "first"][method])]
        assert {"train", "test"} <= {row.split for row in rows} <= {"train", "validation", "test"}
        assert len({row.id for row in rows}) == len(rows)
        assert all(row.weights if method == "sft" else row.rewards for row in rows)
        assert all(abs(sum(row.weights) - 1) < 1e-3 for row in rows if row.weights)


@each
def test_the_same_inputs_give_byte_identical_files(use_case, made):
    """Rows, rewards and groups, rows.jsonl and manifest.json alike."""
    first, again = made[use_case.name, "first"], made[use_case.name, "again"]
    for stage in first:
        for name in ("rows.jsonl", "manifest.json"):
            assert (Path(first[stage].path) / name).read_bytes() == (
                Path(again[stage].path) / name
            ).read_bytes(), f"{stage}/{name}"


@judged
def test_a_policy_is_never_told_what_only_the_judge_may_know(use_case, made):
    """Under another judge the rows are the same to the byte (rows out of the store save for their rewards), and so is every
    question; only the rewards differ.
    """
    first, other = made[use_case.name, "first"], made[use_case.name, "another judge"]
    assert use_case.stored or other["rows"].sha256 == first["rows"].sha256
    rewarded = use_case.methods[-1]
    assert other[rewarded].sha256 != first[rewarded].sha256
    for method in use_case.methods:
        pairs = zip(read_rows(first[method]), read_rows(other[method]), strict=True)
        for one, two in pairs:
            one.pop("rewards", None)
            two.pop("rewards", None)
            for row in (one, two):
                row["metadata"].pop("total", None)
            assert one == two


@each
def test_train_and_test_share_no_question_by_name(use_case, made):
    """A row is in one split only, and the held-out prompts are the replay's."""
    rewards = made[use_case.name, "first"]["rewards"]
    splits: dict[str, str] = {}
    for row in read_rows(rewards):
        assert splits.setdefault(row["id"], row["split"]) == row["split"]
    assert {*splits.values()} >= {"train", "test"}
    replay = use_case.replay(small(use_case), rewards)
    assert len(replay) == rewards.counts["test"]
    named = (
        {"prompt", "completions"} if use_case.choices else {"prompt"}
    )  # free text is read on behind its prompt
    assert all(set(prompt) == named and all(prompt.values()) for prompt in replay)


@each
def test_lineage_is_in_the_manifests(use_case, made):
    """Each snapshot names the digest of the one it was made from, and what was left out by reason."""
    found = made[use_case.name, "first"]
    assert found["rewards"].parents == (found["rows"].sha256,)
    for method in use_case.methods:
        assert found[method].parents == (found["rewards"].sha256,)
        left = sum(found[method].skipped.values())
        assert left + found[method].counts["rows"] == found["rewards"].counts["rows"]


def test_a_method_without_rows_is_refused():
    """With the methods there are; a use case has rows for those whose groups have a stage."""
    draft = use_case_named("fantasy_draft")
    assert draft.methods == ("sft", "grpo", "dpo", "kto", "ppo")
    fewer = replace(
        draft, reads={name: draft.reads[name] for name in ("collect", "groups-kto", "groups-sft")}
    )
    fewer.need_method("kto")
    with pytest.raises(ConfigError, match=r"^fantasy_draft has no rows for ppo: choose one of sft, kto$"):
        fewer.need_method("ppo")
