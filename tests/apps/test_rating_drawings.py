"""Every widget of the catalogue is drawn; what can't be is text."""

import json
from html.parser import HTMLParser

import pytest

from apps.rating.drawing import FRAMES, LOOKS, caption, drawn
from apps.rating.series import ranked, series_in, unusual
from core.rating import Entry
from core.use_cases.widget_ratings.catalogue import SIZES, WIDGETS

EVERY = [(kind, look.name) for kind, looks in WIDGETS.items() for look in looks]


def entry(widget="trend", look="line", size="normal", values=None, **change):
    context = json.dumps({"values": values if values is not None else {"pump 1": [1.0, 2.0, 4.0]}})
    return Entry("e", "q", "How?", widget=widget, fixture=look, size=size, **{"context": context} | change)


class Parsed(HTMLParser):
    """The tags, texts and attributes of markup."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.texts, self.values = [], [], []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):  # noqa: D102
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data):  # noqa: D102
        self.texts.append(data)


def test_the_page_knows_the_whole_catalogue():
    """Every look of every kind, and every size."""
    assert list(LOOKS) == EVERY
    assert tuple(FRAMES) == SIZES


@pytest.mark.parametrize(("widget", "look"), EVERY)
def test_every_look_is_drawn(widget, look):
    """In each size, wide and narrow, of one thing and of many, of one value, of equal ones, of zeros and of large ones."""
    some = [3.0, 1.0, 2.0, 9.0]
    for size in SIZES:
        for values in ({"a": some}, {"a": [5.0]}, {"a": [2, 2, 2]}, {"a": [1e12, 1]}, dict.fromkeys("abcdefghijkl", some), {"a": [0, 1], "b": [0]}):  # fmt: skip
            for room in (0, 336, 2000):
                found = Parsed(drawn(entry(widget, look, size, values), room))
                assert "figure" in found.tags
                assert caption(entry(widget, look, size)) in found.values
                assert not [value for value in found.values if "nan" in value or "inf" in value]


def test_what_a_widget_says_follows_from_its_values():
    """The last value, the largest hour, the thing that is furthest from its usual."""
    assert "4.0" in Parsed(drawn(entry("kpi", "plain-number"), 760)).texts
    assert ranked({"pump": [1.0, 9.0, 4.0]}, 2) == [("1 h ago", 9.0), ("now", 4.0)]
    assert unusual({"a": [1.0, 1.0], "b": [1.0, 3.0]}) == ("b", 3.0, 2.0)
    assert series_in('{"values": {"a": [1]}}') == {"a": [1.0]}


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (entry("gauge", "round"), "knows no such widget"),
        (entry("kpi", None), "knows no such widget"),
        (entry(size="wall"), "no size 'wall'"),
        (entry(context=None), 'no "values"'),
        (entry(context="[1]"), 'no "values"'),
        (entry(context="{"), "can't be read"),
        (entry(values={}), 'no "values"'),
        (entry(values={"a": []}), "no list of 1 to"),
        (entry(values={"a": [1, "high"]}), "'high'"),
        (entry(values={"a": [True]}), "'True'"),
        (entry(values={"a": [1e300]}), "can't be drawn"),
        (entry(values={str(n): [1] for n in range(13)}), "more than 12 things"),
        (entry("flow", "sankey", values={"a": [-1]}), "no flow"),
        (entry("composition", "treemap", values={"a": [0]}), "no parts of a whole"),
    ],
)  # fmt: skip
def test_what_can_not_be_drawn_is_text_with_its_reason(shown, why):
    """And the data stands below."""
    found = Parsed(drawn(shown, 760))
    assert found.texts[0].startswith("Shown as text: ")
    assert why in found.texts[0]
    assert "figure" not in found.tags


def test_data_is_never_markup():
    """Wherever it stands."""
    evil = "<script>x</script>\"'&"
    for widget, look in EVERY:
        found = Parsed(drawn(entry(widget, look, values={evil: [1, 2], "b": [3, 4]}), 760))
        assert "script" not in found.tags
    found = Parsed(drawn(entry(evil, evil, evil, {evil: evil}), 760))
    assert {*found.tags} == {"div", "p", "pre"}
    assert Parsed(drawn(entry(None, None, None, response=evil), 760)).texts == [evil]
