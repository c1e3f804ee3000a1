"""The operator's page: no word about what is not there."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from app.api.telemetry import Telemetry
from app.commands import cli
from app.record.db import Database
from app.settings import Settings
from tests.support.deployment import ROOT, services

PAGE = (ROOT / "docs/operations.md").read_text()


def test_every_variable_and_file_on_the_page_exists() -> None:
    named = set(re.findall(r"NEGMERGE_([A-Z_]+)", PAGE))
    assert set() < named <= {name.upper() for name in Settings.model_fields}
    paths = re.findall(r"\bdeploy/[a-z.-]+[a-z]", PAGE)
    assert "deploy/env.example" in paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_every_service_is_on_the_page() -> None:
    parts = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", PAGE.split("## Deploy")[0], re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", " ".join(parts))) == set(services())


@pytest.mark.parametrize("line", re.findall(r"python -m app ([^`\n]+)", PAGE))
def test_every_command_on_the_page_is_understood(line: str) -> None:
    command, words = get_command(cli), line.split()
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("app", words)  # raises for an option that it does not know


@pytest.fixture
def metrics(tmp_path: Path) -> str:
    """What /metrics says after one request."""
    database = Database(f"sqlite:///{tmp_path}/record.sqlite")
    database.migrate()
    telemetry = Telemetry(database, alive_seconds=15)
    telemetry.count("POST", "/v1/jobs", 202, 0.01)
    text = telemetry.text().decode()
    database.dispose()
    return text


def test_every_metric_on_the_page_and_in_the_alerts_is_served(metrics: str) -> None:
    alerts = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"][0]["rules"]
    served = set(re.findall(r"^(negmerge_[a-z_]+)", metrics, re.MULTILINE))
    served |= {name.removesuffix("_bucket") for name in served}
    named = re.findall(r"\b(negmerge_[a-z_]+)", " ".join(rule["expr"] for rule in alerts) + PAGE)
    assert set() < set(named) <= served


def test_every_state_that_an_alert_names_is_one(metrics: str) -> None:
    named = re.findall(r'state="([a-z]+)"', (ROOT / "deploy/alerts.yml").read_text())
    assert set() < set(named) <= set(re.findall(r'state="([a-z]+)"', metrics))
