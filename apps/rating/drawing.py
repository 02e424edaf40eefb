"""An entry as it would look: each kind of widget of the catalogue in each of its looks, drawn out of what it shows."""

from collections.abc import Callable, Mapping

import orjson

from apps.rating import charts, wholes, words
from apps.rating.markup import Element, element, html
from apps.rating.series import Box, Series, Undrawable, parsed, series_in, title
from core.rating import USUAL_SIZE, Entry

FRAMES: Mapping[str, tuple[int, int]] = {
    "compact": (176, 128),
    "normal": (340, 220),
    "expanded": (540, 300),
    "hero": (760, 400),
}
"""Width and height of a widget on a dashboard with room, in pixels; static/page.css has the same."""
NARROWEST = 200
EDGE, HEAD = 26, 24
"""What a frame takes of both: its padding with its line, and its title."""
LONGEST = 4_000
"""Characters of an entry that is shown as text."""

LOOKS: Mapping[tuple[str, str], Callable[[Box, Series], Element]] = {
    ("kpi", "plain-number"): words.plain_number,
    ("kpi", "red-pulse-number"): words.red_pulse_number,
    ("kpi", "number-with-sparkline"): words.number_with_sparkline,
    ("trend", "line"): charts.line,
    ("trend", "line-with-alarm-band"): charts.line_with_alarm_band,
    ("trend", "area-with-forecast"): charts.area_with_forecast,
    ("comparison", "side-by-side-values"): words.side_by_side_values,
    ("comparison", "deviation-bars"): charts.deviation_bars,
    ("comparison", "small-multiples"): charts.small_multiples,
    ("composition", "stacked-bar"): wholes.stacked_bar,
    ("composition", "donut-with-warning-slice"): wholes.donut_with_warning_slice,
    ("composition", "treemap"): wholes.treemap,
    ("ranking", "horizontal-bars"): charts.horizontal_bars,
    ("ranking", "top-three-in-red"): charts.top_three_in_red,
    ("ranking", "pareto-bars"): charts.pareto_bars,
    ("event-log", "plain-list"): words.plain_list,
    ("event-log", "incident-cards"): words.incident_cards,
    ("event-log", "timeline"): words.timeline,
    ("alert", "badge"): words.badge,
    ("alert", "full-banner"): words.full_banner,
    ("alert", "card-with-history"): words.card_with_history,
    ("flow", "arrows"): wholes.arrows,
    ("flow", "arrows-with-losses-in-red"): wholes.arrows_with_losses_in_red,
    ("flow", "sankey"): wholes.sankey,
}


def drawn(entry: Entry, room: int) -> str:
    """HTML of what was shown, in a room of so many pixels' width; what can't be drawn is shown as text, with the reason."""
    if entry.response is not None:
        return html(element("blockquote", entry.response, class_="answer"))
    try:
        return html(_widget(entry, room))
    except Undrawable as why:
        return html(_as_text(entry, str(why)))


def caption(entry: Entry) -> str:
    """What a widget is called."""
    return " · ".join(filter(None, (entry.widget, entry.size, entry.fixture)))


def _widget(entry: Entry, room: int) -> Element:
    size, draw = entry.size or USUAL_SIZE, LOOKS.get((entry.widget or "", entry.fixture or ""))
    if draw is None:
        raise Undrawable("this page knows no such widget or look")
    if size not in FRAMES:
        raise Undrawable(f"this page knows no size {size[:40]!r}")
    series = series_in(entry.context)
    width, height = FRAMES[size]
    box = Box(max(min(width, room), min(width, NARROWEST)) - EDGE, height - EDGE - HEAD)
    return element(
        "figure",
        element("figcaption", title(series)),
        element("div", draw(box, series), class_="body"),
        class_=f"widget {size}",
        role="img",
        aria_label=caption(entry),
    )


def _as_text(entry: Entry, why: str) -> Element:
    context = _spread(entry.context or "")
    shown = context if len(context) <= LONGEST else context[:LONGEST] + " …"
    return element(
        "div",
        element("p", f"Shown as text: {why}.", class_="note"),
        element("p", caption(entry), class_="said"),
        element("pre", shown) if shown else None,
        class_="as-text",
    )


def _spread(context: str) -> str:
    """A document over many lines, as far as it can be read."""
    try:
        return orjson.dumps(parsed(context), option=orjson.OPT_INDENT_2).decode() if context else ""
    except Undrawable:
        return context
