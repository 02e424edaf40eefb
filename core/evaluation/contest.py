"""The rows that a contest returns: what each policy reached on each item."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.looks import Looks
from core.files import write_bytes, write_json

ARRAYS, NAMES = "contest.npz", "contest.json"


class Row(NamedTuple):
    """One value of one policy."""

    policy: str
    item: str
    cluster: int
    metric: str
    value: float


class Sample(NamedTuple):
    """An answer that was not what was wanted, for a person to look at."""

    item: str
    prompt: str
    answer: str
    wanted: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What P policies reached on the same I items, by column. Raises: DataError when it doesn't fit together.

    Items of one cluster (a league, a day) share luck; clusters are what was drawn at random, in the
    order in which they were played. A stratum (a seat) is a condition to be balanced.
    """

    policies: tuple[str, ...]
    items: tuple[str, ...]
    clusters_I: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    """Metric -> (P, I); more is better; NaN where a value is missing."""
    strata_I: NDArray[np.int64] | None = None
    counts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Policy -> decisions it was asked for, how many of its answers were invalid, how many substituted; tokens
    read, seconds it took to answer; whatever else is kept, not judged."""
    stratum_wins: Mapping[int, int] = field(default_factory=dict)
    """Stratum -> wins of whoever had it: what a stratum is worth by itself."""
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    """Policy -> some of its answers that were not what was wanted."""
    cluster_name: str = "cluster"
    stratum_name: str = "stratum"
    looks: Looks | None = None
    """When it might have ended before its last cluster; None for rows that were played in one go."""
    design: Mapping[str, str] = field(default_factory=dict)
    """What was played, in words: size, seed, conditions."""

    def __post_init__(self) -> None:
        if len(set(self.policies)) != len(self.policies) or not self.policies:
            raise DataError(f"a contest needs policies with names of their own, not {self.policies}")
        if not self.items or not self.values:
            raise DataError("a contest needs at least one item and one metric: play some first")
        for name, column in (("clusters", self.clusters_I), ("strata", self.strata_I)):
            if column is not None and column.shape != (len(self.items),):
                raise DataError(
                    f"contest: {name} have shape {column.shape}, {len(self.items)} items were played"
                )
        for metric, values_P_I in self.values.items():
            if values_P_I.shape != (len(self.policies), len(self.items)):
                raise DataError(
                    f"contest: '{metric}' has shape {values_P_I.shape}, not one row for each of "
                    f"{len(self.policies)} policies and one column for each of {len(self.items)} items"
                )
            if np.isinf(values_P_I).any():
                raise DataError(f"contest: '{metric}' holds infinite values: a missing value is NaN")
        if unknown := set(self.counts) - set(self.policies):
            raise DataError(f"contest: counts for policies that did not play: {', '.join(sorted(unknown))}")

    def values_of(self, policy: str, metric: str) -> NDArray[np.float64]:
        """One policy's values of one metric, (I,). Raises: DataError for a name that is not there."""
        if policy not in self.policies:
            raise DataError(f"policy '{policy}' did not play: {', '.join(self.policies)} did")
        if metric not in self.values:
            raise DataError(f"metric '{metric}' was not measured: {', '.join(self.values)} were")
        row: NDArray[np.float64] = self.values[metric][self.policies.index(policy)]
        return row

    @property
    def clusters(self) -> int:
        """How many clusters were played."""
        return len(self.first_items())

    def first_items(self) -> NDArray[np.int64]:
        """The index of each cluster's first item, in the order of play, (C,)."""
        return np.sort(np.unique(self.clusters_I, return_index=True)[1])

    def rows(self) -> Iterator[Row]:
        """Every value that is not missing as a row of its own."""
        for metric, values_P_I in self.values.items():
            for policy, values_I in zip(self.policies, values_P_I, strict=True):
                for item, cluster, value in zip(self.items, self.clusters_I, values_I, strict=True):
                    if not np.isnan(value):
                        yield Row(policy, item, int(cluster), metric, float(value))

    def save(self, folder: Path) -> None:
        """Write contest.npz and contest.json; equal contests give equal bytes. Raises: StorageError."""
        arrays = {"clusters": self.clusters_I} | {
            f"metric_{number}": values_P_I for number, values_P_I in enumerate(self.values.values())
        }
        if self.strata_I is not None:
            arrays["strata"] = self.strata_I
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_bytes(folder / ARRAYS, buffer.getvalue())
        write_json(folder / NAMES, self._names())

    def _names(self) -> dict[str, object]:
        return {
            "policies": self.policies,
            "items": self.items,
            "metrics": tuple(self.values),
            "counts": {policy: dict(counts) for policy, counts in self.counts.items()},
            "stratum_wins": {str(stratum): wins for stratum, wins in self.stratum_wins.items()},
            "samples": {policy: [tuple(sample) for sample in some] for policy, some in self.samples.items()},
            "cluster_name": self.cluster_name,
            "stratum_name": self.stratum_name,
            "looks": self.looks and self.looks.model_dump(mode="json"),
            "design": list(self.design.items()),
        }

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The contest that `save` wrote. Raises: DataError when the folder holds none that can be read."""
        try:
            names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                return cls(
                    policies=tuple(names["policies"]),
                    items=tuple(names["items"]),
                    clusters_I=arrays["clusters"],
                    values={metric: arrays[f"metric_{i}"] for i, metric in enumerate(names["metrics"])},
                    strata_I=arrays.get("strata"),
                    counts=names["counts"],
                    stratum_wins={int(stratum): wins for stratum, wins in names["stratum_wins"].items()},
                    samples={
                        policy: tuple(map(Sample._make, some)) for policy, some in names["samples"].items()
                    },
                    cluster_name=names["cluster_name"],
                    stratum_name=names["stratum_name"],
                    looks=names["looks"] and Looks.model_validate(names["looks"]),
                    design=dict(names["design"]),
                )
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise DataError(f"{folder} holds no readable contest ({error}): play it again") from error
