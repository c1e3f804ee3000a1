"""``python -m app.record.migrations.new "what it does"``: write the next revision, comparing tables.py with a database.

The database is an empty SQLite file that all present revisions are applied to. Read what comes out before you
commit it: a comparison sees neither renames nor data.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from app.record.db import Database, alembic_config


def new_revision(message: str) -> None:
    """Write ``versions/NNNN_message.py``."""
    number = len(list((Path(__file__).parent / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.sqlite")
        database.migrate()
        with database.connect() as connection:
            config = alembic_config(connection)
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")
        database.dispose()


if __name__ == "__main__":
    new_revision(sys.argv[1])
