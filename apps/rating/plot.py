"""Lines, bars and scales in SVG."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from apps.rating.markup import Element, element
from apps.rating.series import Box, Series, number

LETTER = 6.9
"""Pixels that a letter of a small label takes, a little more than most do."""
COLOURS = 5


def canvas(box: Box, *inside: Element | None) -> Element:
    """An SVG of a box's size."""
    drawn = (part for part in inside if part is not None)
    return element(
        "svg",
        *drawn,
        width=box.width,
        height=box.height,
        viewBox=f"0 0 {box.width:g} {box.height:g}",
        aria_hidden="true",
    )


def words(said: str, x: float, y: float, anchor: str = "start", class_: str = "label") -> Element:
    """A label."""
    return element("text", said, x=x, y=y, text_anchor=anchor, class_=class_)


def shortened(said: str, width: float) -> str:
    """As much of a label as fits."""
    most = max(int(width / LETTER), 2)
    return said if len(said) <= most else said[: most - 1].rstrip() + "…"


def rectangle(x: float, y: float, width: float, height: float, class_: str, *, radius: float = 2) -> Element:
    """A bar; one of no width is still seen."""
    return element("rect", x=x, y=y, width=max(width, 1), height=max(height, 1), rx=radius, class_=class_)


def colour(place: int) -> str:
    """The class of a thing's colour."""
    return f"c{place % COLOURS}"


def legend(names: Iterable[str], classes: Iterable[str], shares: Iterable[float] = ()) -> Element:
    """Which colour is whose, and its share of the whole."""
    told = zip_longest(names, classes, shares)
    return element("ul", *(_key(name, class_, share) for name, class_, share in told), class_="legend")


def _key(name: str, class_: str, share: float | None) -> Element:
    return element(
        "li",
        element("i", class_=f"swatch {class_}"),
        element("span", name, class_="name"),
        None if share is None else element("b", f"{share:.0%}"),
    )


@dataclass(frozen=True, slots=True)
class Plot:
    """Where hours and values lie on a canvas."""

    left: float
    top: float
    right: float
    bottom: float
    low: float
    high: float
    hours: int
    ahead: int
    """Hours after now."""

    def x(self, hour: float) -> float:
        """From the left edge; an only hour is in the middle."""
        last = self.hours + self.ahead - 1
        return self.left + (self.right - self.left) * (hour / last if last else 0.5)

    def y(self, value: float) -> float:
        """From the upper edge."""
        return self.bottom - (self.bottom - self.top) * (value - self.low) / (self.high - self.low)

    def line(self, values: Sequence[float], start: int = 0) -> str:
        """A path through values from an hour on."""
        points = [f"{self.x(start + n):.1f} {self.y(value):.1f}" for n, value in enumerate(values)]
        return "M" + "L".join(points if len(points) > 1 else points * 2)

    def area(self, values: Sequence[float]) -> str:
        """The path around what lies under them."""
        first, last = f"{self.x(0):.1f}", f"{self.x(len(values) - 1):.1f}"
        return f"{self.line(values)}L{last} {self.bottom:.1f}L{first} {self.bottom:.1f}Z"

    def axes(self) -> Iterator[Element]:
        """Three lines with their values, when it begins, and now."""
        for value in (self.low, (self.low + self.high) / 2, self.high):
            y = self.y(value)
            yield element("line", x1=self.left, x2=self.right, y1=y, y2=y, class_="grid")
            yield words(number(value), self.left - 6, y + 4, "end")
        yield words(f"{self.hours - 1} h ago", self.left, self.bottom + 16)
        if self.ahead:
            yield words("now", self.x(self.hours - 1), self.bottom + 16, "middle")
            yield words(f"in {self.ahead} h", self.right, self.bottom + 16, "end")
        else:
            yield words("now", self.right, self.bottom + 16, "end")


def plot(box: Box, series: Series, beyond: Sequence[float] = (), ahead: int = 0) -> Plot:
    """A plot that holds every value and those beyond, with some air; the axes' room where there is some for them."""
    values = [value for each in series.values() for value in each] + list(beyond)
    low, high = min(values), max(values)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    left, below = (4.0, 4.0) if box.is_small else (LETTER * len(number(high + air)) + 10, 22.0)
    hours = max(map(len, series.values()))
    return Plot(left, 8, box.width - 6, box.height - below, low - air, high + air, hours, ahead)


def path(d: str, class_: str) -> Element:
    """A line or an area."""
    return element("path", d=d, class_=class_)
