"""The widgets of a plant's dashboard, the ways each can look, and what each is really good for: the simulated taste."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

SIZES = ("compact", "normal", "expanded", "hero")


@dataclass(frozen=True, slots=True)
class Look:
    """How a widget can look, and the mood of a question that it suits."""

    name: str
    mood: str


class Showing(NamedTuple):
    """A widget as it was shown."""

    widget: str
    size: str
    look: str


WIDGETS: Mapping[str, tuple[Look, ...]] = {
    "kpi": (
        Look("plain-number", "calm"),
        Look("red-pulse-number", "urgent"),
        Look("number-with-sparkline", "curious"),
    ),
    "trend": (
        Look("line", "calm"),
        Look("line-with-alarm-band", "urgent"),
        Look("area-with-forecast", "curious"),
    ),
    "comparison": (
        Look("side-by-side-values", "calm"),
        Look("deviation-bars", "urgent"),
        Look("small-multiples", "curious"),
    ),
    "composition": (
        Look("stacked-bar", "calm"),
        Look("donut-with-warning-slice", "urgent"),
        Look("treemap", "curious"),
    ),
    "ranking": (
        Look("horizontal-bars", "calm"),
        Look("top-three-in-red", "urgent"),
        Look("pareto-bars", "curious"),
    ),
    "event-log": (Look("plain-list", "calm"), Look("incident-cards", "urgent"), Look("timeline", "curious")),
    "alert": (Look("badge", "calm"), Look("full-banner", "urgent"), Look("card-with-history", "curious")),
    "flow": (Look("arrows", "calm"), Look("arrows-with-losses-in-red", "urgent"), Look("sankey", "curious")),
}
"""Kinds and their looks; every kind has one look for every mood."""

FITS: Mapping[str, Mapping[str, float]] = {
    "now": {"kpi": 1.0, "alert": 0.4, "trend": 0.2},
    "course": {"trend": 1.0, "event-log": 0.2, "kpi": -0.2},
    "against": {"comparison": 1.0, "ranking": 0.3, "trend": 0.2},
    "share": {"composition": 1.0, "ranking": 0.4, "flow": 0.2},
    "most": {"ranking": 1.0, "composition": 0.3, "comparison": 0.3},
    "happened": {"event-log": 1.0, "alert": 0.4, "trend": 0.1},
    "wrong": {"alert": 1.0, "event-log": 0.4, "kpi": 0.2},
    "goes": {"flow": 1.0, "composition": 0.4, "trend": 0.0},
}
"""What a question wants to know, and how well a kind of widget tells it, from 1 down; others are worth -0.6."""
ELSE = -0.6

ASKED: Mapping[str, tuple[str, str]] = {
    "now": ("What does {one} run at", "What do {many} run at"),
    "course": ("How did {one} develop", "How did {many} develop"),
    "against": ("How does {one} do compared with last year", "How do {many} compare"),
    "share": ("What is the load of {one} made up of", "What share of the load has each of {many}"),
    "most": ("When does {one} use most", "Which of {many} uses most"),
    "happened": ("What happened at {one}", "What happened at {many}"),
    "wrong": ("Is anything wrong with {one}", "Is anything wrong with {many}"),
    "goes": ("Where does the energy of {one} go", "Where does the energy go between {many}"),
}
"""Of one thing and of several."""

MOODS: Mapping[str, tuple[str, ...]] = {
    "calm": ("for the morning round", "just to be sure", "for the shift log"),
    "urgent": ("right now, it sounds bad", "quickly, before it trips", "at once, the alarm is on"),
    "curious": ("to see what is behind it", "for the study of this month", "to learn something from it"),
}
WHEN = ("today", "this week", "since Monday", "in the last shift", "this month")

SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "pumps": ("feed pump 1", "feed pump 2", "the well pump", "the sump pump"),
    "transformers": ("transformer T1", "transformer T2", "the spare transformer", "the yard transformer"),
    "chillers": ("chiller A", "chiller B", "the winter chiller", "the roof chiller"),
    "boilers": ("boiler 1", "boiler 2", "the steam boiler", "the auxiliary boiler"),
    "compressors": ("compressor K1", "compressor K2", "the air dryer", "the screw compressor"),
    "generators": ("generator G1", "generator G2", "the diesel set", "the emergency set"),
    "ovens": ("oven 1", "oven 2", "the drying oven", "the tunnel oven"),
    "presses": ("press 10", "press 11", "the stamping press", "the hydraulic press"),
    "conveyors": ("conveyor 1", "conveyor 2", "the sorting belt", "the lift"),
    "ventilation": ("air unit 1", "air unit 2", "the hall fan", "the fume hood"),
    "solar": ("roof array 1", "roof array 2", "the car port array", "the inverter room"),
    "water": ("filter line 1", "filter line 2", "the cooling tower", "the softener"),
}
"""What the plant has, and its things. Which of them a question is about says nothing of what it asks."""


def true_worth(intent: str, mood: str, things: int, showing: Showing) -> float:
    """What a showing is worth to those who asked, noise aside: by its kind, its size, its look; from about -1.4 to 1.6."""
    widget, size, look = showing
    fit = FITS[intent].get(widget, ELSE)
    wanted = min(things, len(SIZES)) - 1
    room = 0.3 - 0.3 * abs(SIZES.index(size) - wanted)
    suits = next(one.mood for one in WIDGETS[widget] if one.name == look) == mood
    return fit + room + (0.3 if suits else -0.3)
