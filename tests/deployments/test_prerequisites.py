"""What a fresh machine is told before anything is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deployments" / "prerequisites.sh"


@pytest.fixture
def machine(tmp_path):
    """A folder that is the whole search path: a Linux on which almost nothing is installed."""
    (tmp_path / "id").symlink_to(shutil.which("id"))
    program(tmp_path, "uname", "#!/bin/sh\necho Linux\n")
    return tmp_path


def check(machine, *words, **environment):
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *words],
        env={"PATH": str(machine)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder, name, text="#!/bin/sh\n"):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("compilers", "chosen"),
    [(("cc", "c++"), {}), (("clang", "clang++"), {}), (("mine",), {"CC": "mine -m64", "CXX": "mine"})],
)
def test_a_complete_machine_gives_its_python(machine, compilers, chosen):
    """The interpreter itself, not a name that may mean another one later; whatever the compiler is called."""
    for name in compilers:
        program(machine, name)
    (machine / "python3").symlink_to(sys.executable)
    done = check(machine, **chosen)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name.startswith("python")


def test_an_old_python_is_named(machine):
    """PYTHON chooses, and one that is too old is not used."""
    program(machine, "python3", "#!/bin/sh\nexit 1\n")
    done = check(machine, PYTHON="python3")
    assert done.returncode == 1
    assert "missing: Python 3.11 or later (python3 is not)" in done.stderr


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


def test_a_mac_without_its_developer_tools_is_told_of_them(machine):
    """There, the commands exist before the compiler does."""
    program(machine, "uname", "#!/bin/sh\necho Darwin\n")
    program(machine, "xcode-select", "#!/bin/sh\nexit 2\n")
    for name in ("cc", "c++"):
        program(machine, name)
    assert check(machine).stderr.splitlines() == [
        "missing: Python 3.11 or later",
        "install: brew install python@3.12",
        "missing: a C/C++ compiler",
        "install: xcode-select --install",
    ]


def test_the_browser_of_the_tests_is_installed_where_apt_get_can(machine):
    """Once, and for the tests alone; where it can't be had, the command is told."""
    for name in ("cc", "c++"):
        program(machine, name)
    (machine / "python3").symlink_to(sys.executable)
    program(machine, "sudo", '#!/bin/sh\nshift; exec "$@"\n')
    program(machine, "apt-get", '#!/bin/sh\necho "$*" >> "$0.log"\n')
    assert check(machine).returncode == 0
    done = check(machine, "browser")
    assert done.returncode == 1
    assert "missing: Chromium, in which the rating page is tested\ninstall: " in done.stderr
    assert done.stderr.endswith("apt-get install -y chromium\n")
    there = (
        '#!/bin/sh\necho "$*" >> "$0.log"\ntest -e "${0%/*}/chromium" || ln -s /bin/sh "${0%/*}/chromium"\n'
    )
    (machine / "ln").symlink_to(shutil.which("ln"))
    program(machine, "apt-get", there)
    done = check(machine, "browser")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name.startswith("python")
    asked = (machine / "apt-get.log").read_text()
    assert check(machine, "browser").returncode == 0
    assert (machine / "apt-get.log").read_text() == asked
