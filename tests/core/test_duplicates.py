"""Texts that say almost the same are one; those that don't are not."""

import random

from core.duplicates import Seen

WORDS = [f"word{number}" for number in range(3_000)]


def test_letters_and_stops_make_no_difference():
    """Upper case, spaces, full width letters and punctuation; other words do."""
    seen = Seen(0.95)
    assert seen.is_new("The cat sat.")
    assert not seen.is_new("the  CAT, sat")
    assert not seen.is_new("ｔｈｅ cat sat")
    assert seen.is_new("the cat stood")
    assert seen.is_new("...")
    assert not seen.is_new("...")
    assert seen.is_new("")


def test_asking_leaves_no_trace():
    """What was only asked about is still new."""
    seen = Seen(0.9)
    seen.add(["one text", "another text"])
    assert seen.knows("One text!")
    assert not seen.knows("a third")
    assert seen.is_new("a third")


def test_likeness_is_measured_near_enough():
    """One word in a hundred changed is the same text at 0.9 and another at 0.999; strangers are never the same."""
    rng = random.Random(1)
    texts = [rng.sample(WORDS, 100) for _ in range(200)]
    loose, strict = Seen(0.9), Seen(0.999)
    for words in texts:
        assert loose.is_new(" ".join(words))
        assert strict.is_new(" ".join(words))
    changed = [" ".join([*words[:-1], "changed"]) for words in texts]
    assert sum(loose.knows(text) for text in changed) > 195
    assert sum(strict.knows(text) for text in changed) < 40
