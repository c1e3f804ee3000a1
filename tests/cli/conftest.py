"""The command line, run in the test's own process, and models to merge."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from negmerge.cli.main import main
from tests.support.command_line import Command, Done
from tests.support.faulty import Faulty, faulty


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts back the signal handlers that the command line sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def negmerge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signals: None) -> Command:
    """Runs the command line in this process, which spares each test the import of torch."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["negmerge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No service is known, and the file of ``login`` would lie in a folder of the test's own."""
    for name in ("NEGMERGE_URL", "NEGMERGE_API_KEY", "NEGMERGE_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """A server that answers as it is told, and that the environment names."""
    with faulty() as told:
        monkeypatch.setenv("NEGMERGE_URL", told.url)
        monkeypatch.setenv("NEGMERGE_API_KEY", "nm_1_secret")
        yield told


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """base, a and b: agree on the first element, disagree on the second; b leaves the third untouched."""
    save_file({"w": torch.tensor([1.0, 1.0, 1.0])}, tmp_path / "base.safetensors")
    save_file({"w": torch.tensor([1.5, 0.5, 2.0])}, tmp_path / "a.safetensors")
    save_file({"w": torch.tensor([2.0, 1.5, 1.0])}, tmp_path / "b.safetensors")
    return tmp_path
