"""What a whole is made up of, and where energy goes."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from apps.rating.markup import Element, element
from apps.rating.plot import canvas, colour, legend, path, rectangle, shortened, words
from apps.rating.series import Amounts, Box, Series, Undrawable, number, parts

GAP = 2.0


def stacked_bar(box: Box, series: Series) -> Element:
    """One bar, divided."""
    amounts = parts(series)
    height = 14 if box.is_small else min(box.height * 0.34, 56)
    room = Box(box.width, height)
    whole, x, drawn = sum(amount for _, amount in amounts), 0.0, []
    scale = box.width / whole
    for place, (_, amount) in enumerate(amounts):
        drawn.append(rectangle(x, 0, amount * scale - GAP, height, colour(place)))
        x += amount * scale
    return element("div", canvas(room, *drawn), _legend(amounts), class_="stack")


def donut_with_warning_slice(box: Box, series: Series) -> Element:
    """A ring, its largest part red and named in the middle."""
    amounts = parts(series)
    whole = sum(amount for _, amount in amounts)
    largest = max(range(len(amounts)), key=lambda place: amounts[place][1])
    side = min(box.height, box.width * 0.42)
    classes = ["bad" if place == largest else f"{colour(place)} pale" for place in range(len(amounts))]
    radius, turned, drawn = side / 2 - 2, 0.0, []
    for class_, (_, amount) in zip(classes, amounts, strict=True):
        share = amount / whole
        drawn.append(path(_slice(side / 2, radius, turned, share), class_))
        turned += share
    middle = side / 2 + min(side * 0.08, 7)
    drawn.append(words(f"{amounts[largest][1] / whole:.0%}", side / 2, middle, "middle", "centre bad"))
    ring = canvas(Box(side, side), *drawn)
    return element("div", ring, _legend(amounts, classes), class_="donut")


def treemap(box: Box, series: Series) -> Element:
    """Areas as large as the parts, the largest first."""
    amounts = parts(series)
    whole, drawn = sum(amount for _, amount in amounts), []
    places = sorted(range(len(amounts)), key=lambda place: -amounts[place][1])
    tiles = _tiles([amounts[place] for place in places], 0, 0, box.width, box.height)
    for place, (name, amount, x, y, width, height) in zip(places, tiles, strict=True):
        drawn.append(rectangle(x, y, width - GAP, height - GAP, colour(place), radius=4))
        if width > 34 and height > 20:
            drawn.append(words(shortened(name, width - 14), x + 8, y + 17, "start", "on"))
        if width > 34 and height > 40:
            drawn.append(words(f"{amount / whole:.0%}", x + 8, y + 34, "start", "on strong"))
    return canvas(box, *drawn)


def arrows(box: Box, series: Series) -> Element:
    """What each thing takes from the supply, as arrows."""
    return _arrows(box, series, losses=False)


def arrows_with_losses_in_red(box: Box, series: Series) -> Element:
    """The same, and what each thing has at its peak and leaves unused on average."""
    return _arrows(box, series, losses=True)


def sankey(box: Box, series: Series) -> Element:
    """Bands from the supply, as wide as what goes through them; what is left unused goes down in red."""
    taken = _taken(series)
    ends = [(name, used, colour(place)) for place, (name, used, _) in enumerate(taken)]
    ends.append(("unused", sum(unused for _, _, unused in taken), "bad"))
    ends = [end for end in ends if end[1] > 0]
    scale = (box.height - 8.0 * (len(ends) - 1)) / sum(amount for _, amount, _ in ends)
    right = box.width - min(box.width * 0.36, 120)
    start = (box.height - sum(amount for _, amount, _ in ends) * scale) / 2
    drawn, end = [rectangle(0, start, 8, box.height - 2 * start, "node")], 0.0
    for name, amount, class_ in ends:
        thick = amount * scale
        drawn += [
            path(_band(8, start, right, end, thick), f"band-of {class_}"),
            rectangle(right, end, 6, thick, class_),
            words(shortened(name, box.width - right - 14), right + 12, end + thick / 2 + 4),
        ]
        start, end = start + thick, end + thick + 8
    return canvas(box, *drawn)


def _arrows(box: Box, series: Series, *, losses: bool) -> Element:
    taken = _taken(series)
    step = box.height / len(taken)
    left, right = min(box.width * 0.2, 70), box.width * (0.52 if losses else 0.6)
    most = max(used for _, used, _ in taken) or 1.0
    drawn = [rectangle(0, 4, left, box.height - 8, "node", radius=4)]
    if not box.is_small:
        drawn.append(words("supply", left / 2, box.height / 2 + 4, "middle", "on"))
    for place, (name, used, unused) in enumerate(taken):
        y, thick = (
            step * (place + 0.5) - (4 if losses else 0),
            2 + min(step * 0.3, box.height * 0.08) * used / most,
        )
        drawn += _arrow(left + 4, right - 6, y, thick, "c0")
        down = 6 if losses and step > 30 else 0
        drawn.append(words(shortened(f"{name} {number(used)}", box.width - right), right, y + 4 - down))
        if losses and unused > 0:
            said = f"{number(unused)} unused"
            beside = words(shortened(said, box.width - right), right, y + 10, "start", "label bad")
            drawn += [beside] if down else []
            drawn += _arrow(left + 4, left + (right - left) * 0.55, y + thick / 2 + 5, 2.5, "bad")
    return canvas(box, *drawn)


def _legend(amounts: Amounts, classes: Sequence[str] | None = None) -> Element:
    whole = sum(amount for _, amount in amounts)
    colours = classes or [colour(place) for place in range(len(amounts))]
    return legend([name for name, _ in amounts], colours, [amount / whole for _, amount in amounts])


def _arrow(left: float, right: float, y: float, thick: float, class_: str) -> Iterator[Element]:
    head = thick + 5
    yield rectangle(left, y - thick / 2, right - left - head, thick, class_, radius=0)
    tip = f"M{right - head - 1:.1f} {y - head / 1.4:.1f}L{right:.1f} {y:.1f}L{right - head - 1:.1f} {y + head / 1.4:.1f}Z"
    yield path(tip, class_)


def _taken(series: Series) -> list[tuple[str, float, float]]:
    """Of each thing its mean, and what is missing from that to its peak. Raises: Undrawable."""
    taken = [(thing, fmean(values), max(values) - fmean(values)) for thing, values in series.items()]
    if min(used for _, used, _ in taken) < 0 or max(used for _, used, _ in taken) <= 0:
        raise Undrawable("its values are no flow: some are below zero, or all are zero")
    return taken


def _slice(middle: float, radius: float, start: float, share: float) -> str:
    """A part of a ring; one that is all of it leaves a gap as thin as a hair."""
    share, inner = min(share, 0.9999), radius * 0.62
    angles = [2 * math.pi * turn - math.pi / 2 for turn in (start, start + share)]
    outside, inside = (
        [f"{middle + r * math.cos(a):.1f} {middle + r * math.sin(a):.1f}" for a in angles]
        for r in (radius, inner)
    )
    far = int(share > 0.5)
    return (
        f"M{outside[0]}A{radius:.1f} {radius:.1f} 0 {far} 1 {outside[1]}"
        f"L{inside[1]}A{inner:.1f} {inner:.1f} 0 {far} 0 {inside[0]}Z"
    )


def _band(left: float, start: float, right: float, end: float, thick: float) -> str:
    half = (left + right) / 2
    return (
        f"M{left:.1f} {start:.1f}C{half:.1f} {start:.1f} {half:.1f} {end:.1f} {right:.1f} {end:.1f}"
        f"V{end + thick:.1f}C{half:.1f} {end + thick:.1f} {half:.1f} {start + thick:.1f} {left:.1f} {start + thick:.1f}Z"
    )


def _tiles(
    amounts: Amounts, x: float, y: float, width: float, height: float
) -> Iterator[tuple[str, float, float, float, float, float]]:
    """Cut the first off along the longer side, then the rest likewise."""
    if not amounts:
        return
    (name, amount), *rest = amounts
    share = amount / (sum(value for _, value in amounts) or 1.0)
    if width >= height:
        yield name, amount, x, y, width * share, height
        yield from _tiles(rest, x + width * share, y, width * (1 - share), height)
    else:
        yield name, amount, x, y, width, height * share
        yield from _tiles(rest, x, y + height * share, width, height * (1 - share))
