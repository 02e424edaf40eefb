"""Settings are merged deeply, validated before any work, and wrong ones are named."""

from typing import Annotated, Literal

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
    scale: float | Literal["std"] = 1.0


class Cap(Record):
    """Something a setting holds by name."""

    low: float
    high: float


class Here(Record):
    """Work done on this machine."""

    place: Literal["here"] = "here"


class There(Record):
    """Work done on another."""

    place: Literal["there"] = "there"
    url: str


class Settings(Record):
    """A whole config."""

    name: str
    optimizer: Optimizer
    note: str | None = None
    caps: dict[str, Cap] = Field(default_factory=dict)
    work: Annotated[Here | There, Field(discriminator="place")] = Here()


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
    assert message(overrides={"optimiser.steps": 1}).endswith("'optimiser': did you mean 'optimizer'?")


def test_an_unknown_key_is_looked_for_among_its_neighbours(toy):
    """Initials are understood, a key without its section is found; else the section's keys are listed."""
    assert message(overrides={"optimizer.lr": 1}).endswith("did you mean 'optimizer.learning_rate'?")
    assert message(overrides={"steps": 1}).endswith("did you mean 'optimizer.steps'?")
    text = message(overrides={"optimizer.momentum": 1})
    assert text.endswith("'optimizer.momentum': 'optimizer' has learning_rate, steps, scale")
    assert message(overrides={"": 1}).endswith("unknown key '': there are name, optimizer, note, caps, work")


def test_all_wrong_values_are_told_at_once(toy):
    """Each with its key, what it may be and what it was."""
    text = message(overrides={"optimizer.steps": "many", "optimizer.learning_rate": -1, "name": None})
    assert "'optimizer.steps': Input should be a valid integer (got 'many')" in text
    assert "'optimizer.learning_rate': Input should be greater than 0 (got -1)" in text
    assert "'name': Input should be a valid string (got null)" in text


def test_a_value_of_several_kinds_is_one_problem(toy):
    """All that it may be, under its own key; long values are cut."""
    assert message(overrides={"optimizer.scale": "x"}) == (
        "configs/toy, preset 'default': 'optimizer.scale': Input should be a valid number or 'std' (got 'x')"
    )
    assert message(overrides={"optimizer.steps": "x" * 500}).endswith("xxx…)")


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (None, "null"), (["a"], "['a']")])
def test_a_section_stays_a_section(toy, value, shown):
    """Who would replace it is told, an override or a file, even when a later override is laid over the ruins."""
    line = (
        f"'optimizer' is a section of settings and can't become {shown}: name the settings that differ, such as "
        "'optimizer.learning_rate', or leave it out"
    )
    where = "configs/toy, preset 'quick', overrides: "
    assert message(preset="quick", overrides={"optimizer": value}) == where + line
    assert message(preset="quick", overrides={"optimizer": value, "optimizer.steps": 2}) == where + line
    (toy / "quick.yaml").write_text(f"optimizer: {value or ''}\n")
    assert message(preset="quick") == f"{toy / 'quick.yaml'}: {line}"


def test_a_section_in_the_place_of_a_value_is_named(toy):
    """A number can't become a section."""
    text = message(overrides={"optimizer.steps.first": 3})
    assert "'optimizer.steps': Input should be a valid integer (got {'first': 3})" in text


def test_a_missing_key_is_named_in_full(toy):
    """default.yaml must be whole, and so must what an override adds."""
    text = message(overrides={"caps": {"a": {"low": 1}}})
    assert text == "configs/toy, preset 'default': 'caps.a.high' is missing: add it"
    (toy / "default.yaml").write_text("name: a\n")
    assert message() == "configs/toy, preset 'default': 'optimizer' is missing: add it"


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
    assert models() == ("llama-3.1-8b", "mistral-7b", "phi-3.5-mini", "qwen2.5-3b", "smollm2-135m")


def test_a_record_validator_is_told_in_its_own_words():
    """Pydantic's 'Value error' is left out."""

    class Even(Record):
        number: int

        def model_post_init(self, _context: object) -> None:
            if self.number % 2:
                raise ValueError(f"{self.number} is odd")

    with pytest.raises(ConfigError, match=r"^here: 3 is odd$"):
        validate(Even, {"number": 3}, "here")


def test_an_empty_file_is_an_empty_mapping(tmp_path):
    """Comments only."""
    (tmp_path / "a.yaml").write_text("# later\n")
    assert read_yaml(tmp_path / "a.yaml") == {}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_setting_is_a_number_that_can_be_written_down(toy, value):
    """Infinity passes 'above zero', means nothing, and no database holds it: refused, and named."""
    with pytest.raises(ConfigError, match=r"'optimizer\.learning_rate' is -?(inf|nan): give a number"):
        load_config(Settings, "toy", "default", {"optimizer.learning_rate": value})


def test_a_key_of_one_of_several_sections_is_named_without_the_section_it_is_of(toy):
    """What is missing, and what is too much, by the key that a person would write."""
    assert message(overrides={"work.place": "there"}).endswith("'work.url' is missing: add it")
    assert "unknown key 'work.uri'" in message(overrides={"work": {"place": "there", "url": "x", "uri": "x"}})
    assert "'work'" in message(overrides={"work.place": "nowhere"})
