"""An answer as text, the right answer of a logged decision, and how far one is from the other."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from core.decision import Feedback

END = "\n"
"""What ends an answer: an action is one line of JSON."""
UNREADABLE = 0.0


def action_text(action: Any) -> str:
    """An action as canonical JSON, the same text for the same action."""
    try:
        return orjson.dumps(action, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # a number of more than 64 bits, or half a letter
        return json.dumps(action, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def truth_of(action: Any, feedback: str | None, correction: Any) -> Any:
    """What should have been done: the action when it was confirmed, the action with its correction when one was given.

    None where the user said neither, and where the correction is of another kind than the action: a text beside an object
    is a person's words, no answer. Fields that a correction doesn't name were right.
    """
    if feedback == Feedback.CONFIRMED:
        return action
    if feedback != Feedback.CORRECTED or correction is None:
        return None
    if isinstance(action, Mapping) and isinstance(correction, Mapping):
        return {**action, **correction}
    return correction if type(correction) is type(action) else None


def read_answer(text: str) -> Any:
    """The action that a model wrote, or None where its text is none: one JSON value, in which each number is one."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def is_same(answer: Any, truth: Any) -> bool:
    """Whether an answer is the right one: 1.0 is 1, and true is no number."""
    if isinstance(truth, Mapping):
        return (
            isinstance(answer, Mapping)
            and set(answer) == set(truth)
            and all(is_same(answer[name], truth[name]) for name in truth)
        )
    if isinstance(truth, list):
        return isinstance(answer, list) and len(answer) == len(truth) and all(map(is_same, answer, truth))
    return isinstance(answer, bool) == isinstance(truth, bool) and bool(answer == truth)


def score(answer: Any, truth: Any) -> float:
    """How much of the truth an answer has, in [0, 1]: 1 for all of it, a share of equal fields and places, 0 for none.

    An answer of another kind (a list for an object) has nothing of it; fields that are not asked for count against it.
    """
    if isinstance(truth, Mapping):
        return _share_of_fields(answer, truth) if isinstance(answer, Mapping) else UNREADABLE
    if isinstance(truth, Sequence) and not isinstance(truth, str):
        alike = isinstance(answer, Sequence) and not isinstance(answer, str)
        return _share_of_places(answer, truth) if alike else UNREADABLE
    return float(is_same(answer, truth))


def is_valid(answer: Any, like: Any) -> bool:
    """Whether an answer has the shape of an action: the same kind, and the same fields where it has any."""
    if isinstance(like, Mapping):
        return isinstance(answer, Mapping) and set(answer) == set(like)
    return type(answer) is type(like)


def _share_of_fields(answer: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    names = set(truth) | set(answer)
    if not names:
        return 1.0
    return sum(score(answer[name], truth[name]) for name in names if name in answer and name in truth) / len(
        names
    )


def _share_of_places(answer: Sequence[Any], truth: Sequence[Any]) -> float:
    longest = max(len(answer), len(truth))
    if not longest:
        return 1.0
    return sum(map(score, answer, truth)) / longest


def reward_of_answers(
    prompt: str, completions: Sequence[str], metadata: Mapping[str, Any]
) -> list[float | None]:
    """For `ppo.online.reward`: what answers to a logged state are worth, by what the user confirmed or corrected.

    None where the user said neither: an answer to such a state is not trained on.
    """
    del prompt
    truth = metadata.get("truth")
    if truth is None:
        return [None] * len(completions)
    wanted = json.loads(truth)
    return [_worth(completion, wanted) for completion in completions]


def _worth(text: str, wanted: Any) -> float:
    answer = read_answer(text)
    return UNREADABLE if answer is None else score(answer, wanted)
