"""An experiment is told verdict first, with its nights and what was left out."""

from datetime import UTC, date, datetime, timedelta

import pytest

from core.experiment import Arm, ExperimentSettings, assign
from core.experiment.analysis import analyse
from core.experiment.counts import RatedDay, count_ratings
from core.reports.experiment import experiment_report
from core.reports.sequence import Bounded, sequence_plot

FIRST = date(2026, 11, 1)
NIGHTS = [Bounded(FIRST + timedelta(days=n), 0.1, 0.1 - 1 / (n + 1), 0.1 + 1 / (n + 1)) for n in range(30)]


def told(users=600, wrong=0, **change):
    """The report of an experiment in which everybody of the one arm is content, and half of the other."""
    arms = (Arm(name="champion", share=0.5, model="m1"), Arm(name="canary", share=0.5, model="m2"))
    settings = ExperimentSettings(name="tone", arms=arms, **change)
    versions = {arm.name: arm.model for arm in arms}
    rows = []
    for number in range(users):
        user = f"u{number:04}"
        version = "m1" if number < wrong else assign(settings, user).model
        likes = version == "m2" or number % 2
        rows.append(RatedDay(user, version, FIRST + timedelta(days=number % 20), 1, int(likes)))
    rows.append(RatedDay("x", "other", FIRST, 3, 3))
    counts = count_ratings(rows, settings, versions)
    as_of = datetime(2026, 11, 21, 5, tzinfo=UTC)
    return experiment_report(analyse(settings, counts, versions, source="app", as_of=as_of)).text()


def test_an_experiment_is_told():
    """Verdict, arms, the last fourteen nights, a picture, and every check."""
    text = told(since=datetime(2026, 10, 1, tzinfo=UTC))
    for line in (
        "# Experiment tone: canary better",
        "**canary: better**. Canary minus champion in up-rate: +",
        "| canary | m2 | 50.0 % |",
        "### canary minus champion, night by night",
        "zero was first excluded on 2026-11-",
        "| 2026-11-20 |",
        "![differences with their sequences](data:image/png;base64,",
        "- users against shares: chi-squared, p = ",
        "- users seen in two arms, left out of both: 0",
        "- ratings of a model in no arm, left out: 3",
        "- ratings of source 'app' from 2026-10-01 00:00 to 2026-11-21 05:00 UTC",
    ):
        assert line in text, line
    assert "| 2026-11-06 |" not in text
    assert "rated another arm's model" not in text
    assert len(text) < 100_000


def test_a_broken_experiment_is_told_in_the_title():
    """With those who got the wrong model, and why it can't be read."""
    text = told(wrong=200)
    assert text.startswith("# Experiment tone: canary not to be trusted: sample ratio mismatch\n")
    assert "of 600 users rated another arm's model than is theirs by the hash" in text
    assert "find out why before reading anything else." in text


def test_nothing_rated_is_told_without_a_picture():
    """No table of nights either."""
    text = told(users=0)
    assert "**canary: cannot tell yet**. Canary and champion do not both have ratings yet." in text
    assert "png" not in text
    assert "*nothing to show*" in text


@pytest.mark.parametrize(
    "panels", [[], [("a", NIGHTS)], [("a", NIGHTS[:1])], [("a", NIGHTS), ("b", NIGHTS[3:])]]
)
def test_a_sequence_is_a_small_picture(panels):
    """Of many nights, of one, of several arms; equal ones give equal bytes."""
    drawn = sequence_plot(panels, worthwhile=0.02)
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) < 30_000
    assert drawn == sequence_plot(panels, worthwhile=0.02)
