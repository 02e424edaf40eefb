"""What `make status` says of each part."""

import os

from core.store import server
from deployments import local


def test_a_database_that_is_not_started_is_down(embedded, capsys):
    """Its folder is named all the same, and the whole is not up."""
    assert not local.status()

    (line,) = lines(capsys, "PostgreSQL")
    assert line.split() == ["PostgreSQL", "down", str(embedded / "postgres")]


def test_the_embedded_database_is_listed_with_its_process(embedded, capsys):
    """Since when, which process, and where its files are."""
    server.start()
    assert not local.status()  # no Prefect server, no worker

    (line,) = lines(capsys, "PostgreSQL")
    assert "up since 20" in line
    assert f"process {server.running()} " in line
    assert line.endswith(str(embedded / "postgres"))


def test_a_database_of_the_users_is_listed_without_its_password(home, monkeypatch, capsys):
    """It is not asked whether it answers: a status costs no connection."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "postgresql://ann:secret@db.example:5433/shop")
    local.status()

    (line,) = lines(capsys, "PostgreSQL")
    assert line.split() == ["PostgreSQL", "yours:", "postgresql://ann:***@db.example:5433/shop"]


def test_an_address_that_no_database_can_have_is_one_line(home, monkeypatch, capsys):
    """What to write instead; exit status 1."""
    monkeypatch.setenv("OVERNIGHT_DATABASE_URL", "mysql://ann:secret@host/shop")
    assert local.main(["status"]) == 1

    said = capsys.readouterr().err
    assert said.startswith("error: OVERNIGHT_DATABASE_URL names a database of kind 'mysql': write it as")
    assert said.count(os.linesep) == 1


def lines(capsys, title):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(title)]
