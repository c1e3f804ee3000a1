"""The database: SQLite or PostgreSQL behind two context managers, and its clock.

``read`` and ``write`` are one transaction each. A writer on SQLite takes the write lock at the start
(``BEGIN IMMEDIATE``), so that it never fails halfway; on PostgreSQL writers lock rows (``lifecycle.lock``). Do no
I/O and no computing inside ``write``: on SQLite everybody else waits. PostgreSQL ends a transaction that does
nothing for ``idle_seconds``, so a process that stopped in the middle of one lets go of its locks (see
``docs/decisions/leases.md``).
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, DateTime, create_engine, event, func, text, type_coerce
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from alembic.config import Config

AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What a database raises that is away, or that ended a session: the same transaction may succeed another time.

Its other errors (a value that it does not take, a table that is not there) are mistakes, and come again.
"""

IDLE_SECONDS = 5.0
"""How long a transaction may do nothing on PostgreSQL: a third of the lease that the settings give by default."""

_SILENT_SECONDS = 10
"""After so long without a sign of life a connection to PostgreSQL is given up; TCP alone would wait for hours."""

BUSY_SECONDS = 30
"""How long a writer on SQLite waits for another one."""

_MIGRATION_LOCK = 7203391055
"""Any fixed number: the PostgreSQL advisory lock under which one process migrates and the others wait."""


class Database:
    """The record's database. Connections are made at first use; one object serves many threads.

    ``url`` is ``sqlite:///FILE`` or ``postgresql://…`` (the driver is psycopg 3 in either spelling). Raises
    ValueError for another one, without repeating it: it may hold a password.

    idle_seconds: how long a transaction may do nothing on PostgreSQL; below the lease, so that whoever waits for
    its locks can still renew in time.
    """

    def __init__(self, url: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._engine = _engine(url, idle_seconds)
        self._writing = self._engine.execution_options(negmerge_begin="BEGIN IMMEDIATE")

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads. What it loaded stays usable afterwards."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end of the block, or rolls back on any exception."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            session.connection()  # begins now: on SQLite the write lock comes before the first read
            yield session

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a writing transaction, for what the ORM does not do: changes of the schema."""
        with self._writing.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema to the newest revision. Processes that start together wait for the first one."""
        from alembic import command  # here, because the API must start fast and rarely migrates

        if self.dialect == "sqlite" and self._engine.url.database:
            Path(self._engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        with self.connect() as connection:
            if self.dialect == "postgresql":
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # a revision may compute
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            command.upgrade(alembic_config(connection), "head")

    def dispose(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def alembic_config(connection: Connection) -> "Config":
    """Alembic's settings, without an ini file: the folder of revisions, and the connection to run them on."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def now(session: Session) -> datetime:
    """The database's own clock, in UTC: the only clock that leases are measured by.

    Not the start of the transaction: a writer may have waited for a lock since then.
    """
    if session.get_bind().dialect.name == "sqlite":
        stamp = session.execute(text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")).scalar_one()
        return datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)
    moment: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def clock(session: Session) -> ColumnElement[datetime]:
    """The same clock, to be read in a query; on SQLite to a millisecond, as text with as many digits as a column's."""
    if session.get_bind().dialect.name == "sqlite":
        return type_coerce(func.strftime("%Y-%m-%d %H:%M:%f000", "now"), DateTime)
    return func.clock_timestamp(type_=DateTime(timezone=True))


def _engine(url: str, idle_seconds: float) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() != "postgresql":
        raise ValueError("NEGMERGE_DATABASE_URL must begin with sqlite:/// or postgresql://")
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args=_postgresql_options(parsed, idle_seconds),
    )


def _postgresql_options(url: URL, idle_seconds: float) -> dict[str, Any]:
    """What libpq is told besides the URL, whose own parameters count more."""
    given = dict(url.query)
    silence = {
        "connect_timeout": _SILENT_SECONDS,
        "keepalives_idle": _SILENT_SECONDS // 2,
        "keepalives_interval": 1,
        "keepalives_count": _SILENT_SECONDS // 2,
        "tcp_user_timeout": _SILENT_SECONDS * 1000,
    }
    idle = f"-c idle_in_transaction_session_timeout={round(idle_seconds * 1000)} {given.get('options', '')}"
    return {name: value for name, value in silence.items() if name not in given} | {"options": idle.strip()}


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Transactions begin where SQLAlchemy says, readers do not block the writer, foreign keys hold."""
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # a job that was answered with 202 survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn on the write-ahead log, once for the life of the file.

    While another process writes to a new file, SQLite refuses this at once, whatever the timeout: so wait here.
    """
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("negmerge_begin", "BEGIN"))
