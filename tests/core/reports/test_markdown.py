"""A report's words: what a cell, a size or a criterion looks like."""

import numpy as np
import pytest

from core.errors import StorageError
from core.reports import (
    LARGEST_REPORT,
    Report,
    bullets,
    byte_size,
    cell,
    criterion,
    duration,
    heading,
    percent,
    picture,
    table,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (np.float32("inf"), "–"),
        (np.int64(12_345), "12,345"),
        (np.float64(0.123456), "0.1235"),
        (np.bool_(True), "yes"),
        (0, "0"),
        ("A|B\n<script>", "A\\|B &lt;script>"),
    ],
)
def test_a_cell_shows_what_is_there(value, text):
    """Missing, NaN and infinite are a dash, numpy scalars are plain figures, a name can't break the table."""
    assert cell(value) == text


def test_a_table_by_hand():
    """Words stand left, figures right, also when one is missing."""
    assert table(("player", "points"), [("A. Able", 12.5), ("B. Best", None)]) == (
        "| player | points |\n| :-- | --: |\n| A. Able | 12.5 |\n| B. Best | – |"
    )
    assert table(("player", "points"), []) == "*nothing to show*"


def test_a_row_of_another_length_is_an_error():
    """A table with a cell too few would shift its columns."""
    with pytest.raises(ValueError, match="zip"):
        table(("a", "b"), [(1, 2), (1,)])


def test_criteria_say_met_or_not():
    """The figure stands beside the promise."""
    lines = bullets(
        [
            criterion("SFT loss < 0.5", True, "0.43"),
            criterion("GRPO reward > +20 %", False, "+3 %"),
            criterion("win rate", None, "–"),
        ]
    )

    assert lines == (
        "- **met**: SFT loss < 0.5 (0.43)\n- **not met**: GRPO reward > +20 % (+3 %)\n- **not measured**: win rate (–)"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.0000081, "8.1 µs"),
        (0.0123, "12 ms"),
        (0.42, "0.42 s"),
        (35.4, "35 s"),
        (59.9, "1 min 00 s"),
        (125, "2 min 05 s"),
        (11_220, "3 h 07 min"),
        (None, "–"),
    ],
)
def test_durations(seconds, text):
    """Two parts at most."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (271_000_000, "271 MB"), (1_500, "1.5 kB"), (None, "–")]
)
def test_sizes(count, text):
    """Decimal units, three digits."""
    assert byte_size(count) == text


def test_percentages():
    """A fraction as percent, a missing one as a dash."""
    assert (percent(0.1249), percent(0.00061, 2), percent(None), percent(float("nan"))) == (
        "12.5 %",
        "0.06 %",
        "–",
        "–",
    )


def test_a_report_is_its_parts_in_order(tmp_path):
    """Parts follow one another with an empty line between; empty ones are left out; the file is the text."""
    report = Report("Demo").add(heading("What ran"), "", "One flow.").add(picture(b"png", "loss"))
    text = "# Demo\n\n## What ran\n\nOne flow.\n\n![loss](data:image/png;base64,cG5n)\n"

    assert report.text() == text
    assert report.write(tmp_path / "new" / "report.md").read_text() == text


def test_a_report_stays_small():
    """Pictures beyond the limit are left out from the end, and the report says so."""
    report = Report("Demo").add(picture(b"1" * 60_000, "first"), picture(b"2" * 90_000, "second"), "The end.")
    text = report.text()

    assert len(text.encode()) < LARGEST_REPORT
    assert "![first](" in text
    assert "*Picture left out, the report would be too large: second*" in text


def test_a_place_that_is_a_file_is_refused_in_words(tmp_path):
    """The message says what can't be written."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="file"):
        Report("Demo").write(tmp_path / "file" / "report.md")
