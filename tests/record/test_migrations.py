"""The schema: what the revisions make is what tables.py says, on both databases."""

from concurrent.futures import ThreadPoolExecutor

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from app.record.db import Database, alembic_config
from app.record.tables import Table


def test_the_revisions_make_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    database.migrate()
    with database.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0001"


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
