"""Trends, comparisons and rankings."""

from collections.abc import Iterator, Sequence
from statistics import fmean, pstdev

from apps.rating.markup import Element, element
from apps.rating.plot import LETTER, Plot, canvas, colour, legend, path, plot, rectangle, shortened, words
from apps.rating.series import MOST_HOURS, Amounts, Box, Series, compared, halves, number, ranked

LEGEND = 20
"""Pixels that a line of a legend takes."""
COLUMN = 54
"""Pixels that a column with its label takes."""
AHEAD = 4
"""Hours that a forecast goes on."""


def line(box: Box, series: Series) -> Element:
    """A line for each thing."""
    room = _beside_legend(box, series)
    on = plot(room, series)
    return _trend(room, box, series, [*_axes(on, box), *_lines(on, series)])


def line_with_alarm_band(box: Box, series: Series) -> Element:
    """The same under a red band that begins a deviation above the mean of all."""
    values = [value for each in series.values() for value in each]
    alarm = fmean(values) + (pstdev(values) or 1.0)
    room = _beside_legend(box, series)
    on = plot(room, series, (alarm,))
    band = rectangle(on.left, on.top, on.right - on.left, on.y(alarm) - on.top, "band")
    said = words("alarm", on.right - 4, on.top + 12, "end", "label bad")
    return _trend(room, box, series, [*_axes(on, box), band, *_lines(on, series), said])


def area_with_forecast(box: Box, series: Series) -> Element:
    """Areas, and where each is in some hours when it goes on as in the last ones."""
    ahead = {thing: _forecast(values) for thing, values in series.items()}
    room = _beside_legend(box, series)
    on = plot(room, series, [value for values in ahead.values() for value in values], AHEAD)
    areas = [path(on.area(values), f"area {colour(place)}") for place, values in enumerate(series.values())]
    dashes = [
        path(on.line([values[-1], *ahead[thing]], len(values) - 1), f"line forecast {colour(place)}")
        for place, (thing, values) in enumerate(series.items())
    ]
    return _trend(room, box, series, [*_axes(on, box), *areas, *_lines(on, series), *dashes])


def deviation_bars(box: Box, series: Series) -> Element:
    """How far each is above or below the mean of all."""
    amounts = compared(series)
    mean = fmean(value for _, value in amounts)
    most = max(abs(value - mean) for _, value in amounts) or 1.0
    left = _column(amounts, box)
    beside = 4 if box.is_small else 46
    middle, half = (left + box.width) / 2, (box.width - left) / 2 - beside
    drawn = [element("line", x1=middle, x2=middle, y1=2, y2=box.height - 2, class_="axis")]
    for name, value, y, thick in _rows(amounts, box):
        length, sign = half * abs(value - mean) / most, 1 if value >= mean else -1
        text, anchor = y + thick / 2 + 4, "start" if sign > 0 else "end"
        drawn += [
            words(shortened(name, left - 8), left - 8, text, "end"),
            rectangle(min(middle, middle + sign * length), y, length, thick, "good" if sign > 0 else "bad"),
        ]
        if not box.is_small:
            drawn.append(words(f"{value - mean:+.1f}", middle + sign * (length + 5), text, anchor, "value"))
    return canvas(box, *drawn)


def small_multiples(box: Box, series: Series) -> Element:
    """A small trend for each, all on one scale."""
    shown = halves(series)
    columns = len(shown) if box.width / len(shown) >= 110 else min(2, len(shown))
    rows = -(-len(shown) // columns)
    width, height = box.width / columns, box.height / rows
    drawn: list[Element] = []
    for place, (name, values) in enumerate(shown.items()):
        x, y = width * (place % columns), height * (place // columns)
        whole = plot(Box(width, height), shown)
        on = Plot(x + 4, y + 18, x + width - 8, y + height - 6, whole.low, whole.high, len(values), 0)
        drawn += [
            words(shortened(name, width - 12), x + 4, y + 12),
            element("line", x1=on.left, x2=on.right, y1=on.bottom, y2=on.bottom, class_="axis"),
            path(on.area(values), f"area {colour(place)}"),
            path(on.line(values), f"line {colour(place)}"),
        ]
    return canvas(box, *drawn)


def horizontal_bars(box: Box, series: Series) -> Element:
    """The largest first."""
    return _bars(box, ranked(series, _most(box)), red=0)


def top_three_in_red(box: Box, series: Series) -> Element:
    """The largest first, and three of them red."""
    return _bars(box, ranked(series, _most(box)), red=3)


def pareto_bars(box: Box, series: Series) -> Element:
    """Columns, the largest first, and the share of the whole that they reach together."""
    whole = sum(abs(value) for _, value in ranked(series, MOST_HOURS)) or 1.0
    amounts = ranked(series, 12 if box.is_small else max(int(box.width // COLUMN), 3))
    most = max(abs(value) for _, value in amounts) or 1.0
    below = 4 if box.is_small else 20
    step, room = (box.width - 12) / len(amounts), box.height - below - 16
    drawn, reached, points = [], 0.0, []
    for place, (name, value) in enumerate(amounts):
        x, height = 6 + step * place, room * abs(value) / most
        reached += abs(value) / whole
        points.append((x + step / 2, 16 + room * (1 - reached)))
        drawn.append(rectangle(x + step * 0.14, 16 + room - height, step * 0.72, height, "c0"))
        if not box.is_small:
            drawn.append(words(shortened(name, step), x + step / 2, box.height - 6, "middle"))
    drawn.append(path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), "line c3"))
    drawn += [element("circle", cx=x, cy=y, r=3, class_="c3") for x, y in points]
    return canvas(box, *drawn, words("100 %", box.width - 6, 11, "end", "label c3"))


def _trend(room: Box, box: Box, series: Series, drawn: Sequence[Element]) -> Element:
    names = legend(series, map(colour, range(len(series)))) if room != box else None
    return element("div", names, canvas(room, *drawn))


def _beside_legend(box: Box, series: Series) -> Box:
    if len(series) == 1 or box.is_small:
        return box
    wide = sum(len(thing) * LETTER + 30 for thing in series)
    return box.less(LEGEND * min(-(-wide // box.width), 3) + 4)


def _axes(on: Plot, box: Box) -> Iterator[Element]:
    return iter(()) if box.is_small else on.axes()


def _lines(on: Plot, series: Series) -> Iterator[Element]:
    for place, values in enumerate(series.values()):
        yield path(on.line(values), f"line {colour(place)}")


def _forecast(values: Sequence[float]) -> list[float]:
    last = values[-AHEAD:]
    slope = (last[-1] - last[0]) / max(len(last) - 1, 1)
    return [last[-1] + slope * hour for hour in range(1, AHEAD + 1)]


def _bars(box: Box, amounts: Amounts, red: int) -> Element:
    left, most = _column(amounts, box), max(abs(value) for _, value in amounts) or 1.0
    room = max(box.width - left - 52, 4)
    drawn: list[Element] = []
    for place, (name, value, y, thick) in enumerate(_rows(amounts, box)):
        length = room * abs(value) / most
        drawn += [
            words(shortened(name, left - 8), left - 8, y + thick / 2 + 4, "end"),
            rectangle(left, y, length, thick, "bad" if place < red else "c0"),
            words(number(value), left + length + 6, y + thick / 2 + 4, "start", "value"),
        ]
    return canvas(box, *drawn)


def _most(box: Box) -> int:
    return max(int(box.height // 20), 2)


def _column(amounts: Amounts, box: Box) -> float:
    """How much room the names get."""
    return min(max(len(name) for name, _ in amounts) * LETTER + 12, box.width * 0.38)


def _rows(amounts: Amounts, box: Box) -> Iterator[tuple[str, float, float, float]]:
    """Each bar: its name, its value, where it begins, and how thick it is."""
    step = box.height / len(amounts)
    thick = min(step * 0.64, 44)
    for place, (name, value) in enumerate(amounts):
        yield name, value, step * place + (step - thick) / 2, thick
