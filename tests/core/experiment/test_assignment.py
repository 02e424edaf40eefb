"""Who gets which model: the same at every call, in the shares asked for, and moved only where a share moved."""

import subprocess
import sys
from collections import Counter
from hashlib import blake2b
from itertools import pairwise

import pytest

from core.config import ROOT
from core.errors import ConfigError, DataError
from core.experiment import Arm, ExperimentSettings, assign, load_experiments
from core.experiment.assignment import place_of
from core.experiment.settings import EXPERIMENTS
from core.statistics import chi_squared, goodness_of_fit

PLACE_OF_U1 = 0.347797152037397
USERS = [f"user {number}" for number in range(20_000)]


def experiment(*shares, name="tone", **change):
    """Arms a, b, c ... with these shares; the first is the control."""
    arms = [
        Arm(name=letter, share=share, model=f"m{letter}")
        for letter, share in zip("abcdefg", shares, strict=False)
    ]
    return ExperimentSettings(name=name, arms=arms, **change)


def arms_of(settings):
    return {user: assign(settings, user).name for user in USERS}


def moved(before, after):
    """How many users went from which arm to which."""
    one, other = arms_of(before), arms_of(after)
    return Counter((one[user], other[user]) for user in USERS if one[user] != other[user])


def test_a_place_by_hand():
    """The first 53 bits of BLAKE2b over name, salt and user; the same on every machine."""
    settings = experiment(0.5, 0.5, salt="s")
    digest = blake2b("tone\x1fs\x1füser".encode(), digest_size=8).hexdigest()
    assert place_of(settings, "üser") == int(digest, 16) // 2048 / 2**53
    assert place_of(experiment(0.5, 0.5), "u1") == pytest.approx(PLACE_OF_U1)
    assert 0 <= place_of(settings, "half a pair \ud800") < 1


def test_shares_are_met():
    """20,000 users in 60, 30 and 10 %, and none in an arm without a share."""
    counts = Counter(arms_of(experiment(0.6, 0.3, 0.1, 0.0)).values())
    assert set(counts) == {"a", "b", "c"}
    assert goodness_of_fit([counts[name] for name in "abc"], [0.6, 0.3, 0.1]).p_value > 0.001


def test_a_growing_canary_keeps_its_users():
    """From nobody to 1, 5, 20, 50 and 100 %: users only ever go from the control to it, as many as it grew by."""
    shares = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
    for smaller, larger in pairwise(shares):
        found = moved(experiment(1 - smaller, smaller), experiment(1 - larger, larger))
        assert set(found) == {("a", "b")}
        assert found["a", "b"] == pytest.approx(len(USERS) * (larger - smaller), rel=0.2)


def test_two_canaries_grow_without_touching_each_other():
    """Each takes from the control alone, whichever grows."""
    assert set(moved(experiment(0.8, 0.1, 0.1), experiment(0.6, 0.3, 0.1))) == {("a", "b")}
    assert set(moved(experiment(0.8, 0.1, 0.1), experiment(0.6, 0.1, 0.3))) == {("a", "c")}
    assert set(moved(experiment(0.9, 0.1, 0.0), experiment(0.8, 0.1, 0.1))) == {("a", "c")}


def test_the_arm_added_last_takes_from_the_control_alone():
    """Of five arms too."""
    assert set(moved(experiment(0.7, 0.1, 0.1, 0.1, 0.0), experiment(0.5, 0.1, 0.1, 0.1, 0.2))) == {
        ("a", "e")
    }


def test_the_control_may_stand_anywhere():
    """Named, it is what the others take from."""
    before = experiment(0.1, 0.8, 0.1, control="b")
    assert before.controlling.name == "b"
    assert [arm.name for arm in before.treatments] == ["a", "c"]
    assert set(moved(before, experiment(0.1, 0.6, 0.3, control="b"))) == {("b", "c")}


@pytest.mark.parametrize("change", [{"name": "speed"}, {"salt": "2"}])
def test_another_name_or_salt_deals_anew(change):
    """Who is in an arm of the one says nothing about the arm of the other."""
    one, other = arms_of(experiment(0.5, 0.5)), arms_of(experiment(0.5, 0.5, **change))
    both = Counter((one[user], other[user]) for user in USERS)
    trials = [both[arm, "a"] + both[arm, "b"] for arm in "ab"]
    assert chi_squared(both["a", "b"], trials[0], both["b", "b"], trials[1]).p_value > 0.001


def test_a_user_needs_an_id():
    """All that have none would be one user."""
    with pytest.raises(DataError, match="a user without an id"):
        assign(experiment(0.5, 0.5), "")


@pytest.mark.parametrize(
    ("shares", "change", "words"),
    [
        ((0.5, 0.4), {}, "the shares of 'tone' sum to 0.9: let them sum to 1"),
        ((1.0,), {}, "at least 2 items"),
        ((1.5, -0.5), {}, "less than or equal to 1"),
        ((float("nan"), 1.0), {}, "finite"),
        ((0.5, 0.5), {"control": "z"}, "control 'z' is no arm: choose one of a, b"),
        ((0.5, 0.5), {"name": "a\x1fb"}, "can't be printed"),
        ((0.5, 0.5), {"since": "2026-11-02", "until": "2026-11-01"}, "is not after since"),
        ((0.5, 0.5), {"alpha": 0.0}, "greater than 0"),
    ],
)
def test_an_impossible_plan_is_refused(shares, change, words):
    """With what is wrong in it."""
    with pytest.raises(ValueError, match=words):
        experiment(*shares, **change)


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ("[{name: a, share: 0.5, model: m}, {name: a, share: 0.5, model: n}]", "arm 'a' is there 2 times"),
        ("[{name: a, share: 0.5, model: m}, {name: b, share: 0.5, model: m}]", "model 'm' is there 2 times"),
        ("[{name: a, share: 0.5, model: champion}, {name: b, share: 0.5, model: m}]", "name the use_case"),
        ("[{name: a, shares: 1, model: m}, {name: b, share: 0, model: n}]", "unknown key"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, arms, words):
    """A ConfigError that names the file and the key."""
    path = tmp_path / "mine.yaml"
    path.write_text(f"experiments:\n  - {{name: tone, arms: {arms}}}\n")
    with pytest.raises(ConfigError, match=words) as caught:
        load_experiments(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_of_experiments_is_read(tmp_path):
    """Several, each by its name; times without a zone are UTC; the name may be there once."""
    path = tmp_path / "mine.yaml"
    one = "  - {name: %s, since: 2026-11-01, arms: [{name: a, share: 0.9, model: x}, {name: b, share: 0.1, model: y}]}\n"
    path.write_text("experiments:\n" + one % "tone" + one % "speed")
    found = load_experiments(path)
    assert found.named("speed").since.isoformat() == "2026-11-01T00:00:00+00:00"
    with pytest.raises(ConfigError, match="unknown experiment 'colour': choose one of tone, speed"):
        found.named("colour")
    path.write_text("experiments:\n" + one % "tone" + one % "tone")
    with pytest.raises(ConfigError, match="experiment 'tone' is there 2 times"):
        load_experiments(path)


def test_the_file_that_comes_along_holds_none():
    """What it shows is a comment, which is a file of experiments without its marks."""
    assert load_experiments(EXPERIMENTS).experiments == ()


def test_the_example_in_the_file_is_one(tmp_path):
    """Uncommented, it loads."""
    lines = EXPERIMENTS.read_text().splitlines()
    shown = [line.removeprefix("#") for line in lines if line.startswith("#   ")]
    path = tmp_path / "mine.yaml"
    path.write_text("experiments:\n" + "\n".join(shown))
    assert [arm.model for arm in load_experiments(path).named("tone").arms] == ["champion", "3f2a91c07be4"]


def test_an_app_loads_nothing_heavy_for_it():
    """No torch, no database, no numeric libraries: a call is a hash."""
    heavy = ("torch", "sqlalchemy", "psycopg", "numpy", "scipy", "pandas", "prefect", "fastapi")
    code = f"import sys, core.experiment; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
