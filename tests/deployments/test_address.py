"""Which port, who holds it, and what the processes behind it get to know."""

import os
import re
import socket

import pytest

from core.errors import ConfigError, ServiceError
from deployments.address import Address, chosen_port, need_free, usual_port


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in ("OVERNIGHT_PORT", "PREFECT_SERVER_API_PORT", "PREFECT_API_URL", "PREFECT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))


def test_the_usual_port_is_in_prefect_toml():
    """A second terminal needs no export for it."""
    assert chosen_port() is None
    assert usual_port() == 4200
    assert Address(4200).prefix() == ""
    assert Address(4300).prefix() == "PREFECT_API_URL=http://127.0.0.1:4300/api "


def test_our_variable_wins_over_prefects(monkeypatch):
    """OVERNIGHT_PORT first, then PREFECT_SERVER_API_PORT."""
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "4301")
    assert chosen_port() == 4301
    monkeypatch.setenv("OVERNIGHT_PORT", "4302")
    assert chosen_port() == 4302


@pytest.mark.parametrize("value", ["abc", "0", "65536", "-1", "4200.0"])
def test_no_port(monkeypatch, value):
    """What is no port is named with its variable."""
    monkeypatch.setenv("OVERNIGHT_PORT", value)
    with pytest.raises(ConfigError, match=f"OVERNIGHT_PORT={re.escape(value)} is no port"):
        chosen_port()


def test_a_port_in_use_is_one_clear_line():
    """The line names the port, who holds it, and how to choose another."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError) as caught:
            need_free(port)
    line = str(caught.value)
    assert f"port {port} of 127.0.0.1 is in use" in line
    assert f"process {os.getpid()}" in line
    assert "OVERNIGHT_PORT=" in line
    assert "\n" not in line
    need_free(port)


def test_nobody_there_is_not_healthy():
    """A port that nobody answers on is no server, and no error either."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert not Address(probe.getsockname()[1]).healthy()


def test_a_stranger_is_not_healthy():
    """Another program's web server is not taken for ours."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        stranger.settimeout(5)
        assert Address(port).get("/health", timeout=0.2) == (0, b"")


def test_environment_is_loopback_and_our_own(monkeypatch, tmp_path):
    """Another Prefect's profile, key, address and host don't reach in; nothing is reported; no proxy is asked."""
    foreign = {
        "PREFECT_PROFILE": "cloud",
        "PREFECT_API_KEY": "pnu_x",
        "PREFECT_API_URL": "https://example.com/api",
        "PREFECT_UI_API_URL": "https://example.com/api",
        "PREFECT_SERVER_API_HOST": "0.0.0.0",
        "NO_PROXY": "intranet",
        "WANDB_API_KEY": "kept",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    found = Address(4305).environment()
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4305/api"
    assert found["PREFECT_SERVER_API_PORT"] == "4305"
    assert found["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert found["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert found["DO_NOT_TRACK"] == "1"
    assert found["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert found["WANDB_API_KEY"] == "kept"
    assert not {"PREFECT_PROFILE", "PREFECT_API_KEY", "PREFECT_UI_API_URL"} & set(found)
