"""A server that fails as it is told, and no login or variable of whoever runs the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faulty import Faulty, faulty


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service is known, and the file of ``login`` would lie in the test's own folder."""
    for name in ("NEGMERGE_URL", "NEGMERGE_API_KEY", "NEGMERGE_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def server() -> Iterator[Faulty]:
    """A server that answers as it is told."""
    with faulty() as told:
        yield told
