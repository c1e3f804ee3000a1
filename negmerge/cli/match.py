"""``negmerge match``: where a person's pictures are in a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmerge.cli.printed import AsJson, print_json
from negmerge.errors import DataError
from negmerge.naming import visible

if TYPE_CHECKING:
    from negmerge.spec.resources import Match


def match(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="An archive or a folder, as a job takes it.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Pictures, or archives of pictures.")],
    as_json: AsJson = False,
) -> None:
    """Find the samples of a data set that are, or look like, these pictures, and print their ids for a spec.

    The ids come as "select" takes them; look at those that are not exact first.
    """
    from rich.console import Console

    from negmerge.data.matching import match as matches_of
    from negmerge.report.console import following

    with following(Console(stderr=True)) as on_stage:
        found = matches_of(dataset, files, on_step=on_stage("match"))
    print_matches(found, as_json)


def print_matches(found: "Sequence[Match]", as_json: bool) -> None:
    """The ids on stdout, as a spec's "select" takes them, and each picture's finds on stderr; or all of it as JSON.

    Raises DataError where no picture could be read: without ids on stdout, which would be none for another reason.
    """
    unread = sum(one.problem is not None for one in found)
    if as_json:
        print_json({"matches": list(found)})
    else:
        _print_finds(found)
    if unread == len(found):
        raise DataError("none of these pictures can be read, and nothing was looked for: save them as JPEG or PNG")
    if as_json:
        return
    if unread:
        typer.echo(f"{unread} of {len(found)} pictures cannot be read, and were not looked for", err=True)
    ids = sorted({sample for one in found for sample in _taken(one)})
    print_json({"ids": ids})


def _print_finds(found: "Sequence[Match]") -> None:
    for one in found:
        told = one.problem or ", ".join(
            f"{candidate.id} ({'exact' if candidate.exact else f'distance {candidate.distance}'})"
            for candidate in one.candidates
        )
        typer.echo(visible(f"{one.file}: {told or 'nothing like it'}"), err=True)


def _taken(one: "Match") -> list[str]:
    """The ids to forget for one picture: where it is there exactly, nothing that merely looks like it."""
    exact = [candidate.id for candidate in one.candidates if candidate.exact]
    return exact or [candidate.id for candidate in one.candidates]
