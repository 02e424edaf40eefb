"""Debian's package index as a stack of documents to be filed."""

import gzip
import lzma
from datetime import timedelta

import pytest

from core.errors import ConfigError, SourceError
from core.use_cases.decision_agents.config import PackageSettings
from core.use_cases.decision_agents.desk import NO_DAY
from core.use_cases.decision_agents.packages import Package, package_rows, read_packages

INDEX = """\
Package: chess
Section: games
Description: play chess
 against a friend
Tag: a::b,
 c::d

Package: mailer
Section: contrib/mail
Description: sends letters: many

Package: chess
Section: games
Description: an older one

Package: nowhere
Description: has no section

Package: odd
Section: two words
Description: has no folder's name

Package: solitaire
Section: games
Description: play alone
"""


@pytest.fixture
def index(tmp_path):
    file = tmp_path / "Packages"
    file.write_text(INDEX)
    return file


def test_an_index_is_read_plain_or_packed(index, tmp_path):
    """Folded lines belong to their field, the first of a name stands, what has no section or text is no document."""
    expected = [
        Package("chess", "games", "play chess against a friend"),
        Package("mailer", "mail", "sends letters: many"),
        Package("solitaire", "games", "play alone"),
    ]
    (tmp_path / "Packages.gz").write_bytes(gzip.compress(INDEX.encode()))
    (tmp_path / "Packages.xz").write_bytes(lzma.compress(INDEX.encode()))
    for name in ("Packages", "Packages.gz", "Packages.xz"):
        assert list(read_packages(tmp_path / name)) == expected


def test_a_file_that_is_no_index_is_one_clear_error(tmp_path, index):
    """Absent, cut short, of another kind, and without the sections that were asked for."""
    (tmp_path / "cut.gz").write_bytes(gzip.compress(INDEX.encode())[:40])
    (tmp_path / "letter").write_text("Dear Sir")
    for name in ("absent", "cut.gz", "letter"):
        with pytest.raises(SourceError, match="apt-cache dumpavail"):
            list(read_packages(tmp_path / name))
    with pytest.raises(ConfigError, match="no packages of section fonts"):
        list(package_rows(PackageSettings(file=index, sections=("games", "fonts")), NO_DAY))


def test_each_day_files_the_next_packages(index):
    """Two a day: the second day the third and last; the right answer is the section, however the clerk filed it."""
    settings = PackageSettings(file=index, sections=("games", "mail"), decisions=2, silent=0.0)
    first, second = (list(package_rows(settings, NO_DAY + timedelta(days=day))) for day in (0, 1))
    assert {row["external_id"] for row in first + second} == {"chess", "mailer", "solitaire"}
    assert (len(first), len(second)) == (2, 1)
    sections = {package.name: package.section for package in read_packages(index)}
    for row in first + second:
        wanted = {"opus": sections[row["external_id"]]}
        assert (row["correction"] or row["action"]) == wanted
        assert (row["feedback"] == "CONFIRMED") == (row["action"] == wanted)
        assert sections[row["external_id"]] not in row["state"]["item"]["title"]
        assert {"name": wanted["opus"]} in row["state"]["availableOpuses"]
    both = list(package_rows(settings.model_copy(update={"days": 2}), NO_DAY + timedelta(days=1)))
    assert both == first + second
