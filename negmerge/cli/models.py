"""``negmerge models …``: models of a service."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from negmerge.cli.given import read_json
from negmerge.cli.printed import AsJson, print_json, print_table, when
from negmerge.cli.remote import AllowHttp, Url, connected, told
from negmerge.naming import visible
from negmerge.spec.sources import HubModel, WeightsUri, stored_source

app = typer.Typer(help="Models of a service.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest.")]


@app.command()
def add(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="A model's folder, archive or weights here, or a URI.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What it is called; else the file's name.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG.json", help="Beside weights alone: their config.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="With --weights: a built-in name, such as ViT-B-32.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="TAG", help="In place of SOURCE: a registry's tag.")] = None,
    family: Annotated[Literal["open_clip", "timm"], typer.Option(help="Of a URI or a tag.")] = "open_clip",
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Upload a model, or register a URI or a tag; prints its id."""
    if (source is None) == (weights is None):
        raise typer.BadParameter("give SOURCE, or --weights with --architecture")
    document = None if config is None else read_json(config, dict[str, Any], '{"model_cfg": {…}}')
    with connected(url, allow_http) as client:
        if source is not None and not isinstance(stored_source(source), WeightsUri | HubModel):
            made = client.models.upload(source, name=name, config=document, progress=told())
        else:
            made = client.models.register(
                uri=source, architecture=architecture, weights=weights, family=family, name=name
            )
    print_json(made) if as_json else typer.echo(made.id)


@app.command("list")
def list_models(limit: Limit = 20, as_json: AsJson = False, url: Url = None, allow_http: AllowHttp = False) -> None:
    """List models, newest first."""
    with connected(url, allow_http) as client:
        found = list(islice(client.models.list(), limit))
    if as_json:
        print_json(found)
        return
    rows = [(one.id, one.name, one.family, one.architecture or "–", when(one.created_at)) for one in found]
    print_table(["model", "name", "family", "architecture", "made (UTC)"], rows)


@app.command()
def delete(
    model_id: Annotated[str, typer.Argument(metavar="MODEL", help="A model's id, mdl_….")],
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Delete a model that no job needs."""
    with connected(url, allow_http) as client:
        client.models.delete(model_id)
    print_json({"deleted": model_id}) if as_json else typer.echo(f"{visible(model_id)} is deleted")
