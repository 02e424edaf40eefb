"""From stored decisions to the rows that are trained on, stage by stage."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from core.dataset import Encoded, Snapshot, read_rows, write_snapshot
from core.errors import DataError
from core.held_out import TEST, split_of
from core.store.current import policy_versions
from core.store.engine import connection
from core.store.rewarded import (
    Rewarded,
    Wanted,
    known_spec,
    left_out,
    newest,
    one_moment,
    rewarded,
    together,
    users,
)
from core.store.subjects import record_subjects
from core.use_case import Progress
from core.use_cases.decision_agents.answers import END, action_text, truth_of
from core.use_cases.decision_agents.config import DecisionAgentsConfig
from core.use_cases.decision_agents.desk import end_of
from core.use_cases.decision_agents.prompts import render

NAME = "decision_agents"
FEWEST = 5
"""Users below which one of them would be too much to hold out: then it is sessions."""
NEITHER = "too early to be held out, or too late to be trained on"
Row = dict[str, Any]


def collect(config: DecisionAgentsConfig, folder: Path, progress: Progress) -> Snapshot:
    """The agent's decisions with what they were worth, as lines that any tool reads, in one pass over the store.

    Raises: DataError when there are none, StoreError.
    """
    versions = policy_versions(NAME, config.slot)
    with connection() as held:
        one_moment(held)
        spec = known_spec(held, NAME, config.rewards.sha256)
        asked = wanted(config, spec)
        skipped = left_out(held, asked)
        last = newest(held, asked) if config.export.test_days else None
        people = together(held, asked) if users(held, asked) >= FEWEST else None
        sides = _sides(config, people, last)
        lines = (line(config, decision, versions, sides) for decision in rewarded(held, asked))
        snapshot = write_snapshot(
            folder,
            "decisions",
            map(_encoded, _on_a_side(lines, skipped)),
            skipped=skipped,
            notes={"agent_type": config.agent_type, "source": asked.source, "spec": spec, "unit": sides.unit},
        )
    if not snapshot.counts["rows"]:
        raise nothing_there(config, skipped)
    progress(1.0, f"{snapshot.counts['rows']:,} decisions")
    return snapshot


@dataclass(frozen=True, slots=True)
class Sides:
    """Who is held out, and from when on."""

    held_out: float
    validation: float = 0.0
    people: Mapping[str, str] | None = field(default_factory=dict)
    """Users who count as one, since they share sessions; None where users are so few that sessions lie on a side each."""
    since: datetime | None = None
    """Only decisions from then on are held out, and only those before are trained on."""

    @property
    def unit(self) -> str:
        """What lies on one side as a whole."""
        return "session" if self.people is None else "user"

    def person(self, decision: Rewarded, session: str) -> str:
        """Whom, or what, a decision belongs to."""
        if self.people is None:
            return session
        person = decision.person or session
        return self.people.get(person, person)

    def of(self, person: str, at: datetime) -> str:
        """train, validation, test, or neither: of a user who is held out before that, or of another since."""
        split = split_of(person, self.held_out, self.validation)
        if self.since is None or (at >= self.since) == (split == TEST):
            return split
        return NEITHER


def _sides(config: DecisionAgentsConfig, people: Mapping[str, str] | None, last: datetime | None) -> Sides:
    days = config.export.test_days
    since = None if days is None or last is None else last - timedelta(days=days)
    return Sides(config.export.held_out, config.export.validation, people, since)


def _on_a_side(lines: Iterable[Row], skipped: dict[str, int]) -> Iterator[Row]:
    for row in lines:
        if row["split"] == NEITHER:
            skipped[NEITHER] = skipped.get(NEITHER, 0) + 1
        else:
            yield row


def _encoded(row: Row) -> Encoded:
    """A line, whose keys are in order, of values that came out of the database, which holds no NaN and no half letters."""
    return Encoded(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE), row["split"])


def wanted(config: DecisionAgentsConfig, spec: int | None) -> Wanted:
    """What a run asks the store for: nothing of the days after its own."""
    export = config.export
    return Wanted(
        source=config.rows_of,
        agent_type=config.agent_type,
        spec=spec,
        limit=export.limit,
        min_reward=export.min_reward,
        require_feedback=export.require_feedback,
        pending=export.pending,
        before=None if config.as_of is None else end_of(config.as_of),
    )


def nothing_there(config: DecisionAgentsConfig, skipped: dict[str, int]) -> DataError:
    """Why no decision came out of the store, and what to do about it."""
    where = f"the source '{config.rows_of}' has no {config.agent_type} decision to train on"
    if not skipped:
        return DataError(f"{where}, nor any other: run collect/decisions first, or let the app record some")
    rest = ", ".join(f"{reason}: {count}" for reason, count in skipped.items())
    return DataError(
        f"{where} ({rest}): compute rewards of version {config.rewards.version} first, or ask for less in 'export'"
    )


def line(config: DecisionAgentsConfig, decision: Rewarded, versions: Mapping[str, int], sides: Sides) -> Row:
    """A decision as one line for orjson: prompt, completion, reward and metadata as apps know them, and what training needs.

    Its keys are in their order. `versions` are the models that the agent type has had, by the name that decisions give them.
    """
    truth = truth_of(decision.action, decision.feedback, decision.correction)
    done = action_text(decision.action)
    session = decision.session_id or decision.external_id
    person = sides.person(decision, session)
    return {
        "completion": done,
        "confidence": decision.confidence,
        "id": decision.external_id,
        "logprobs": decision.logprobs,
        "metadata": {
            "createdAt": decision.created_at,
            "decisionId": decision.external_id,
            "itemId": decision.item_id,
            "opusId": decision.opus_id,
            "rewardComponents": None if decision.components is None else orjson.Fragment(decision.components),
            "userFeedback": decision.feedback,
        },
        "model_version": decision.model_version,
        "normalized": decision.normalized,
        "number": decision.number,
        "person": person,
        "policy_version": versions.get(decision.model_version),
        "prompt": render(config.agent_type, decision.state),
        "reward": decision.total,
        "session": session,
        "session_length": 1 if decision.session_length is None else decision.session_length,
        "split": sides.of(person, decision.created_at),
        "step": decision.step,
        "truth": done if truth is decision.action else None if truth is None else action_text(truth),
    }


def remember(config: DecisionAgentsConfig, decisions: Snapshot) -> None:
    """Note which decisions' rewards a collected snapshot holds, so that it can be found once one of them changes."""
    del config
    spec = decisions.notes.get("spec")
    if spec is not None:
        record_subjects(decisions.sha256, spec, (row["number"] for row in read_rows(decisions)))


def reward(config: DecisionAgentsConfig, decisions: Snapshot, folder: Path, progress: Progress) -> Snapshot:
    """The same decisions as groups of one completion; their rewards are the ledger's, normalised."""
    del config
    groups = (scored(row) for row in read_rows(decisions))
    snapshot = write_snapshot(folder, "rewards", groups, parents=(decisions.sha256,), notes=decisions.notes)
    progress(1.0, "every decision is a group")
    return snapshot


def scored(row: Row) -> Row:
    """A line as a group of one logged completion."""
    group = {
        "id": row["id"],
        "prompt": row["prompt"],
        "completions": [row["completion"] + END],
        "rewards": [row["normalized"]],
        "split": row["split"],
        "metadata": {
            "session": row["session"],
            "step": row["step"],
            "session_length": row["session_length"],
            "person": row["person"],
            "logged_at": row["metadata"]["createdAt"],
            "model_version": row["model_version"],
            "policy_version": row["policy_version"],
            "truth": row["truth"],
            "total": row["reward"],
            "confidence": row["confidence"],
            "logged": row["metadata"],
        },
    }
    return group if row["logprobs"] is None else group | {"behaviour": [row["logprobs"]]}


def app_line(group: Row) -> Row:
    """A group of one completion in the shape that the apps' own exports have."""
    known = group["metadata"]
    return {
        "prompt": group["prompt"],
        "completion": group["completions"][0].removesuffix(END),
        "reward": known["total"],
        "confidence": known["confidence"],
        "metadata": known["logged"],
    }


def replay(config: DecisionAgentsConfig, rewards: Snapshot) -> tuple[Row, ...]:
    """Held-out prompts with the logged answers behind them, for the check of an exported file: it reads every token."""
    del config
    held_out = (row for row in read_rows(rewards) if row["split"] == TEST)
    return tuple({"prompt": row["prompt"] + row["completions"][0]} for row in held_out)
