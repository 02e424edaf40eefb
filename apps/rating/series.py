"""What a widget shows: the values of each thing, hour by hour up to now, and what follows from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import orjson

MOST_THINGS, MOST_HOURS, LARGEST = 12, 1_000, 1e12
Series = Mapping[str, Sequence[float]]
Amounts = Sequence[tuple[str, float]]
SPANS = ("early", "midday", "late")


class Undrawable(ValueError):  # noqa: N818  (the words of a note, not a failure)
    """Why an entry is shown as text."""


@dataclass(frozen=True, slots=True)
class Box:
    """The room inside a widget's frame, in pixels."""

    width: float
    height: float

    @property
    def is_small(self) -> bool:
        """Whether there is no room for axes and legends."""
        return self.height < 90

    def less(self, height: float) -> "Box":
        """The room that is left when something stands above or below."""
        return Box(self.width, self.height - height)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a thing's values tell."""

    hours_ago: int
    thing: str
    words: str
    is_grave: bool

    @property
    def when(self) -> str:
        """Its time for people."""
        return "now" if self.hours_ago == 0 else f"{self.hours_ago} h ago"


def series_in(context: str | None) -> Series:
    """The values in an entry's context, {"values": {thing: [numbers]}}. Raises: Undrawable."""
    known = parsed(context)
    values = known.get("values") if isinstance(known, dict) else None
    if not isinstance(values, dict) or not values:
        raise Undrawable('it has no "values" to draw')
    if len(values) > MOST_THINGS:
        raise Undrawable(f"it shows more than {MOST_THINGS} things")
    return {thing: _numbers(thing, given) for thing, given in values.items()}


def parsed(context: str | None) -> Any:
    """An entry's context. Raises: Undrawable."""
    try:
        return orjson.loads(context) if context else None
    except orjson.JSONDecodeError as error:
        raise Undrawable("what it shows can't be read") from error


def number(value: float) -> str:
    """A value for people."""
    return f"{value:,.1f}" if abs(value) < 1_000 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.3g}"


def title(series: Series) -> str:
    """What the widget is about."""
    first, *others = series
    return f"{first} and {len(others)} more" if len(others) > 1 else " and ".join(series)


def compared(series: Series) -> Amounts:
    """The mean of each thing; of a single one, that of the hours before and of those since."""
    if len(series) > 1:
        return [(thing, fmean(values)) for thing, values in series.items()]
    return [(name, fmean(values)) for name, values in halves(series).items()]


def halves(series: Series) -> Series:
    """A single thing's hours before and since; several things as they are."""
    if len(series) > 1:
        return series
    ((_, values),) = series.items()
    middle = max(len(values) // 2, 1)
    return {"before": values[:middle], "since": values[middle:] or values}


def parts(series: Series) -> Amounts:
    """What a whole is made up of: each thing; of a single one, the spans of its day. Raises: Undrawable."""
    amounts = [(thing, fmean(values)) for thing, values in series.items()]
    if len(series) == 1:
        ((_, values),) = series.items()
        third = max(math.ceil(len(values) / 3), 1)
        amounts = [(name, sum(values[n * third : (n + 1) * third])) for n, name in enumerate(SPANS)]
    if min(amount for _, amount in amounts) < 0 or sum(amount for _, amount in amounts) <= 0:
        raise Undrawable("its values are no parts of a whole: some are below zero, or all are zero")
    return amounts


def ranked(series: Series, most: int) -> Amounts:
    """The things by their means, the largest first; of a single one, its hours."""
    amounts = [(thing, fmean(values)) for thing, values in series.items()]
    if len(series) == 1:
        ((_, values),) = series.items()
        ages = [Event(len(values) - 1 - hour, "", "", is_grave=False).when for hour in range(len(values))]
        amounts = list(zip(ages, values, strict=True))
    return sorted(amounts, key=lambda amount: -amount[1])[:most]


def events(series: Series) -> list[Event]:
    """Each thing's highest and lowest hour and its largest change, the latest first."""
    found = [event for thing, values in series.items() for event in _events(thing, values)]
    return sorted(found, key=lambda event: event.hours_ago)


def unusual(series: Series) -> tuple[str, float, float]:
    """The thing that is furthest from its mean: its name, its last value, and its mean."""
    thing = max(series, key=lambda name: abs(series[name][-1] - fmean(series[name])))
    return thing, series[thing][-1], fmean(series[thing])


def _events(thing: str, values: Sequence[float]) -> list[Event]:
    now = len(values) - 1
    high, low = max(range(now + 1), key=values.__getitem__), min(range(now + 1), key=values.__getitem__)
    found = [Event(now - high, thing, f"peak of {number(values[high])}", is_grave=True)]
    if now > 0:
        found.append(Event(now - low, thing, f"low of {number(values[low])}", is_grave=False))
        jump = max(range(1, now + 1), key=lambda hour: abs(values[hour] - values[hour - 1]))
        change = values[jump] - values[jump - 1]
        words = f"{'rose' if change >= 0 else 'fell'} by {number(abs(change))} in an hour"
        found.append(Event(now - jump, thing, words, is_grave=False))
    return found


def _numbers(thing: str, given: Any) -> Sequence[float]:
    if not isinstance(given, list) or not 0 < len(given) <= MOST_HOURS:
        raise Undrawable(f"the values of {thing[:40]!r} are no list of 1 to {MOST_HOURS:,} numbers")
    for value in given:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            raise Undrawable(f"{str(value)[:40]!r} among the values of {thing[:40]!r} can't be drawn")
    return [float(value) for value in given]
