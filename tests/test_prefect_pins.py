"""Combinations of Prefect's dependencies that install without complaint and don't work."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FAILS = {
    "fastapi": "0.165.0",  # the server can't be imported
    "sqlalchemy": "2.1.9",  # the server runs, and no schedule ever fires
    "prefect": "3.9.0",  # not tried
}


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [Requirement(text) for text in project["dependencies"]]
    return {requirement.name.lower(): requirement for requirement in found}


@pytest.mark.parametrize(("package", "broken"), FAILS.items())
def test_versions_that_fail_are_refused(package, broken):
    """pyproject.toml keeps pip away from what is known to fail, and what is installed is allowed."""
    allowed = requirements()[package].specifier
    assert not allowed.contains(broken)
    assert allowed.contains(version(package))


def test_constraints_hold_versions_that_pyproject_allows():
    """The pinned environment and the stated ranges don't contradict each other."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-"))]
    wanted = requirements()
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "==", f"{pin.name} is not pinned to one version"
        if pin.name.lower() in wanted:
            assert wanted[pin.name.lower()].specifier.contains(Version(exact.version)), pin.name


def test_the_server_can_be_imported(tmp_path):
    """The client imports with a FastAPI that the server fails on, so the client proves nothing."""
    done = subprocess.run(
        [sys.executable, "-c", "import prefect.server.api.server"],
        env=os.environ | {"PREFECT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
