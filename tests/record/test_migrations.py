"""The schema: what the revisions make is what tables.py says, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from app.record.db import Database, alembic_config
from app.record.tables import Job, Partial, Table


def test_the_revisions_make_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate()
    with database.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0010"


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.migrate, databases))
    with databases[0].connect() as connection:
        assert set(Table.metadata.tables) < set(inspect(connection).get_table_names())
    for database in databases:
        database.dispose()


def test_the_revisions_can_be_taken_back(database: Database) -> None:
    with database.connect() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]


NOW = datetime(2026, 11, 27, tzinfo=UTC)
JOB = {"tenant": "acme", "state": "tuning", "queue": "q", "spec_sha256": "0", "meta": {}, "last_event": 0}
JOB |= {"created_by": "key_1", "created_at": NOW, "stacking": 1}
STEP = {"state": "open", "attempts": 0, "keys": []}


@contextmanager
def as_of(database_url: str, revision: str) -> Iterator[sa.Connection]:
    """A connection to the database at an older revision."""
    database = Database(database_url)
    with database.connect() as connection:
        command.upgrade(alembic_config(connection), revision)
        yield connection
    database.dispose()


def insert(connection: sa.Connection, table: str, *rows: dict[str, Any]) -> None:
    """Rows by the columns that the table had then."""
    found = sa.Table(table, sa.MetaData(), autoload_with=connection)
    for row in rows:
        connection.execute(found.insert().values(row))


def steps_of(database_url: str, *columns: str) -> list[tuple[Any, ...]]:
    """The columns of all steps, in the order of jobs, kinds and numbers."""
    database = Database(database_url)
    with database.connect() as connection:
        table = sa.Table("steps", sa.MetaData(), autoload_with=connection)
        order = (table.c.job_id, table.c.kind, table.c.index)
        rows = connection.execute(sa.select(*(table.c[name] for name in columns)).order_by(*order)).all()
    database.dispose()
    return [tuple(row) for row in rows]


def fill_0001(connection: sa.Connection) -> None:
    """A job of two repeats of two points with a rival in each, one without repeats, and a tombstone."""
    insert(
        connection,
        "jobs",
        JOB | {"id": "job_1", "spec": {"repeats": 2}, "points": 4},
        JOB | {"id": "job_2", "spec": {}, "points": 1},
        JOB | {"id": "job_3", "spec": {}, "points": 3, "deleted_at": NOW},
    )
    two = [
        STEP | {"job_id": "job_1", "kind": "point", "index": index, "hyper_parameters": {"epochs": 1}}
        for index in range(4)
    ]
    runs = [{"rival": "retrain", "repeat": 0}, {"rival": "salun", "repeat": 1}]
    two += [
        STEP | {"job_id": "job_1", "kind": "rival", "index": i, "hyper_parameters": run} for i, run in enumerate(runs)
    ]
    one = [STEP | {"job_id": "job_2", "kind": kind, "index": 0} for kind in ("conclude", "point", "prepare")]
    insert(connection, "steps", *two, *one)
    partial = {"job_id": "job_1", "key": "k", "worker": "wrk_1", "updated_at": NOW}
    insert(connection, "partials", partial | {"id": "a", "points": [0, 1]}, partial | {"id": "b", "points": [3]})
    worker = {"id": "wrk_1", "host": "h", "pid": 1, "queue": "q", "device": "cpu", "threads": 1, "stacking": 1}
    insert(connection, "workers", worker | {"started_at": NOW, "seen_at": NOW})


@pytest.mark.slow
def test_rows_of_the_first_revision_get_their_repeats_and_rivals(database_url: str) -> None:
    with as_of(database_url, "0001") as connection:
        fill_0001(connection)
    database = Database(database_url)
    database.migrate()
    database.dispose()
    assert steps_of(database_url, "job_id", "kind", "index", "repeat", "rival") == [
        ("job_1", "point", 0, 0, None),
        ("job_1", "point", 1, 0, None),
        ("job_1", "point", 2, 1, None),
        ("job_1", "point", 3, 1, None),
        ("job_1", "rival", 0, 0, "retrain"),
        ("job_1", "rival", 1, 1, "salun"),
        ("job_2", "conclude", 0, 0, None),
        ("job_2", "point", 0, 0, None),
        ("job_2", "prepare", 0, 0, None),
    ]
    assert [given for (given,) in steps_of(database_url, "hyper_parameters")[:6]] == [{"epochs": 1}] * 4 + [None] * 2
    with as_of(database_url, "head") as connection:
        assert dict(connection.execute(sa.select(Partial.id, Partial.repeat)).all()) == {"a": 0, "b": 1}


@pytest.mark.slow
def test_jobs_begun_before_precision_was_recorded_get_that_of_their_device(database_url: str) -> None:
    job = {name: value for name, value in JOB.items() if name != "stacking"} | {"spec": {}, "points": 1}
    devices = {"job_1": "cpu", "job_2": "cuda", "job_3": None}
    with as_of(database_url, "0009") as connection:
        insert(connection, "jobs", *(job | {"id": one, "device": device} for one, device in devices.items()))
    with as_of(database_url, "head") as connection:
        found = connection.execute(sa.select(Job.precision, Job.bfloat16_by).order_by(Job.id)).all()
        assert [tuple(row) for row in found] == [("float32", None), ("bfloat16", "cuda"), (None, None)]


@pytest.mark.slow
def test_a_revision_taken_back_leaves_the_rows_as_they_were(database_url: str) -> None:
    with as_of(database_url, "0001") as connection:
        fill_0001(connection)
    before = steps_of(database_url, "job_id", "kind", "index", "hyper_parameters")
    database = Database(database_url)
    database.migrate()
    with database.connect() as connection:
        command.downgrade(alembic_config(connection), "0001")
    database.dispose()
    assert steps_of(database_url, "job_id", "kind", "index", "hyper_parameters") == before
    with as_of(database_url, "0001") as connection:
        found = connection.execute(
            sa.text("SELECT stacking FROM workers UNION ALL SELECT stacking FROM jobs")
        ).scalars()
        assert list(found) == [1, 1, 1, 1]
