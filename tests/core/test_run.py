"""A stage's folder is addressed by what goes into it; a run's folder says what was asked for."""

import json
import subprocess
import threading

import pytest

from core import run as run_module
from core.errors import ConfigError
from core.run import code_revision, open_run
from core.use_cases import use_case_named

DRAFT = use_case_named("fantasy_draft")


@pytest.fixture
def run(home):
    """A run of the demo."""
    return open_run("r1", DRAFT, "demo")


def test_opening_a_run_writes_down_every_setting(run, home):
    """The resolved config holds defaults, preset and overrides; the digest follows any of them."""
    other = open_run("r2", DRAFT, "demo", {"reward.boards": 5})
    resolved = json.loads((home / "runs" / "r2" / "config.resolved.json").read_text())
    assert resolved["reward"] == {"boards": 5, "name": "roster_value"}
    assert resolved["sft"]["scheduler"] == "linear"
    assert resolved["collect"]["examples"] == 400
    assert run.config_digest != other.config_digest
    assert run.config_digest == open_run("r3", DRAFT, "demo").config_digest


def test_a_wrong_setting_leaves_no_run_folder(home):
    """Validation comes before the first write."""
    with pytest.raises(ConfigError, match=r"unknown key 'grpo\.lr'"):
        open_run("r1", DRAFT, "demo", {"grpo.lr": 1})
    assert not (home / "runs").exists()


def test_a_stage_is_addressed_by_all_that_decides_its_result(run):
    """Name, version, settings and inputs each give another folder; the same give the same, whichever run asks."""
    settings = run.settings("reward", "collect")
    stage = run.stage("reward", 1, settings, "abc")
    others = [
        run.stage("other", 1, settings, "abc"),
        run.stage("reward", 2, settings, "abc"),
        run.stage("reward", 1, run.settings("reward"), "abc"),
        run.stage("reward", 1, settings, "abd"),
    ]
    assert len({each.key for each in (stage, *others)}) == 5
    assert open_run("r2", DRAFT, "demo").stage("reward", 1, settings, "abc") == stage


def test_a_setting_of_another_section_does_not_move_a_stage(run):
    """What the contest is told doesn't make rows be collected anew."""
    other = open_run("r2", DRAFT, "demo", {"contest.leagues": 12})
    sections = DRAFT.reads["collect"]
    assert other.stage("collect", 1, other.settings(*sections)) == run.stage(
        "collect", 1, run.settings(*sections)
    )


def test_a_day_moves_what_is_drawn_and_nothing_else(run):
    """Another day is another seed and another place for rows, rewards and contest; the same day is the same."""
    days = [open_run(f"d{day}", DRAFT, "demo", {"as_of": f"2026-11-{day}"}) for day in (16, 23)]
    assert days[0].config.seed_of_day(7) != days[1].config.seed_of_day(7) != 7
    assert run.config.seed_of_day(7) == 7
    for name in ("collect", "reward", "contest"):
        stages = {each.stage(name, 1, each.settings(*DRAFT.reads[name])) for each in (run, *days)}
        assert len(stages) == 3
    assert days[0].settings("sft", "adapter") == days[1].settings("sft", "adapter")


def test_a_stage_is_finished_only_when_it_says_so(run):
    """Files in the folder are no result; what was left is read back."""
    stage = run.stage("collect", 1)
    with stage.locked() as folder:
        (folder / "rows.jsonl").write_text("{}")
        assert stage.result() is None
        stage.finish({"record": {"a": 1}, "seconds": 2.0})
    assert stage.result() == {"record": {"a": 1}, "seconds": 2.0}


def test_a_locked_stage_makes_others_wait(run):
    """The second enters after the first has left, not before."""
    stage, order, inside = run.stage("collect", 1), [], threading.Event()

    def second():
        inside.wait()
        with stage.locked():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with stage.locked():
        inside.set()
        thread.join(0.3)
        assert thread.is_alive()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_run_links_to_the_stages_it_used(run):
    """Linked again, it points to the newer one."""
    for version in (1, 2):
        stage = run.stage("collect", version)
        with stage.locked():
            run.link(stage)
        assert (run.folder / "collect").resolve() == stage.folder.resolve()


def test_the_code_revision_marks_a_changed_checkout(tmp_path, monkeypatch):
    """A commit's digest, '+' when a file differs from it, 'unknown' outside a checkout."""
    monkeypatch.setattr(run_module, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_revision() == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    clean = code_revision()
    (tmp_path / "file").write_text("2")
    assert len(clean) == 12
    assert code_revision() == f"{clean}+"


def test_a_part_of_a_run_is_about_one_slot(run):
    """Its own config, folder and stages, under the run's; a slot without a name is refused."""
    part = run.of("second")
    assert part.folder == run.folder / "second"
    assert (part.id, part.config.slot, run.config.slot) == (run.id, "second", "default")
    assert (part.folder / "config.resolved.json").is_file()
    with pytest.raises(ConfigError, match="part ' '"):
        run.of(" ")
