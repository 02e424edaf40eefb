"""HTML and SVG as trees, in which whatever comes out of data is text and never markup."""

from xml.etree.ElementTree import Element, tostring

__all__ = ["Element", "element", "html"]


def element(tag: str, *inside: Element | str | None, **attributes: str | float) -> Element:
    """An element: `class_` is its class, `stroke_width` its stroke-width; numbers are rounded to what can be seen."""
    named = {name.rstrip("_").replace("_", "-"): _said(value) for name, value in attributes.items()}
    made = Element(tag, named)
    last: Element | None = None
    for part in inside:
        if isinstance(part, Element):
            made.append(part)
            last = part
        elif part is not None and last is None:
            made.text = (made.text or "") + part
        elif part is not None and last is not None:
            last.tail = (last.tail or "") + part
    return made


def html(made: Element) -> str:
    """What a browser reads."""
    return tostring(made, encoding="unicode", method="html")


def _said(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
