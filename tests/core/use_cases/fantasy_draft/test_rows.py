"""From simulated drafts to training rows, stage by stage."""

import pytest

from core.config import load_config
from core.dataset import read_rows, write_snapshot
from core.errors import DataError
from core.use_cases.fantasy_draft.config import FantasyDraftConfig
from core.use_cases.fantasy_draft.rows import collect, groups, replay, reward

PLAN = {
    "players.source": "synthetic",
    "collect.examples": 60,
    "collect.test_examples": 20,
    "collect.drafts": 2,
    "collect.test_drafts": 1,
    "collect.scenarios": 16,
    "reward.boards": 1,
}


def nothing(_share, _words):
    """Progress that nobody watches."""


def config_of(**changes) -> FantasyDraftConfig:
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    return load_config(FantasyDraftConfig, "fantasy_draft", "demo", PLAN | changed)


@pytest.fixture(scope="module")
def config():
    return config_of()


@pytest.fixture(scope="module")
def collected(config, tmp_path_factory):
    return collect(config, tmp_path_factory.mktemp("rows") / "rows", nothing)


@pytest.fixture(scope="module")
def rewarded(config, collected, tmp_path_factory):
    return reward(config, collected, tmp_path_factory.mktemp("rewards") / "rows", nothing)


def of(snapshot, kind, split=None):
    return [
        row for row in read_rows(snapshot) if row["kind"] == kind and (split is None or row["split"] == split)
    ]


def test_as_many_decisions_as_were_asked_for(collected):
    """60 and 20 demonstrations, 16 scenarios; held-out scenarios are all that one draft has, at most 16."""
    assert len(of(collected, "demonstration", "train")) == 60
    assert len(of(collected, "demonstration", "test")) == 20
    assert len(of(collected, "scenario", "train")) == 16
    assert 8 <= len(of(collected, "scenario", "test")) <= 16
    assert collected.skipped["not drawn"] > 0


@pytest.mark.parametrize("examples", [1, 11, 2000])
def test_the_default_preset_gets_its_two_thousand_examples(tmp_path, examples):
    """A draft has enough open decisions for any number of examples."""
    config = config_of(collect__examples=examples, collect__drafts=1)
    made = collect(config, tmp_path / "rows", nothing)
    assert len(of(made, "demonstration", "train")) == examples


def test_all_open_decisions_without_a_limit(tmp_path):
    """scenarios: null takes every decision of the drafts that has more than one candidate."""
    made = collect(config_of(collect__scenarios=None, collect__examples=1), tmp_path / "rows", nothing)
    rows = of(made, "scenario", "train")
    assert {row["metadata"]["league"] for row in rows} == {0, 1}
    assert all(len(row["completions"]) > 1 for row in rows)
    assert 20 <= len(rows) <= 32


def test_scenarios_are_spread_over_the_rounds(collected):
    """Early and late picks are among the 16."""
    rounds = {row["metadata"]["round"] for row in of(collected, "scenario", "train")}
    assert min(rounds) <= 5
    assert max(rounds) >= 10


def test_a_question_names_no_player_and_its_answers_are_letters(collected):
    """Names are for people: they stay in the metadata. Legal answers are letters of the prompt's own lines."""
    for row in read_rows(collected):
        assert not any(name in row["prompt"] for name in row["metadata"]["players"])
        assert all(f"\n{answer.strip()} " in row["prompt"] for answer in row["completions"])
        assert row["prompt"].endswith("Pick:")


def test_the_teachers_weight_lies_on_his_choice(collected, tmp_path):
    """Soft labels prefer it; at temperature 0 nothing else has any."""
    for row in of(collected, "demonstration"):
        assert row["weights"][row["metadata"]["teacher"]] == max(row["weights"])
    sharp = collect(config_of(collect__temperature=0), tmp_path / "rows", nothing)
    for row in of(sharp, "demonstration"):
        assert row["weights"][row["metadata"]["teacher"]] == 1
        assert sum(row["weights"]) == 1


def test_held_out_drafts_are_others(collected):
    """Other seeds, other leagues: no held-out question was trained on."""
    train, test = (
        {row["prompt"] for row in read_rows(collected) if row["split"] == split}
        for split in ("train", "test")
    )
    assert not train & test
    assert {row["id"].split("-")[1] for row in of(collected, "scenario", "test")} == {"1000004"}


def test_the_reward_scores_every_legal_candidate_and_leaves_the_rest(collected, rewarded):
    """One finite value a completion; demonstrations and questions pass through as they were."""
    before, after = list(read_rows(collected)), list(read_rows(rewarded))
    for old, new in zip(before, after, strict=True):
        if old["kind"] == "scenario":
            assert len(new.pop("rewards")) == len(new["completions"])
        assert new == old
    spread = [max(row["rewards"]) - min(row["rewards"]) for row in of(rewarded, "scenario")]
    assert max(spread) > 0


def test_two_rewards_disagree(config, collected, rewarded, tmp_path):
    """The seed's dense reward is another scale: for comparison only."""
    dense = reward(config_of(reward__name="seed_dense"), collected, tmp_path / "rows", nothing)
    pairs = zip(of(rewarded, "scenario"), of(dense, "scenario"), strict=True)
    assert all(one["rewards"] != two["rewards"] for one, two in pairs)


def test_drafts_that_are_not_those_collected_are_refused(collected, tmp_path):
    """Another seed, or a question that reads otherwise: the rewards would belong to something else."""
    with pytest.raises(DataError, match=r"scenario scenarios-1-.* was not met again .*: collect anew"):
        reward(config_of(collect__seed=2), collected, tmp_path / "rows", nothing)
    edited = [row | {"prompt": row["prompt"].replace("round", "turn")} for row in read_rows(collected)]
    other = write_snapshot(tmp_path / "edited", "decisions", edited)
    with pytest.raises(DataError, match="was not met again"):
        reward(config_of(), other, tmp_path / "rows", nothing)
    assert not (tmp_path / "rows").exists()


def test_each_method_gets_its_own_rows(config, rewarded, tmp_path):
    """Demonstrations for SFT, scenarios for GRPO; what was left out is counted by reason."""
    sft = groups(config, "sft", rewarded, tmp_path / "sft")
    grpo = groups(config, "grpo", rewarded, tmp_path / "grpo")
    assert sft.counts == {"rows": 80, "train": 60, "test": 20}
    assert grpo.counts["train"] == 16
    assert sft.skipped == {"a scenario, for another method": grpo.counts["rows"]}
    assert grpo.skipped == {"a demonstration, for another method": 80}
    assert all("kind" not in row for row in read_rows(sft))


def test_the_replay_is_held_out(config, rewarded):
    """The check of an exported file asks questions that nothing was trained on."""
    prompts = {prompt["prompt"] for prompt in replay(config, rewarded)}
    assert prompts == {row["prompt"] for row in read_rows(rewarded) if row["split"] == "test"}


def test_the_snapshot_says_where_players_and_adp_come_from(collected):
    """For the report."""
    assert collected.notes["players"] == "synthetic"
    assert collected.notes["adp"].startswith("players are fictional; ADP ranks them by")
