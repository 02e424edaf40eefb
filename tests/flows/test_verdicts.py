"""Each verdict once, from real play to the champion pointer: only 'better' with a verified export moves it."""

import json

import numpy as np
import pytest
from prefect import flow

import flows.improve
from core.checkpoint import Checkpoint, weights_digest
from core.errors import ExportError
from core.evaluation import Contest, EvaluationSettings, Verdict, evaluate
from core.exporting.results import Release
from core.files import digest
from core.promotion import ReleaseCheck
from core.store.engine import transaction
from core.store.registry import champion, history, record_release
from core.store.tables import RunRow
from core.use_cases.fantasy_draft.config import OpponentField
from core.use_cases.fantasy_draft.league import play as play_leagues
from core.use_cases.fantasy_draft.policies import greedy_vor, random_legal, vona
from core.use_cases.fantasy_draft.synthetic import SyntheticPlayers
from tasks.evaluate import evaluate as evaluate_stage
from tasks.evaluate import play
from tasks.open import open_run
from tasks.promote import promote

EASY = {"field.casual_share": 0.6, "field.sharp_share": 0.0, "field.noise": 1.5}
GOOD, BROKEN = "ABCDEFGH", "HGFEDCBA"
"""A model that likes the first lines of the shortlist, which are the best players, and one that likes the last."""


def given(folder) -> Checkpoint:
    return Checkpoint(
        kind="merged", path=str(folder), sha256=weights_digest(folder), base_model=str(folder), method="given"
    )


def released(candidate, check) -> Release:
    """What an export leaves behind, without the export."""
    return Release(
        name="files",
        check=check,
        reason="as exported",
        sha256=digest(candidate.sha256, check),
        parameters=1,
        parity_kl=0.0,
        signal_kl=0.5,
        published=(),
        seconds={},
    )


@flow
def decide(overrides, candidate, check):
    """The end of the chain: a model is there, and its export."""
    run = open_run("fantasy_draft", "demo", overrides)
    played = play(run, candidate)
    evaluation = evaluate_stage(run, played)
    files = released(candidate, check)
    record_release(run.id, files, candidate.sha256)
    return promote(run, candidate, played, evaluation, files)


def overrides_of(model, leagues, seasons):
    plan = {"players.source": "synthetic", "contest.leagues": leagues, "contest.seasons": seasons}
    return {**plan, **EASY, "model": str(model)}


@pytest.mark.slow
def test_only_better_and_verified_moves_the_champion(prefect_server, home, database, letter_model):
    """Against the untrained model, then against the champion it became: better, cannot tell, not better."""
    good, broken = given(letter_model(GOOD)), given(letter_model(BROKEN))
    overrides = overrides_of(broken.path, 12, 32)

    kept = decide(overrides, good, ReleaseCheck.NOT_VERIFIED)
    assert (kept.verdict, kept.promoted, kept.incumbent) == (Verdict.BETTER, False, broken.sha256)
    assert kept.reason.startswith("incumbent kept, the release is not verified; better: ")
    assert champion("fantasy_draft", "default") is None

    moved = decide(overrides, good, ReleaseCheck.VERIFIED)
    assert (moved.verdict, moved.promoted) == (Verdict.BETTER, True)
    holder = champion("fantasy_draft", "default")
    assert (holder.checkpoint, holder.release) == (good.sha256, moved.release)

    few = decide(overrides_of(broken.path, 12, 1), given(letter_model("BACDEFGH")), ReleaseCheck.VERIFIED)
    assert (few.verdict, few.promoted, few.incumbent) == (Verdict.CANNOT_TELL, False, good.sha256)

    worse = decide(overrides, broken, ReleaseCheck.VERIFIED)
    assert (worse.verdict, worse.promoted, worse.incumbent) == (Verdict.NOT_BETTER, False, good.sha256)
    assert champion("fantasy_draft", "default") == holder

    actions = [decision.action for decision in history("fantasy_draft", "default")]
    assert actions == ["kept", "kept", "promoted", "kept"]
    assert all(
        decision.config_digest and decision.code_revision for decision in history("fantasy_draft", "default")
    )
    other_slot = decide(overrides | {"slot": "weekend"}, good, ReleaseCheck.VERIFIED)
    assert (other_slot.incumbent, other_slot.promoted) == (broken.sha256, True)


def of_scripts(candidate, incumbent, leagues, seasons) -> Contest:
    """Two scripted drafters in the same leagues of an easy field."""
    field = OpponentField(casual_share=0.6, sharp_share=0.0, noise=1.5)
    tables = [
        play_leagues(policy, leagues, seasons, 7, SyntheticPlayers(), field).simulated.titles_L_K
        for policy in (candidate, incumbent)
    ]
    return Contest(
        policies=("candidate", "incumbent"),
        items=tuple(f"L{league}-S{season}" for league in range(leagues) for season in range(seasons)),
        clusters_I=np.repeat(np.arange(leagues), seasons),
        values={"title": np.stack([table.ravel() for table in tables]).astype(float)},
    )


@pytest.mark.parametrize(
    ("candidate", "incumbent", "leagues", "seasons", "verdict"),
    [
        (vona, greedy_vor, 96, 16, Verdict.BETTER),
        (random_legal, greedy_vor, 96, 16, Verdict.NOT_BETTER),
        (vona, greedy_vor, 12, 1, Verdict.CANNOT_TELL),
        (vona, vona, 24, 4, Verdict.CANNOT_TELL),
    ],
)
def test_scripts_get_the_verdict_they_deserve(candidate, incumbent, leagues, seasons, verdict):
    """VONA beats greedy VOR, random does not, and twelve leagues or a policy against itself can't tell."""
    contest = of_scripts(candidate, incumbent, leagues, seasons)
    found = evaluate(contest, EvaluationSettings(primary_metric="title"), {})
    assert found.verdict is verdict
    assert found.reason


def test_a_release_that_fails_is_what_the_report_begins_with(prefect_server, home, database, monkeypatch):
    """A better model that could not be exported: title, first line and summary say so, and the run has failed."""
    better = evaluate(of_scripts(vona, greedy_vor, 96, 16), EvaluationSettings(primary_metric="title"), {})

    def refused(*_given):
        raise ExportError("q8_0 is not the model")

    stages = {"snapshot": None, "train": None, "play": None, "evaluate": better}
    for name, made in stages.items():
        monkeypatch.setattr(flows.improve, name, lambda *_given, made=made, **_options: made)
    monkeypatch.setattr(flows.improve, "release", refused)

    @flow
    def chain():
        flows.improve.improve(open_run("fantasy_draft", "demo"), None, ("sft",))

    with pytest.raises(ExportError):
        chain()
    (folder,) = (home / "runs").iterdir()
    report = (folder / "report.md").read_text()
    assert report.startswith(
        "# Fantasy draft: better, but the run failed\n\n**Failed: q8_0 is not the model**"
    )
    assert json.loads((folder / "summary.json").read_text())["reason"] == "q8_0 is not the model"
    with transaction() as session:
        assert session.get(RunRow, folder.name).status == "failed"
