"""``negmerge datasets …``: data sets of a service."""

from itertools import islice
from typing import Annotated, Any

import typer

from negmerge.cli.given import ClassNames, Templates, read_prompts
from negmerge.cli.match import print_matches
from negmerge.cli.printed import AsJson, print_json, print_table, when
from negmerge.cli.remote import AllowHttp, Url, connected, told
from negmerge.naming import visible

app = typer.Typer(help="Data sets of a service.", no_args_is_help=True)

Name = Annotated[str | None, typer.Option(metavar="NAME", help="What it is called; else the file's name.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest.")]


@app.command()
def add(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An archive or a folder of this machine, or a URI.")],
    name: Name = None,
    class_names: ClassNames = None,
    templates: Templates = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out-unreadable", help="Leave images out that cannot be read.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Upload a data set, or register a URI that the service may fetch; prints its id."""
    words, prompts = read_prompts(class_names, templates)
    given: dict[str, Any] = {"class_names": words or None, "templates": prompts}
    given["on_unreadable"] = "leave_out" if leave_out else "refuse"
    with connected(url, allow_http) as client:
        if "://" in source:
            made = client.datasets.register(source, name=name, **given)
        else:
            made = client.datasets.upload(source, name=name, **given, progress=told())
    if made.note:
        typer.echo(visible(made.note), err=True)
    print_json(made) if as_json else typer.echo(made.id)


@app.command("list")
def list_datasets(limit: Limit = 20, as_json: AsJson = False, url: Url = None, allow_http: AllowHttp = False) -> None:
    """List data sets, newest first."""
    with connected(url, allow_http) as client:
        found = list(islice(client.datasets.list(), limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.id,
            one.name,
            _count(one.samples),
            _count(None if one.classes is None else len(one.classes)),
            when(one.created_at),
        )
        for one in found
    ]
    print_table(["data set", "name", "samples", "classes", "made (UTC)"], rows)


@app.command("match")
def match_pictures(
    dataset_id: Annotated[str, typer.Argument(metavar="DATASET", help="A data set's id, ds_….")],
    files: Annotated[list[str], typer.Argument(metavar="FILES…", help="Pictures, or archives of pictures.")],
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Find the samples that are, or look like, these pictures; prints their ids for a spec."""
    with connected(url, allow_http) as client:
        found = client.datasets.match(dataset_id, files, progress=told())
    print_matches(found, as_json)


@app.command()
def delete(
    dataset_id: Annotated[str, typer.Argument(metavar="DATASET", help="A data set's id, ds_….")],
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Delete a data set that no job needs."""
    with connected(url, allow_http) as client:
        client.datasets.delete(dataset_id)
    print_json({"deleted": dataset_id}) if as_json else typer.echo(f"{visible(dataset_id)} is deleted")


def _count(found: int | dict[str, int] | None) -> str:
    if found is None:
        return "–"
    return str(found if isinstance(found, int) else len(found))
