"""The service's commands: serve, up, keys, migrate. Settings are ``NEGMERGE_…`` variables (``app.settings``)."""

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import TextIOBase
from pathlib import Path
from typing import Annotated, TextIO, cast

import structlog
import typer

from app import auth
from app.auth import DEFAULT_TENANT, Scope
from app.errors import ServiceError
from app.record.db import Database
from app.settings import Settings


class Unfailing(TextIOBase):
    """A stream that loses what cannot be written: with a full disk under the log, answers are worth more than lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As much as can be."""
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """What can be."""
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
keys = typer.Typer(no_args_is_help=True, help="API keys: make, list, revoke.")
cli.add_typer(keys, name="keys")


@cli.command()
def serve() -> None:
    """Run the API in this process (NEGMERGE_HOST, NEGMERGE_PORT)."""
    import uvicorn  # the other commands do without the web framework

    from app.main import create_app

    settings = Settings()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Unfailing(sys.stdout))))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        server_header=False,
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,  # else whoever is on this machine could name any address
        timeout_graceful_shutdown=3,
    )


@cli.command()
def up(
    data_dir: Annotated[Path, typer.Option(help="Everything is kept here.")] = Path("var/negmerge"),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The API's port, on loopback.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Run the whole service here: broker, API and workers. Ctrl-C stops all of it."""
    from app.embedded.up import UpError, run  # it needs what the other commands do not

    try:
        run(data_dir.expanduser().absolute(), port, workers, _say)
    except UpError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@cli.command()
def migrate() -> None:
    """Bring the database's schema to the newest revision."""
    database = Database(Settings().database_url)
    database.migrate()
    database.dispose()


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who or what the key is for.")],
    tenant: Annotated[str, typer.Option(help="Whose things it sees.")] = DEFAULT_TENANT,
    scope: Annotated[list[Scope] | None, typer.Option(help="Give it once for each; default read, write.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default never.")] = None,
) -> None:
    """Make a key and print it; it is not shown again."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    database = Database(Settings().database_url)
    with database.write() as session:
        _, key = auth.create_key(session, name, tenant, scope or [Scope.READ, Scope.WRITE], expires_at)
    database.dispose()
    print(key)


@keys.command("list")
def list_keys() -> None:
    """Print all keys, without their secrets."""
    database = Database(Settings().database_url)
    with database.read() as session:
        for row in auth.list_keys(session):
            state = "revoked" if row.revoked_at else f"expires {row.expires_at or 'never'}"
            print(f"{row.id}  {row.tenant}  {','.join(row.scopes)}  {state}  {row.name}")
    database.dispose()


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="key_…, as `keys list` shows it.")]) -> None:
    """Let a key in no more."""
    database = Database(Settings().database_url)
    try:
        with database.write() as session:
            auth.revoke_key(session, key_id)
    except ServiceError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        database.dispose()


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk under the log is no reason to end what runs
        print(text, flush=True)
