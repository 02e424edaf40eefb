"""What an app calls the parts of a decision: agentType is agent_type, userFeedback is feedback."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from core.decision import ALSO_CALLED, COLUMNS
from core.document import Unreadable
from core.value import normalised

OURS = {normalised(called): name for name in COLUMNS for called in (name, *ALSO_CALLED.get(name, ()))}


def our_name(given: object) -> str | None:
    """Our name of a field, None where it is none."""
    return OURS.get(normalised(str(given)))


def action_words(value: Any) -> Any:
    """An action in words ('archive') as the JSON that it is; what begins as JSON does stays, whole or not."""
    if not isinstance(value, str) or value.lstrip()[:1] in {"{", "[", '"'}:
        return value
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value) if value.strip() else value
    return value


def by_our_names(values: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """The same values under our names. Raises: Unreadable for a name that is none of those allowed, or one given twice."""
    found: dict[str, Any] = {}
    for given, value in values.items():
        name = our_name(given)
        if name is None or name not in allowed:
            near = difflib.get_close_matches(normalised(str(given)), map(normalised, allowed), n=1)
            meant = f"did you mean {OURS[near[0]]}?" if near else f"there are {', '.join(allowed)}"
            raise Unreadable("unknown_field", f"{str(given)[:80]!r} is no field here: {meant}")
        if name in found:
            raise Unreadable("unknown_field", f"{name} is given twice, once as {str(given)[:80]!r}")
        found[name] = value
    return found
