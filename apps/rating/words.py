"""Numbers, events and alerts: what a widget says in words."""

from collections.abc import Iterable

from apps.rating.markup import Element, element
from apps.rating.plot import Plot, canvas, colour, path, plot, rectangle
from apps.rating.series import Box, Event, Series, compared, events, number, unusual


def plain_number(_box: Box, series: Series) -> Element:
    """The last value of each thing, large."""
    return _tiles(_number(series, thing) for thing in series)


def red_pulse_number(_box: Box, series: Series) -> Element:
    """The same in red, with a light that pulses."""
    return _tiles((_number(series, thing, light=True) for thing in series), "urgent")


def number_with_sparkline(box: Box, series: Series) -> Element:
    """The same over how it came about."""
    columns = min(len(series), 2)
    height = box.height / -(-len(series) // columns) - (34 if box.is_small else 66)
    room = Box(box.width / columns - 16, max(height, 6))
    return _tiles((_number(series, thing, over=_spark(room, series, thing)) for thing in series), "sparks")


def side_by_side_values(_box: Box, series: Series) -> Element:
    """Each mean, and how far it is from the first."""
    (_, first), *_ = amounts = compared(series)
    return _tiles(
        element(
            "div",
            element("b", number(value)),
            element(
                "p",
                element("span", name, class_="name"),
                _change((value - first) / abs(first)) if place and first else None,
            ),
        )
        for place, (name, value) in enumerate(amounts)
    )


def plain_list(box: Box, series: Series) -> Element:
    """What happened, a line each, the latest first."""
    return element("ul", *map(_line, _fitting(box, series, 24)), class_="log")


def incident_cards(box: Box, series: Series) -> Element:
    """What happened, a card each, the grave ones red."""
    return element("ul", *map(_card, _fitting(box, series, 56, 190)), class_="cards")


def timeline(box: Box, series: Series) -> Element:
    """What happened along a line, the latest first, the grave ones red."""
    return element("ol", *map(_line, _fitting(box, series, 34)), class_="timeline")


def badge(_box: Box, series: Series) -> Element:
    """A pill that says which thing is furthest from its usual."""
    thing, last, usual = unusual(series)
    said = f"{number(last)} {thing}"
    return element(
        "div",
        element("p", element("i", class_="light"), element("span", said), class_="pill"),
        element("p", f"usual {number(usual)}", class_="name"),
        class_="badge",
    )


def full_banner(_box: Box, series: Series) -> Element:
    """The same over the whole widget."""
    thing, last, usual = unusual(series)
    return element(
        "div",
        element("b", "!", class_="sign"),
        element("p", element("b", f"{thing} is at {number(last)}"), element("span", _against(last, usual))),
        class_="banner",
    )


def card_with_history(box: Box, series: Series) -> Element:
    """The same over the hours that led to it, those as far off in red."""
    thing, last, usual = unusual(series)
    values = series[thing]
    room = Box(box.width - 20, max(box.height - (40 if box.is_small else 76), 16))
    step, high = room.width / len(values), max(map(abs, values)) or 1.0
    far = abs(last - usual)
    bars = [
        rectangle(
            step * place + 1,
            room.height * (1 - abs(value) / high),
            step - 2,
            room.height * abs(value) / high,
            "bad" if abs(value - usual) >= far else "pale c0",
        )
        for place, value in enumerate(values)
    ]
    said = element("p", element("b", f"{number(last)} {thing}"), element("span", _against(last, usual)))
    return element("div", said, canvas(room, *bars), class_="history")


def _line(event: Event) -> Element:
    said = element("span", f"{event.words}, {event.thing}")
    return element("li", element("time", event.when), said, class_=_colour(event))


def _card(event: Event) -> Element:
    thing = element("span", event.thing, class_="name")
    return element("li", element("b", event.words), thing, element("time", event.when), class_=_colour(event))


def _colour(event: Event) -> str:
    return "grave" if event.is_grave else "mild"


def _tiles(tiles: Iterable[Element], class_: str = "") -> Element:
    made = list(tiles)
    return element("div", *made, class_=f"tiles n{min(len(made), 3)} {class_}".rstrip())


def _number(series: Series, thing: str, over: Element | None = None, *, light: bool = False) -> Element:
    return element(
        "div",
        element("b", element("i", class_="light") if light else None, number(series[thing][-1])),
        element("span", thing, class_="name"),
        over,
    )


def _spark(box: Box, series: Series, thing: str) -> Element:
    values = series[thing]
    of_its_own = plot(box, {thing: values})
    on = Plot(1, 2, box.width - 4, box.height - 2, of_its_own.low, of_its_own.high, len(values), 0)
    end = element("circle", cx=on.x(len(values) - 1), cy=on.y(values[-1]), r=2.5, class_=colour(0))
    return canvas(box, path(on.line(values), f"line {colour(0)}"), end)


def _change(share: float) -> Element:
    return element("small", f"{share:+.0%}", class_="rise" if share >= 0 else "fall")


def _against(last: float, usual: float) -> str:
    share = abs(last - usual) / abs(usual) if usual else 0.0
    return f"{share:.0%} {'above' if last >= usual else 'below'} its usual {number(usual)}"


def _fitting(box: Box, series: Series, height: float, width: float | None = None) -> list[Event]:
    """As many events as there is room for, in columns where they are cards."""
    columns = max(int((box.width + 8) // (width + 8)), 1) if width else 1
    return events(series)[: max(int((box.height + 6) // height), 1) * columns]
