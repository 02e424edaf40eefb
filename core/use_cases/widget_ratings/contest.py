"""The contest: which of two answers, one liked and one not, does a model prefer? On scenarios that nothing was trained on."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.checkpoint import Checkpoint
from core.dataset import Snapshot, read_rows
from core.errors import DataError
from core.evaluation import Contest, Sample
from core.files import digest
from core.held_out import TEST, TRAIN
from core.use_case import Progress
from core.use_cases.widget_ratings.config import BASELINES, METRICS, MODELS, WidgetRatingsConfig
from core.use_cases.widget_ratings.groups import fit
from core.use_cases.widget_ratings.prompts import END
from core.use_cases.widget_ratings.taste import Taste
from core.use_cases.widget_ratings.written import written

TRUE_TASTE, MOST_LIKED = BASELINES
UNTRAINED = MODELS[2]
FILE = "file"
"""In the notes of rows that a person gave."""
FEWEST = 2
"""Questions: a comparison needs more than one."""
Row = dict[str, Any]
Floats = NDArray[np.float64]
Worth = Callable[[Row, str], float]
"""What somebody thinks of an answer to a prompt; more is better."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with an answer that is liked and one that is not."""

    row: Row
    chosen: str
    rejected: str

    @property
    def name(self) -> str:
        """What it is called among the items."""
        return f"{self.row['id']}: {self.chosen.strip()} before {self.rejected.strip()}"


def contest(
    config: WidgetRatingsConfig, rows: Snapshot | None, entrants: Mapping[str, Checkpoint], progress: Progress
) -> tuple[Contest, Contest]:
    """Everybody's preference on the same held-out pairs; and coins, twice, with other dice.

    A checkpoint that enters under two names reads once. Raises: DataError without held-out pairs.
    """
    if rows is None:
        raise DataError("a contest of ratings needs the rewards that hold them: run that stage first")
    pairs, skipped = held_out_pairs(config, rows)
    if lacking := too_few_held_out(pairs):
        raise DataError(f"{rows.path}: {lacking}{_left_out(skipped)}")
    dtype = entrants[MODELS[0]].notes.get("dtype", "auto")
    distinct = {entrant.sha256: (name, entrant) for name, entrant in reversed(list(entrants.items()))}
    read: dict[str, Floats] = {}
    spent: dict[str, dict[str, float]] = {}
    wrong: dict[str, tuple[Sample, ...]] = {}
    prompts = list({pair.row["id"]: pair.row for pair in pairs}.values())
    for number, (sha256, (name, entrant)) in enumerate(distinct.items()):
        told = _telling(progress, name, number, len(distinct), len(pairs))
        read[sha256], spent[sha256] = _read(entrant, pairs, dtype, told)
        counts, wrong[sha256] = written(entrant, prompts, config.completion_tokens, dtype)
        spent[sha256] |= counts
    margins = {name: read[entrant.sha256] for name, entrant in entrants.items()}
    base = margins[UNTRAINED]
    values = {name: _values(config, margin - base, margin) for name, margin in margins.items()}
    values |= {name: _scripted(worth, pairs) for name, worth in _scripts(config, rows).items()}
    progress(1.0, "the last pair is read")
    coins = {f"coins, dice {seed}": _scripted(_coin(seed), pairs) for seed in (1, 2)}
    design = _design(config, pairs, rows, skipped)
    played = replace(
        _result(pairs, values, design),
        counts={name: spent[entrant.sha256] for name, entrant in entrants.items()},
        samples={name: wrong[entrant.sha256] for name, entrant in entrants.items()},
    )
    return played, _result(pairs, coins, design)


def replay(config: WidgetRatingsConfig, rewards: Snapshot) -> tuple[Row, ...]:
    """Held-out prompts with an answer behind each, for the check of an exported file: it reads every token."""
    rows = _held_out(config, rewards, Counter())
    return tuple({"prompt": row["prompt"] + row["completions"][0]} for row in rows)


def _held_out(config: WidgetRatingsConfig, rows: Snapshot, skipped: Counter[str]) -> Iterator[Row]:
    return fit(config, (row for row in read_rows(rows) if row["split"] == TEST), skipped)


def pairs_of(config: WidgetRatingsConfig, rows: Snapshot, skipped: Counter[str]) -> Iterator[Pair]:
    """Held-out pairs, at most so many of a prompt; which of them is decided by a hash. What is too long is counted."""
    for row in _held_out(config, rows, skipped):
        liked, disliked = (
            [
                text
                for text, reward in zip(row["completions"], row["rewards"], strict=True)
                if reward == wanted
            ]
            for wanted in (1.0, -1.0)
        )
        found = [Pair(row, chosen, rejected) for chosen, rejected in product(liked, disliked)]
        found.sort(key=lambda pair: digest("pair", pair.name))
        yield from found[: config.contest.pairs_a_prompt]


def held_out_pairs(config: WidgetRatingsConfig, rows: Snapshot) -> tuple[list[Pair], Counter[str]]:
    """Those that everybody is asked about; and what was left out, by reason."""
    skipped: Counter[str] = Counter()
    return list(islice(pairs_of(config, rows, skipped), config.contest.pairs)), skipped


def too_few_held_out(pairs: Sequence[Pair]) -> str | None:
    """Why there is nothing to judge a model by, or None."""
    questions = {pair.row["metadata"]["question"] for pair in pairs}
    if len(questions) >= FEWEST:
        return None
    return (
        f"{len(pairs)} held-out pairs, of fewer than {FEWEST} questions: collect ratings of more questions and scenarios, or "
        "raise held_out"
    )


def _read(
    entrant: Checkpoint,
    pairs: Sequence[Pair],
    dtype: str,
    told: Callable[[int], None],
) -> tuple[Floats, dict[str, float]]:
    """By how many nats a model finds each chosen answer likelier than the other; and how far it is from its base model."""
    from core.language.drift import GENERAL, general_kl  # noqa: PLC0415  (torch)
    from core.language.reader import Reader  # noqa: PLC0415

    reader = Reader(entrant, dtype=dtype)
    answers = [(pair.chosen, pair.rejected) for pair in pairs]
    found = reader.logprobs([pair.row["prompt"] for pair in pairs], answers, told)
    margins = np.array([chosen - rejected for chosen, rejected in found])
    counts = {"decisions": float(len(pairs)), "invalid": 0.0, "tokens": float(reader.tokens_read)}
    return margins, counts | {"general_kl": general_kl(entrant, GENERAL, dtype=dtype)}


def _values(config: WidgetRatingsConfig, implicit: Floats, plain: Floats) -> dict[str, Floats]:
    """Accuracies and the margin of the implicit reward beta log(policy / reference) of DPO (Rafailov et al. 2023, eq. 5)."""
    return {
        "accuracy": _preferred(implicit),
        "logprob_accuracy": _preferred(plain),
        "margin": config.dpo.beta * implicit,
    }


def _preferred(margins: Floats) -> Floats:
    """1 where the chosen one is ahead, 0 where the other is, a half where nothing tells them apart."""
    return np.where(margins > 0, 1.0, np.where(margins < 0, 0.0, 0.5))


def _scripts(config: WidgetRatingsConfig, rows: Snapshot) -> dict[str, Worth]:
    """What needs no model: the taste that the simulated raters have, and how well an answer is liked in other scenarios.

    Neither is known of the rows of a file, nor the first of people.
    """
    if FILE in rows.notes:
        return {}
    liked: dict[str, list[float]] = {}
    for row in read_rows(rows):
        if row["split"] == TRAIN:
            for text, reward in zip(row["completions"], row["rewards"], strict=True):
                liked.setdefault(text, []).append(reward)
    means = {text: sum(rewards) / len(rewards) for text, rewards in liked.items()}
    scripts: dict[str, Worth] = {MOST_LIKED: lambda _row, text: means.get(text, 0.0)}
    if config.has_taste:
        taste = Taste(config.simulation)
        scripts[TRUE_TASTE] = lambda row, text: taste.worth(row["metadata"], text.removesuffix(END))
    return scripts


def _scripted(worth: Worth, pairs: Sequence[Pair]) -> dict[str, Floats]:
    margins = np.array([worth(pair.row, pair.chosen) - worth(pair.row, pair.rejected) for pair in pairs])
    preferred = _preferred(margins)
    return {"accuracy": preferred, "logprob_accuracy": preferred, "margin": np.full(len(pairs), np.nan)}


def _coin(seed: int) -> Worth:
    return lambda row, text: float(int(digest("coin", seed, row["id"], text)[:8], 16))


def _result(
    pairs: Sequence[Pair], values: Mapping[str, Mapping[str, Floats]], design: dict[str, str]
) -> Contest:
    """Everybody's preferences as one contest; the pairs of one question share luck."""
    asked = {
        name: place
        for place, name in enumerate(dict.fromkeys(pair.row["metadata"]["question"] for pair in pairs))
    }
    return Contest(
        policies=tuple(values),
        items=tuple(pair.name for pair in pairs),
        clusters_I=np.array([asked[pair.row["metadata"]["question"]] for pair in pairs], np.int64),
        values={metric: np.array([found[metric] for found in values.values()]) for metric in METRICS},
        cluster_name="question",
        design=design,
    )


def _left_out(skipped: Counter[str]) -> str:
    found = ", ".join(f"{reason}: {count:,}" for reason, count in skipped.items())
    return f" (left out: {found})" if found else ""


def _design(
    config: WidgetRatingsConfig, pairs: Sequence[Pair], rows: Snapshot, skipped: Counter[str]
) -> dict[str, str]:
    scenarios = {pair.row["metadata"]["scenario"] for pair in pairs} - {None}
    where = f" of {len(scenarios)} scenarios" if scenarios else ""
    whose = f"lines of {rows.notes[FILE]}" if FILE in rows.notes else "that nothing is trained on"
    design = {
        "pairs": f"{len(pairs):,}{where} {whose}, at most {config.contest.pairs_a_prompt} of a prompt{_left_out(skipped)}",
        "accuracy": "share of pairs whose liked answer has the higher implicit reward, log(model / untrained model); a tie is a half",
        "logprob_accuracy": "share of pairs whose liked answer has the higher log-probability",
        "margin": f"of the implicit reward, beta {config.dpo.beta:g}",
    }
    if FILE in rows.notes:
        return design
    design[MOST_LIKED] = "prefers what is liked in the scenarios that are trained on, whatever is asked"
    ceiling = "a judge who knows what the simulated raters like: the ceiling, given how unsure they are"
    return design | ({TRUE_TASTE: ceiling} if config.has_taste else {})


def _telling(progress: Progress, name: str, number: int, models: int, pairs: int) -> Callable[[int], None]:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress((number + done / pairs) / models * 0.99, f"{name}: {done:,} of {pairs:,} pairs read")

    return told
