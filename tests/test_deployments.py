"""prefect.yaml and prefect.toml say what they seem to say: Prefect itself accepts most mistakes in silence."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import Settings
from pydantic import BaseModel

from deployments.pool import POOL

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
FILE = yaml.safe_load(TEXT)
DEPLOYMENTS = FILE["deployments"]
KEYS = {
    "name",
    "entrypoint",
    "description",
    "tags",
    "parameters",
    "schedules",
    "work_pool",
    "concurrency_limit",
}
NEEDED = {"name", "entrypoint", "description", "tags", "parameters", "work_pool"}


def flow_of(deployment) -> Flow:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def title(deployment) -> str:
    return f"{deployment['entrypoint'].split('.')[1]}/{deployment['name']}"


each = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=title)


def test_top_level_keys_are_known():
    """No `pull:`: Prefect then stores the folder it was deployed from, so a run finds our packages."""
    assert set(FILE) == {"name", "definitions", "deployments"}


def test_no_environment_templates():
    """An unset `{{ $VARIABLE }}` would be stored as it stands."""
    assert "{{" not in TEXT


@each
def test_keys_are_known(deployment):
    """A misspelt key (`work_pol`) is ignored by Prefect, and the run then waits in another pool for ever."""
    assert set(deployment) <= KEYS
    assert set(deployment) >= NEEDED
    assert deployment["work_pool"] == {"name": POOL}


@each
def test_entrypoint_is_a_flow(deployment):
    """Dotted module paths: a file entrypoint would put flows/ first on the path."""
    assert re.fullmatch(r"flows\.\w+\.\w+", deployment["entrypoint"])
    assert isinstance(flow_of(deployment), Flow)


@each
def test_parameters_are_the_flows(deployment):
    """Values validate, and every name is one of the flow's (an unknown name is accepted by the server)."""
    flow = flow_of(deployment)
    assert set(deployment["parameters"]) <= set(flow.parameters.properties)
    assert set(flow.parameters.required) <= set(deployment["parameters"])
    flow.validate_parameters(deployment["parameters"])


@each
def test_parameters_are_flat(deployment):
    """A run's parameters replace the deployment's whole values, so a default inside a mapping would be lost."""
    assert not any(isinstance(value, dict) for value in deployment["parameters"].values())
    flow = flow_of(deployment)
    annotations = (parameter.annotation for parameter in _signature(flow).values())
    assert not any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in annotations)


@each
def test_choices_are_drop_downs(deployment):
    """The form offers use case, preset and algorithm as choices, not as free text."""
    flow = flow_of(deployment)
    schema = flow.parameters.model_dump()
    for name in {"use_case", "preset", "algorithm"} & set(schema["properties"]):
        assert "enum" in _resolved(schema["properties"][name], schema["definitions"]), name


@each
def test_schedules_are_kept_when_paused(deployment):
    """A slug and no `active`: deployed again, a schedule that a person paused stays paused."""
    for schedule in deployment.get("schedules", ()):
        assert set(schedule) == {"slug", "cron", "timezone"}
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])


@each
def test_limits_make_runs_wait(deployment):
    """Where runs may not overlap, the second waits for the first instead of being cancelled."""
    limit = deployment.get("concurrency_limit")
    assert limit in (None, {"limit": 1, "collision_strategy": "ENQUEUE"})


def test_names_are_unique():
    """A flow's deployments differ in name, or one would replace the other."""
    titles = [title(deployment) for deployment in DEPLOYMENTS]
    assert len(titles) == len(set(titles))


def test_flow_names_are_those_of_the_entrypoints():
    """`prefect deployment run train/grpo` is flows.train.train, and fantasy_draft is called fantasy-draft."""
    for deployment in DEPLOYMENTS:
        assert flow_of(deployment).name == deployment["entrypoint"].split(".")[1].replace("_", "-")


def test_a_second_terminal_finds_the_server():
    """The address that commands read from prefect.toml is the one that the server takes from it."""
    settings = tomllib.loads((ROOT / "prefect.toml").read_text(encoding="utf-8"))
    server = settings["server"]["api"]
    assert settings["api"]["url"] == f"http://{server['host']}:{server['port']}/api"
    assert server["host"] == "127.0.0.1"


def test_settings_are_known_to_prefect():
    """An unknown key in prefect.toml is ignored by Prefect."""
    settings = tomllib.loads((ROOT / "prefect.toml").read_text(encoding="utf-8"))
    assert list(unknown_keys(Settings, settings)) == []


def unknown_keys(model, values, prefix=""):
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            yield prefix + key
        elif isinstance(value, dict):
            yield from unknown_keys(field.annotation, value, f"{prefix}{key}.")


def _signature(flow: Flow):
    return inspect.signature(flow.fn).parameters


def _resolved(schema, definitions):
    """A parameter's schema, behind the reference that an enum is."""
    for part in (schema, *schema.get("allOf", ()), *schema.get("anyOf", ())):
        if reference := part.get("$ref"):
            return definitions[reference.rsplit("/", 1)[-1]]
    return schema
