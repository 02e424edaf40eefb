"""Settings are merged deeply, validated before any work, and wrong ones are named."""

import pytest
from pydantic import Field

from core import config
from core.config import load_config, merge, models, presets, read_yaml, validate
from core.errors import ConfigError
from core.record import Record


class Optimizer(Record):
    """A section."""

    learning_rate: float = Field(gt=0)
    steps: int = 10


class Settings(Record):
    """A whole config."""

    name: str
    optimizer: Optimizer
    note: str | None = None


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A config folder of a toy use case with one preset."""
    monkeypatch.setattr(config, "CONFIGS", tmp_path)
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "default.yaml").write_text("name: a\noptimizer: {learning_rate: 0.1, steps: 5}\n")
    (folder / "quick.yaml").write_text("optimizer: {steps: 1}\n")
    (folder / "empty.yaml").write_text("# nothing differs\n")
    return folder


def message(kind=Settings, folder="toy", preset="default", overrides=None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(kind, folder, preset, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_preset_holds_only_what_differs_and_overrides_come_last(toy):
    """Default <- preset <- dotted overrides, key by key; what none of them names stays."""
    loaded = load_config(Settings, "toy", "quick", {"optimizer.learning_rate": 0.2, "note": "x"})
    assert loaded == Settings(name="a", optimizer=Optimizer(learning_rate=0.2, steps=1), note="x")
    assert load_config(Settings, "toy", "empty") == load_config(Settings, "toy")


def test_an_override_may_be_a_whole_section(toy):
    """A mapping is laid over the section; its other keys stay."""
    assert load_config(Settings, "toy", overrides={"optimizer": {"steps": 3}}).optimizer == Optimizer(
        learning_rate=0.1, steps=3
    )


def test_an_unknown_preset_names_the_one_that_was_meant(toy):
    """A typo, and a name like none."""
    assert message(preset="quik") == "unknown preset 'quik' for toy: did you mean 'quick'?"
    assert message(preset="zzz").endswith("choose one of default, empty, quick")
    assert "unknown preset '../toy/quick'" in message(preset="../toy/quick")


def test_an_unknown_key_is_named_with_the_one_that_was_meant(toy):
    """Deep keys are named in full."""
    text = message(overrides={"optimizer.learning_rat": 1})
    assert text == (
        "configs/toy, preset 'default': unknown key 'optimizer.learning_rat': did you mean 'optimizer.learning_rate'?"
    )


def test_all_wrong_values_are_told_at_once(toy):
    """Each with its key, what it may be and what it was."""
    text = message(overrides={"optimizer.steps": "many", "optimizer.learning_rate": -1, "name": None})
    assert "'optimizer.steps': Input should be a valid integer" in text
    assert "(got 'many')" in text
    assert "'optimizer.learning_rate': Input should be greater than 0 (got -1)" in text
    assert "'name': Input should be a valid string (got None)" in text


def test_a_value_in_the_place_of_a_section_is_named(toy):
    """A section can't become a number, nor a number a section."""
    assert "'optimizer': Input should be" in message(overrides={"optimizer": 3})
    assert "'optimizer.steps': Input should be" in message(overrides={"optimizer.steps.first": 3})


def test_a_missing_key_says_where_to_set_it(toy):
    """default.yaml must be whole."""
    (toy / "default.yaml").write_text("name: a\n")
    assert "'optimizer' is missing: set it in default.yaml" in message()


@pytest.mark.parametrize(
    ("content", "words"),
    [("- a\n- b\n", "must hold 'key: value' lines, not a list"), ("a: [", "can't be read as YAML")],
)
def test_a_file_that_is_no_mapping_is_named(toy, content, words):
    """A list, and text that is no YAML: the file's path and one line."""
    (toy / "default.yaml").write_text(content)
    text = message()
    assert str(toy / "default.yaml") in text
    assert words in text


def test_a_folder_without_default_is_named(toy):
    """A use case that has no configs."""
    assert "default.yaml can't be read" in message(folder="nothing")


def test_merging_alters_neither_side():
    """Both mappings are as they were; the result holds both."""
    base, change = {"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}
    assert merge(base, change) == {"a": {"b": 3, "c": 2}}
    assert (base, change) == ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})


def test_default_comes_first():
    """The forms' drop-downs start with it."""
    assert presets("fantasy_draft") == ("default", "demo", "high_quality", "small_gpu")
    assert models() == ("llama-3.1-8b", "phi-3.5-mini", "qwen2.5-3b", "smollm2-135m")


def test_a_record_validator_is_told_in_its_own_words():
    """Pydantic's 'Value error' is left out."""

    class Even(Record):
        number: int

        def model_post_init(self, _context: object) -> None:
            if self.number % 2:
                raise ValueError(f"{self.number} is odd")

    with pytest.raises(ConfigError, match=r"^here: '': 3 is odd"):
        validate(Even, {"number": 3}, "here")


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    """Comments only."""
    (tmp_path / "a.yaml").write_text("# later\n")
    assert read_yaml(tmp_path / "a.yaml") == {}
