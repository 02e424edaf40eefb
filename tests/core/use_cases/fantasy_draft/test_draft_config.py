"""The draft's settings refuse what can't be meant."""

import json

import pytest

from core.config import load_config
from core.errors import ConfigError
from core.use_cases.fantasy_draft.config import FantasyDraftConfig, PlayersSettings


def refused(**changes) -> str:
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    with pytest.raises(ConfigError) as caught:
        load_config(FantasyDraftConfig, "fantasy_draft", "demo", changed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_seeds_numbers_are_the_default():
    """2,000 examples, 3 epochs, batch 4, 100 drafts, 1,000 leagues, LoRA 16 / 32."""
    config = load_config(FantasyDraftConfig, "fantasy_draft")
    assert (config.collect.examples, config.sft.epochs, config.sft.batch_size) == (2000, 3, 4)
    assert (config.collect.drafts, config.contest.leagues) == (100, 1000)
    assert (config.adapter.r, config.adapter.alpha) == (16, 32)


def test_the_held_out_season_is_not_trained_on():
    """Real players: the test season must not be among the training seasons."""
    assert "test_season 2018 is also in train_seasons: hold it out" in refused(players__test_season=2018)
    synthetic = {"players.source": "synthetic", "players.test_season": 2018}
    assert load_config(FantasyDraftConfig, "fantasy_draft", "demo", synthetic)


def test_a_file_of_players_needs_its_path():
    """Said with the key to set."""
    assert "source 'file' needs a path: set players.path" in refused(players__source="file")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "players.source",
            "espn",
            "'players.source': Input should be 'synthetic', 'nflgame', 'nflverse' or 'file'",
        ),
        ("reward.name", "luck", "'reward.name': Input should be 'roster_value' or 'seed_dense'"),
        ("collect.noise", 1.5, "'collect.noise': Input should be less than or equal to 1 (got 1.5)"),
        ("contest.leagues", 0, "'contest.leagues': Input should be greater than or equal to 1 (got 0)"),
        ("field.casual", 0.5, "unknown key 'field.casual': did you mean 'field.casual_share'?"),
        (
            "sft.gradient_accumulation_steps",
            3,
            "batch_size 8 is no multiple of gradient_accumulation_steps 3",
        ),
    ],
)
def test_impossible_values_are_named(key, value, words):
    """The key, what it may be and what it was."""
    assert words in refused(**{key.replace(".", "__"): value})


def test_another_content_of_the_same_file_is_another_setting(tmp_path):
    """Stages are addressed by their settings, so an edited list of players must not find the old stages."""
    path = tmp_path / "players.json"
    path.write_text(json.dumps([]))
    first = PlayersSettings(source="file", path=str(path))
    path.write_text(json.dumps([{}]))
    second = PlayersSettings(source="file", path=str(path))
    assert first.model_dump() != second.model_dump()
    assert PlayersSettings.model_validate(second.model_dump()) == second
    assert PlayersSettings(source="file", path=str(tmp_path / "gone")).sha256 is None
