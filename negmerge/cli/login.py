"""``negmerge login``: a service's key, asked for, checked, and kept for its owner's eyes."""

import getpass
import sys
from typing import Annotated

import typer

from negmerge.cli.given import seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.cli.remote import AllowHttp, connected_with

MAX_KEY = 1000
"""Characters of a key that are read from stdin."""


def login(
    url: Annotated[str, typer.Argument(metavar="URL", envvar="NEGMERGE_URL", help="The service.")],
    as_json: AsJson = False,
    allow_http: AllowHttp = False,
) -> None:
    """Ask for a service's API key, or read it from stdin, check it, and keep it for the other commands."""
    from negmerge.client import Forbidden
    from negmerge.client.logins import Login, write_login
    from negmerge.client.site import checked_url

    url = checked_url(url, allow_http=allow_http)
    key = _key(url)
    with connected_with(url, key, allow_http) as client:
        try:
            next(client.jobs.list(), None)
        except Forbidden:  # a key that may write and not read is a key all the same
            typer.echo("the key may not read: watching and fetching need another", err=True)
    path = write_login(Login(url=url, key=key, allow_http=allow_http))
    print_json({"url": url, "file": str(path)}) if as_json else typer.echo(f"The key for {url} is in {seen(path)}")


def _key(url: str) -> str:
    """The key, typed without being shown, or the first line of stdin."""
    from negmerge.client.site import checked_key

    if sys.stdin.isatty():
        return checked_key(getpass.getpass(f"API key for {url}: ", stream=sys.stderr))
    return checked_key(sys.stdin.readline(MAX_KEY + 1))
