"""A policy that writes answers with the likeliest text, as transformers' own greedy search does."""

import pytest
import torch

from core.checkpoint import Checkpoint
from core.language.counting import TokenCounter
from core.language.model import load_checkpoint
from core.language.testing import tiny_language_model
from core.language.writer import Writer

PROMPTS = ("File it:", "a longer prompt, so that they differ:", "x:")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    folder = tiny_language_model(tmp_path_factory.mktemp("tiny") / "model")
    return Checkpoint(kind="merged", path=str(folder), sha256="t", base_model=str(folder), method="given")


def test_the_likeliest_text_is_written(checkpoint):
    """Token by token what greedy search writes, for prompts of several lengths at once, and the same again."""
    loaded = load_checkpoint(checkpoint)
    expected = []
    for prompt in PROMPTS:
        ids = torch.tensor([loaded.tokenizer.encode(prompt)])
        tokens = loaded.model.generate(ids, max_new_tokens=6, do_sample=False)[0, ids.shape[1] :]
        expected.append(loaded.tokenizer.decode(tokens, skip_special_tokens=True))
    told: list[int] = []
    writer = Writer(checkpoint, dtype="fp32")
    answers = writer.answers(PROMPTS, 6, told=told.append)
    assert [answer.text for answer in answers] == expected
    assert answers == writer.answers(PROMPTS, 6)
    assert told == [len(PROMPTS)]


def test_an_answer_ends_where_it_says_it_does(checkpoint):
    """Before the first stop text, whole; else it is cut at the limit."""
    writer = Writer(checkpoint, dtype="fp32")
    (long,) = writer.answers(PROMPTS[:1], 6)
    stop = long.text[2:3]
    (ended,) = writer.answers(PROMPTS[:1], 6, (stop,))
    assert ended.text == long.text[: long.text.index(stop)]
    assert ended.whole


def test_a_prompt_without_room_is_answered_with_nothing(checkpoint):
    """The others are answered all the same."""
    writer = Writer(checkpoint, dtype="fp32")
    none, some = writer.answers(["word " * 5_000, PROMPTS[0]], 4)
    assert (none.text, none.whole) == ("", False)
    assert some.text


def test_texts_are_counted_only_where_it_matters(tmp_path):
    """No tokenizer is needed for what has fewer bytes than may be tokens; else the model's own counts."""
    assert TokenCounter("no-such-model").at_most("short", 10)
    folder = tiny_language_model(tmp_path / "model")
    tokens = len(
        load_checkpoint(
            Checkpoint(kind="merged", path=str(folder), sha256="t", base_model=str(folder), method="given")
        ).tokenizer.encode("some words of it")
    )
    counter = TokenCounter(str(folder))
    assert counter.at_most("some words of it", tokens)
    assert not counter.at_most("some words of it", tokens - 1)
