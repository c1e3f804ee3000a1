"""What each way in loads before it does anything, by ``-X importtime``: nothing that it does not need."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.record.db import Database
from app.settings import Settings
from tests.support import records

HEAVY = {"torch", "numpy", "scipy", "PIL", "torchvision", "timm", "open_clip", "sklearn", "matplotlib", "transformers"}
SERVICE = {"sqlalchemy", "alembic", "celery", "kombu", "redis", "obstore", "fastapi", "uvicorn", "structlog"}
MODELS = {"torchvision", "timm", "open_clip", "sklearn", "scipy", "matplotlib", "transformers", "huggingface_hub"}
OTHERS_OF_A_WORKER = {"alembic", "fastapi", "uvicorn", "jinja2", "PIL", "httpx", "sympy"}  # sympy: torch's compiler

_IMPORT = re.compile(r"^import time:[ \d]+\|[ \d]+\| *(\S+)$", re.MULTILINE)


def roots(told: str) -> set[str]:
    """The packages of which anything was loaded, as ``-X importtime`` tells it."""
    return {name.partition(".")[0] for name in _IMPORT.findall(told)}


def loaded(*words: str) -> set[str]:
    """What Python loads for these words, to its end."""
    command = [sys.executable, "-X", "importtime", *words]
    return roots(subprocess.run(command, capture_output=True, text=True, check=True).stderr)


@pytest.mark.parametrize("words", [["--help"], ["merge", "--help"], ["run", "--help"], ["jobs", "--help"]])
def test_help_loads_no_torch_and_nothing_of_the_service(words: list[str]) -> None:
    found = loaded("-m", "negmerge", *words)
    assert "typer" in found
    assert found & (HEAVY | SERVICE | {"httpx", "yaml", "jinja2"}) == set()


def test_up_loads_what_it_asks_the_record_with_and_none_of_its_parts() -> None:
    found = loaded("-c", "import app.commands, app.embedded.up")
    assert {"sqlalchemy", "httpx"} <= found
    assert found & (HEAVY | SERVICE - {"sqlalchemy", "structlog"}) == set()


def test_the_api_loads_no_torch_no_broker_and_no_migrations() -> None:
    found = loaded("-c", "import app.main")
    assert "fastapi" in found
    assert found & (HEAVY - {"PIL"} | {"alembic", "celery", "kombu", "redis", "uvicorn"}) == set()


@pytest.mark.server
def test_a_worker_claims_its_first_step_before_it_loads_what_only_steps_need(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    database = Database(settings.database_url)
    database.migrate()
    records.make_job(database)
    database.dispose()
    told = before_the_first_step(tmp_path)
    assert {"torch", "sqlalchemy", "obstore"} <= roots(told)
    assert roots(told) & (MODELS | OTHERS_OF_A_WORKER) == set()


def before_the_first_step(data_dir: Path) -> str:
    """What a worker with ``-X importtime`` says until its log says that a step begins."""
    output = data_dir / "output"
    environment = os.environ | {"NEGMERGE_DATA_DIR": str(data_dir), "NEGMERGE_DEVICE": "cpu"}
    with output.open("wb") as file:
        command = [sys.executable, "-X", "importtime", "-m", "worker"]
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 120
        while "step begins" not in (told := output.read_text()):
            assert process.poll() is None, told
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    return told.partition('"step begins"')[0]
