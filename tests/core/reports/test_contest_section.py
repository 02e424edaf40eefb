"""The part of a report about a contest: verdict first, every test after it, whatever the use case."""

import numpy as np
import pytest

from core.evaluation import Contest, EvaluationSettings, Looks, evaluate
from core.reports import LARGEST_REPORT, Report, comparison_table, evaluation_section, policy_table


def evaluation(looks=2):
    """A candidate that wins 3 of 4, a baseline that wins 1 of 4, on 96 leagues of 12 seats, two looks."""
    clusters = np.arange(96)
    wins = np.stack([clusters % 4 != 0, clusters // 24 == 0, clusters // 24 == 1]).astype(float)
    rows = Contest(
        policies=("trained", "untrained", "first of the list"),
        items=tuple(map(str, clusters)),
        clusters_I=clusters,
        values={"title": wins, "points": 100 + wins},
        strata_I=clusters % 12 + 1,
        counts={
            "trained": {"decisions": 1000, "invalid": 0, "substituted": 3, "tokens": 11e4, "seconds": 80.0}
        },
        stratum_wins=dict.fromkeys(range(1, 13), 8),
        cluster_name="league",
        stratum_name="seat",
        looks=Looks(clusters=(48, 96))
        if looks == 2
        else Looks(clusters=(96,), note="a fixed design: one look at the end"),
        design={"leagues": "96 of 96 planned"},
    )
    settings = EvaluationSettings(
        primary_metric="title", candidate="trained", incumbent="untrained", looks=looks
    )
    evidence = {
        "code revision": "0123abcd",
        "held-out boards": "77ff",
        "snapshots": f"{'ab' * 32}, {'cd' * 32}",
    }
    return evaluate(rows, settings, evidence)


@pytest.fixture(scope="module")
def parts():
    """The section of one evaluation, without pictures."""
    return evaluation_section(evaluation(looks=1), pictures=False)


def test_the_verdict_comes_first(parts):
    """A reader who stops after two lines knows it."""
    assert parts[0] == "## Verdict"
    assert parts[1].startswith("**Better**. Trained minus untrained in title: +50.0 points (95 % interval")


def test_digests_are_cut_to_what_a_page_has_room_for(parts):
    """Twelve letters name a model or a snapshot in every table; the whole digest is in the file that is named."""
    text = "\n".join(parts)
    assert f"| snapshots | {'ab' * 6}, {'cd' * 6} |" in text
    assert "| code revision | 0123abcd |" in text
    assert "`evaluation.json`" in text


def test_policies_are_ranked_with_their_intervals():
    """Best first, the candidate bold, rates as percent and the rest as figures."""
    lines = policy_table(evaluation()).splitlines()

    assert lines[0] == "| policy | title | 95 % interval | points |"
    assert lines[2].startswith("| **trained** | 75.0 % | 66.2 to 83.8 % | 100.75 |")
    assert lines[3].startswith("| untrained | 25.0 % |")


def test_differences_name_test_and_size():
    """Difference, interval, standard error, p, leagues, and which test it was."""
    row = comparison_table(evaluation(looks=1)).splitlines()[2]

    assert row.startswith("| untrained | +50.0 points | +37.5 to +62.5 points | 6.3 points |")
    assert row.endswith("| 96 | paired t |")


@pytest.mark.parametrize(
    "words",
    [
        "### By seat",
        "| seat | leagues | trained | untrained | difference | p | p (Holm) | wins of the seat |",
        "Are all seats worth the same? chi-squared, p = 1.",
        "separate leagues, one item each: trained 36 of 48 (75.0 %), untrained 12 of 48 (25.0 %); chi-squared",
        "(Newcombe)",
        "the same leagues, one item each: only trained won 54, only untrained 6; McNemar exact, p < 0.0001",
        "smallest true difference found with 80 % power at this size: 17.8 points",
        "looks: a fixed design: one look at the end",
        "| trained | 1,000 | 0 | 3 | 0.30 % | 110,000 | 80 ms |",
        "| leagues | 96 of 96 planned |",
        "Decisions are those a policy was asked for",
        "| code revision | 0123abcd |",
    ],
)
def test_every_test_has_its_line(parts, words):
    """What the evaluation holds can be read."""
    assert words in "\n".join(parts)


def test_looks_have_a_table():
    """Each look with its z and its bound."""
    text = "\n".join(evaluation_section(evaluation(), pictures=False))

    assert "| 1 | 48 | " in text
    assert "| 2.797 | no |" in text
    assert "| 1.977 | yes |" in text


def test_a_report_with_all_pictures_stays_small():
    """Two pictures and every table are a quarter of the limit."""
    report = Report("Demo").add(*evaluation_section(evaluation()))

    assert report.text().count("data:image/png;base64,") == 2
    assert len(report.text()) < LARGEST_REPORT / 4


def test_a_contest_that_ended_early_says_so_under_the_verdict():
    """Which look, and how much of the plan was played; one that went on to the end has no such line."""
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(48))),
        clusters_I=np.arange(48),
        values={"title": np.stack([np.arange(48) % 4 != 0, np.arange(48) % 12 == 0]).astype(float)},
        cluster_name="league",
        looks=Looks(clusters=(48, 96)),
    )
    settings = EvaluationSettings(primary_metric="title", looks=2)
    parts = evaluation_section(evaluate(rows, settings, {}), pictures=False)

    assert parts[2] == "The contest stopped at look 1 of 2 after 48 of 96 leagues."
    assert "looks: stopped at look 1 of 2 after 48 of 96 leagues" in "\n".join(parts)
    assert "The contest stopped" not in "\n".join(evaluation_section(evaluation(), pictures=False))
