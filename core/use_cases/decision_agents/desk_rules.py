"""What the filing desk's users want, by agent type: a rule that no prompt states, and that a model can learn from examples."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

from core.decision import AgentType

State = dict[str, Any]
Action = dict[str, Any]


class Rule(NamedTuple):
    """One agent's work: states are drawn, the truth follows from the state, and a careless model strays from it."""

    state: Callable[[Random], State]
    truth: Callable[[State], Action]
    wrong: Callable[[Random, State], Action]
    """An action that the agent could have taken and its user would not have."""


FOLDERS = {
    "invoice": "Ledger",
    "receipt": "Ledger",
    "contract": "Vault",
    "passport": "Vault",
    "recipe": "Kitchen",
    "menu": "Kitchen",
    "ticket": "Trips",
    "visa": "Trips",
}
ISSUES = {
    "seen twice": "duplicate",
    "copied": "duplicate",
    "torn": "damage",
    "wet": "damage",
    "on a wrong shelf": "misplaced",
    "between strangers": "misplaced",
    "as it was": "none",
    "well kept": "none",
}
LEVELS = {
    "client": "high",
    "tax": "high",
    "report": "mid",
    "slides": "mid",
    "gym": "low",
    "email": "low",
}
PLACES = {
    "photo": ("album", 9),
    "video": ("album", 9),
    "deed": ("safe", 99),
    "will": ("safe", 99),
    "flyer": ("bin", 0),
    "advert": ("bin", 0),
    "manual": ("shelf", 5),
    "warranty": ("shelf", 5),
}
SOURCES = {
    "rent": "lease",
    "deposit": "lease",
    "salary": "payslip",
    "bonus": "payslip",
    "allergy": "chart",
    "vaccine": "chart",
    "warranty": "manual",
    "battery": "manual",
}
NAMES = [
    "Abbott",
    "Baker",
    "Castro",
    "Duarte",
    "Eriksen",
    "Fofana",
    "Gupta",
    "Hansen",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lopez",
    "Mbeki",
    "Novak",
    "Okafor",
    "Petrov",
]
THINGS = [
    "oak",
    "roof",
    "lake",
    "spring",
    "north",
    "harbour",
    "second",
    "winter",
    "copper",
    "orchard",
    "silver",
    "market",
    "garden",
    "tower",
    "bridge",
    "meadow",
]
TASKS = 2


def _filer_state(rng: Random) -> State:
    kind, folders = rng.choice(list(FOLDERS)), sorted(set(FOLDERS.values()))
    rng.shuffle(folders)
    title = f"{kind} from {rng.choice(NAMES)}, {rng.choice(THINGS)} {rng.choice(THINGS)}"
    return {"item": {"title": title}, "availableOpuses": [{"name": name} for name in folders]}


def _filer_truth(state: State) -> Action:
    return {"opus": FOLDERS[state["item"]["title"].split()[0]]}


def _filer_wrong(rng: Random, state: State) -> Action:
    return {"opus": _other(rng, FOLDERS.values(), _filer_truth(state)["opus"])}


def _librarian_state(rng: Random) -> State:
    title = f"the {rng.choice(THINGS)} {rng.choice(THINGS)} by {rng.choice(NAMES)}"
    return {"item": {"title": title, "rawInstructions": f"found {rng.choice(list(ISSUES))}"}}


def _librarian_truth(state: State) -> Action:
    return {"issue": ISSUES[state["item"]["rawInstructions"].removeprefix("found ")]}


def _librarian_wrong(rng: Random, state: State) -> Action:
    return {"issue": _other(rng, ISSUES.values(), _librarian_truth(state)["issue"])}


def _prioritizer_state(rng: Random) -> State:
    kinds = rng.sample(list(LEVELS), TASKS)
    items = [{"title": f"{kind} for {rng.choice(NAMES)}"} for kind in kinds]
    return {"items": items, "userContext": {"energyLevel": rng.choice(("low", "fair", "high"))}}


def _prioritizer_truth(state: State) -> Action:
    return {"levels": [LEVELS[item["title"].split()[0]] for item in state["items"]]}


def _prioritizer_wrong(rng: Random, state: State) -> Action:
    levels = _prioritizer_truth(state)["levels"]
    place = rng.randrange(len(levels))
    levels[place] = _other(rng, LEVELS.values(), levels[place])
    return {"levels": levels}


def _storer_state(rng: Random) -> State:
    title = f"{rng.choice(list(PLACES))} of the {rng.choice(THINGS)} {rng.choice(THINGS)}"
    return {"item": {"title": title, "content": f"given by {rng.choice(NAMES)}"}}


def _storer_truth(state: State) -> Action:
    place, years = PLACES[state["item"]["title"].split()[0]]
    return {"place": place, "years": years}


def _storer_wrong(rng: Random, state: State) -> Action:
    place, years = _other(rng, PLACES.values(), PLACES[state["item"]["title"].split()[0]])
    return {"place": place, "years": years}


def _retriever_state(rng: Random) -> State:
    sources = sorted(set(SOURCES.values()))
    rng.shuffle(sources)
    query = f"{rng.choice(list(SOURCES))} of {rng.choice(NAMES)}, {rng.choice(THINGS)} {rng.choice(THINGS)}?"
    return {"query": query, "sources": sources}


def _retriever_truth(state: State) -> Action:
    return {"cite": SOURCES[state["query"].split()[0]]}


def _retriever_wrong(rng: Random, state: State) -> Action:
    return {"cite": _other(rng, SOURCES.values(), _retriever_truth(state)["cite"])}


def _other(rng: Random, known: Any, right: Any) -> Any:
    return rng.choice(sorted(set(known) - {right}))


RULES: Mapping[AgentType, Rule] = {
    AgentType.FILER: Rule(_filer_state, _filer_truth, _filer_wrong),
    AgentType.LIBRARIAN: Rule(_librarian_state, _librarian_truth, _librarian_wrong),
    AgentType.PRIORITIZER: Rule(_prioritizer_state, _prioritizer_truth, _prioritizer_wrong),
    AgentType.STORER: Rule(_storer_state, _storer_truth, _storer_wrong),
    AgentType.RETRIEVER: Rule(_retriever_state, _retriever_truth, _retriever_wrong),
}
