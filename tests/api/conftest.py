"""The application that most tests of the API ask: one for each test on both kinds of servers, or one for a module."""

from collections.abc import Iterator

import pytest

from app.settings import Settings
from tests.support.api_client import Api, serving


@pytest.fixture
def both(settings: Settings) -> Iterator[Api]:
    """The application on SQLite with a folder, and on PostgreSQL with S3."""
    with serving(settings) as served:
        yield served


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    """An application whose data folder is an allowed root too; a module that needs other settings has its own."""
    folder = tmp_path_factory.mktemp("api")
    with serving(Settings(data_dir=folder, broker_url=broker_url, allowed_roots=[folder])) as served:
        yield served
