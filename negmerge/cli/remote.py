"""What the commands for a service have in common: whom they ask, how they print, with which status they end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from negmerge.cli.statuses import JOB_CANCELLED, JOB_FAILED, STILL_RUNNING, UNREACHABLE, Ended
from negmerge.naming import visible

if TYPE_CHECKING:
    from negmerge.client import Client
    from negmerge.client.bars import Show

SECONDS_BETWEEN_LINES = 10.0

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The service; else NEGMERGE_URL, else the login's.")
]
AllowHttp = Annotated[bool, typer.Option("--allow-http", help="Let the key go in the clear to another machine.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


@contextmanager
def connected(url: str | None, allow_http: bool) -> Iterator["Client"]:
    """A client of the service. What it raises ends the command with the status that it has.

    The key comes from NEGMERGE_API_KEY or the login, never from an option, which other users of the machine would see.
    """
    with connected_with(url, None, allow_http) as client:
        yield client


@contextmanager
def connected_with(url: str | None, key: str | None, allow_http: bool) -> Iterator["Client"]:
    """The same with a key that was typed."""
    from negmerge import client as remote

    try:
        with remote.Client(url, key, allow_http=allow_http or None) as client:
            yield client
    except remote.JobCancelled as error:
        raise Ended(JOB_CANCELLED, str(error)) from None
    except remote.JobFailed as error:
        raise Ended(JOB_FAILED, str(error)) from None
    except remote.StillRunning as error:
        raise Ended(STILL_RUNNING, str(error)) from None
    except (remote.Unreachable, remote.ServiceFailure) as error:
        raise Ended(UNREACHABLE, str(error)) from None


def told() -> "Show | None":
    """How work says where it stands: None is a bar on a terminal; elsewhere there are plain lines on stderr."""
    return None if sys.stderr.isatty() else _Lines()


class _Lines:
    """A line at the beginning, and at most one every ten seconds while it goes on, however many points there are."""

    def __init__(self) -> None:
        self._last: float | None = None

    def __call__(self, what: str, share: float) -> None:
        if self._last is None or time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            typer.echo(f"{visible(what)}: {100 * share:.0f} %", err=True)
            self._last = time.monotonic()
