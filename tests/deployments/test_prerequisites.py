"""What a fresh machine is told before anything is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deployments" / "prerequisites.sh"


@pytest.fixture
def machine(tmp_path):
    """A folder that is the whole search path: a system on which almost nothing is installed."""
    for tool in ("id", "uname"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    return tmp_path


def check(machine, **environment):
    return subprocess.run(
        ["/bin/sh", str(SCRIPT)],
        env={"PATH": str(machine)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder, name, text="#!/bin/sh\n"):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_a_complete_machine_gives_its_python(machine):
    """The interpreter itself, not a name that may mean another one later."""
    for name in ("cc", "c++", "xcode-select"):
        program(machine, name)
    (machine / "python3").symlink_to(sys.executable)
    done = check(machine)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name.startswith("python")


def test_an_old_python_is_named(machine):
    """PYTHON chooses, and one that is too old is not used."""
    program(machine, "python3", "#!/bin/sh\nexit 1\n")
    done = check(machine, PYTHON="python3")
    assert done.returncode == 1
    assert "missing: Python 3.11 or later (python3 is not)" in done.stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has its own command")
def test_each_missing_piece_comes_with_its_command(machine):
    """All of it at once, in the words of this system's package manager."""
    program(machine, "apt-get")
    done = check(machine)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "missing: Python 3.11 or later"
    assert lines[1].endswith("apt-get install -y python3.11 python3.11-venv")
    assert lines[2] == "missing: a C/C++ compiler"
    assert lines[3].endswith("apt-get install -y gcc g++")
