"""What the tests of the service stand on: real servers, started when the first test asks, one set per process."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis

from app.record.db import Database
from app.settings import Settings
from app.store.objects import Store
from tests.support import servers

# Each test process and each worker that it starts computes on one thread: several that fight over two cores take
# many times as long, and the same number everywhere gives the same bits.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What the tests import stays until the end: the collector need not look through it again and again.
gc.disable()

# A slow moment of the machine is no mistake of the code; how long a test may take in all, pytest-timeout says.
hypothesis.register_profile("whole", deadline=None)
hypothesis.register_profile("quick", deadline=None, max_examples=20)
hypothesis.load_profile("whole")

SYSTEMS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]
"""The databases that the record runs on."""

SERVERS = {"postgres_url", "broker_url", "s3"}
"""The fixtures that start a server. Those that ask for one by a parameter mark that parameter."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``server`` what stands on a fixture that starts one, directly or through others."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)


def pytest_collection_finish() -> None:
    """From here on, collect what the tests leave; what was imported before is not looked at again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder with a short name: a Unix socket's path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="nm-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    with servers.postgres(server_folder) as url:
        yield url


@pytest.fixture(scope="session")
def broker_url(server_folder: Path) -> Iterator[str]:
    """The URL of an empty Valkey server."""
    with servers.broker(server_folder) as url:
        yield url


@pytest.fixture(scope="session")
def s3(server_folder: Path) -> Iterator[servers.S3]:
    """An S3 server; its credentials are in this process's environment until the end."""
    folder = server_folder / "s3"
    folder.mkdir()
    with servers.s3(folder, os.environ) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        servers.wait_for_store(Store.open(server.url))
        yield server


@pytest.fixture
def postgres_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a new empty PostgreSQL database, dropped after the test."""
    with servers.new_database(postgres_url) as url:
        yield url


@pytest.fixture(params=SYSTEMS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database without tables, on each of the two systems."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/record.sqlite"
    url: str = request.getfixturevalue("postgres_database_url")
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema and nothing in it, to be copied: a migration takes far longer."""
    file = tmp_path_factory.mktemp("migrated") / "record.sqlite"
    servers.migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[str]:
    """The name of a PostgreSQL database with the newest schema and nothing in it, to be copied."""
    with servers.new_database(postgres_url) as url:
        servers.migrate(url)
        yield url.rpartition("/")[2].partition("?")[0]


@pytest.fixture
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    """A database with the newest schema and nothing in it, in a file."""
    database = Database(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'record.sqlite')}")
    yield database
    database.dispose()


@pytest.fixture
def postgres_database(postgres_url: str, migrated_postgres: str) -> Iterator[Database]:
    """The same on PostgreSQL, where writers wait for each other's rows: on SQLite they wait for the whole database."""
    with servers.new_database(postgres_url, migrated_postgres) as url:
        database = Database(url)
        yield database
        database.dispose()


@pytest.fixture(params=SYSTEMS)
def database(request: pytest.FixtureRequest) -> Database:
    """A database with the newest schema and nothing in it, on each of the two systems."""
    found: Database = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgres_database")
    return found


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, in a folder and on S3."""
    if request.param == "folder":
        return f"file://{tmp_path}/store"
    server: servers.S3 = request.getfixturevalue("s3")
    return servers.new_prefix(server)


@pytest.fixture
def store(store_url: str) -> Store:
    """An empty store."""
    return Store.open(store_url)


@pytest.fixture(params=["embedded", "production"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, broker_url: str) -> Settings:
    """Settings of a whole service over a real broker, with short times and nothing in it yet.

    ``embedded`` is SQLite and a folder, ``production`` is PostgreSQL and S3; neither has tables yet.
    """
    places = {}
    if request.param == "production":
        server: servers.S3 = request.getfixturevalue("s3")
        places["database_url"] = request.getfixturevalue("postgres_database_url")
        places["store_url"] = servers.new_prefix(server)
    return Settings(
        data_dir=tmp_path,
        broker_url=broker_url,
        lease_seconds=2.0,
        renew_seconds=0.4,
        poll_seconds=0.1,
        flush_seconds=0.5,
        **places,
    )
