"""The champion pointer by hand, through the flows: only evidence moves it, and the served names follow."""

import json
from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from core.checkpoint import Checkpoint
from core.evaluation import Contest, EvaluationSettings, evaluate
from core.exporting.aliases import releases_folder
from core.exporting.publish import publish_folder
from core.exporting.results import Release
from core.promotion import ReleaseCheck
from core.served_names import follow_champion
from core.store.registry import champion, record_evaluation, record_release, record_run
from core.store.registry import rollback as pointer_back
from flows.promotion import history, promote, rollback

SLOT = ("fantasy_draft", "default")
UNTRAINED = Checkpoint(kind="base", path="/base", sha256="b" * 64, base_model="tiny", method="untrained")


def adapter(letter: str) -> Checkpoint:
    return Checkpoint(
        kind="adapter",
        path=f"/{letter}",
        sha256=letter * 64,
        base_model="tiny",
        method="sft",
        parents=("rows",),
    )


def evaluated(candidate, incumbent, *, ahead=(0.3, 0.1), slot="default") -> str:
    """A recorded evaluation's id."""
    rows = Contest(
        policies=("candidate", "incumbent"),
        items=tuple(map(str, range(40))),
        clusters_I=np.arange(40),
        values={"win": np.stack([np.tile(ahead, 20), np.zeros(40)])},
    )
    found = evaluate(rows, EvaluationSettings(primary_metric="win"), {"slot": slot, "of": candidate.sha256})
    record_evaluation("chain", found, {"candidate": candidate, "incumbent": incumbent})
    return found.id


def released(checkpoint, *formats, check=ReleaseCheck.VERIFIED) -> Release:
    """A recorded release with real files, published under the checkpoint's letter."""
    published = []
    for format_ in formats:
        stage = releases_folder() / f".stage-{format_}"
        stage.mkdir(parents=True)
        (stage / "weights").write_text(checkpoint.sha256)
        published.append(publish_folder(stage, releases_folder(), checkpoint.sha256[0], format_, {}))
    made = Release(
        name="n",
        check=check,
        reason="",
        sha256=f"{checkpoint.sha256[:8]}-{'-'.join(formats)}",
        parameters=1,
        parity_kl=0.0,
        signal_kl=0.0,
        published=tuple(published),
        seconds={},
    )
    record_release("chain", made, checkpoint.sha256)
    return made


def served() -> dict[str, str]:
    """What the slot's names serve."""
    names = (path for path in releases_folder().glob("fantasy-draft-default-*") if path.is_symlink())
    return {path.name.rpartition("-")[2]: (path / "weights").read_text()[0] for path in names}


def failure(flow, **parameters) -> str:
    state = flow(return_state=True, **parameters)
    assert state.is_failed()
    line = state.message.partition("exception: ")[2]
    assert "\n" not in line
    return line


def table_of(state) -> list[dict]:
    only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(artifact_filter=only)
    assert (artifact.key, artifact.type) == ("overnight-history", "table")
    return json.loads(artifact.data)


@pytest.fixture(autouse=True)
def chain(prefect_server, home, database):
    """A run that evidence can name."""
    record_run(
        run_id="chain", use_case=SLOT[0], preset="demo", config_digest="c", code_revision="k", config={}
    )


def test_a_person_promotes_and_takes_back_and_the_names_follow():
    """Evidence moves the pointer and every served name; a rollback moves both back; the history says who, why and on what."""
    one, two = adapter("1"), adapter("2")
    assert (
        history(*SLOT, return_state=True).message == "nothing was decided about fantasy_draft 'default' yet"
    )

    found = evaluated(one, UNTRAINED)
    first = released(one, "lora", "gguf")
    holder = promote(*SLOT, evaluation=found[:10], by="Ada", reason="looks right")
    assert (holder.checkpoint, holder.release) == (one.sha256, first.sha256)
    assert served() == {"lora": "1", "gguf": "1"}

    evaluated(two, one)
    released(two, "lora")
    promote(*SLOT, checkpoint=two.sha256[:8])
    assert served() == {"lora": "2"}

    state = rollback(*SLOT, reason="worse at night", by="Bo", return_state=True)
    assert state.result().checkpoint == one.sha256
    assert served() == {"lora": "1", "gguf": "1"}
    rollback(*SLOT)
    assert (champion(*SLOT).checkpoint, served()) == (UNTRAINED.sha256, {})

    state = history(*SLOT, return_state=True)
    lines = state.result()
    assert [line.action for line in lines] == ["rolled back", "rolled back", "promoted", "promoted"]
    assert [lines[1].by, lines[3].by] == ["Bo", "Ada"]
    assert lines[1].reason == "rolled back: worse at night"
    assert lines[3].reason.startswith("promoted by hand (looks right), better: candidate minus incumbent")
    rows = table_of(state)
    assert [row["candidate"] for row in rows] == ["b" * 12, "1" * 12, "2" * 12, "1" * 12]
    assert (rows[3]["by"], rows[3]["evaluation"], rows[3]["verdict"]) == ("Ada", found[:12], "better")
    assert len(history(*SLOT, limit=1)) == 1


def test_what_is_missing_is_said_and_moves_nothing():
    """No evidence, a verdict that is not 'better', no verified release, another slot, another incumbent, files that are gone."""
    one, two = adapter("1"), adapter("2")
    assert failure(promote).startswith("PromotionError: a promotion by hand needs evidence: give either")
    assert "there is no evaluation 'abcdef'" in failure(promote, evaluation="abcdef")
    equal = evaluated(two, UNTRAINED, ahead=(0.1, -0.1))
    assert f"evaluation {equal[:12]} found 'cannot tell', and only 'better'" in failure(
        promote, evaluation=equal
    )

    found = evaluated(one, UNTRAINED)
    assert f"{'1' * 12} was never released: run `release/gguf" in failure(promote, evaluation=found)
    released(one, check=ReleaseCheck.NOT_VERIFIED)
    assert "has releases, but they are 'not verified'" in failure(promote, evaluation=found)
    wrong = failure(promote, slot="weekend", evaluation=found)
    assert "was made for fantasy_draft 'default', not for fantasy_draft 'weekend'" in wrong
    files = released(one, "gguf").published[0]
    weights = Path(files.path) / "weights"
    weights.write_text("something else")
    assert "verified release are gone or changed" in failure(promote, checkpoint=one.sha256)
    assert champion(*SLOT) is None

    weights.write_text(one.sha256)
    promote(*SLOT, checkpoint=one.sha256)
    assert "is the champion of fantasy_draft 'default' already" in failure(promote, checkpoint=one.sha256)
    late = evaluated(two, UNTRAINED)
    released(two, "lora")
    assert f"with {'b' * 12}, and {'1' * 12} is in use: evaluate again" in failure(promote, evaluation=late)
    assert [line.action for line in history(*SLOT)] == ["promoted"]


def test_a_slot_is_spelt_as_its_use_case_does_and_one_there_is_not_is_refused():
    assert "decision_agents has no promotion in slot 'filer' to undo" in failure(
        rollback, use_case="decision_agents", slot="FILER"
    )
    for flow in (promote, rollback, history):
        wrong = failure(flow, use_case="decision_agents", slot="default")
        assert "'default' is no agent type: choose one of filer, librarian" in wrong


def test_a_rollback_to_files_that_are_gone_serves_nothing_rather_than_the_wrong_model():
    """The pointer goes back all the same, and the name is dropped."""
    one, two = adapter("1"), adapter("2")
    evaluated(one, UNTRAINED)
    files = released(one, "gguf").published[0]
    promote(*SLOT, checkpoint=one.sha256)
    evaluated(two, one)
    released(two, "gguf")
    promote(*SLOT, checkpoint=two.sha256)
    (Path(files.path) / "weights").unlink()

    assert rollback(*SLOT).checkpoint == one.sha256
    assert served() == {}
    assert "has no promotion in slot 'weekend' to undo" in failure(rollback, slot="weekend")


def test_names_follow_the_pointer_whoever_moved_it_last():
    """A promotion whose names come late, after somebody took it back, serves what is in use and not its own files."""
    one, two = adapter("1"), adapter("2")
    evaluated(one, UNTRAINED)
    released(one, "gguf")
    promote(*SLOT, checkpoint=one.sha256)
    evaluated(two, one)
    released(two, "gguf", "lora")
    promote(*SLOT, checkpoint=two.sha256)
    pointer_back(*SLOT)
    assert served() == {"gguf": "2", "lora": "2"}

    holder, missing = follow_champion(*SLOT)
    assert (holder.checkpoint, missing) == (one.sha256, ())
    assert served() == {"gguf": "1"}
