"""``negmerge push``: an unlearned model to a hub of Hugging Face's."""

from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.errors import ModelError


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `negmerge run` made, a model's folder, or the zip of one.")
    ],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Made where it does not exist.")],
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The card; else MODEL_CARD.md or README.md in the folder.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a repository that only its owner may read.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="BRANCH", help="A branch, made where it is missing.")] = None,
    as_json: AsJson = False,
) -> None:
    """Push a model with its card to a hub of Hugging Face's; the same files again change nothing.

    A job's model goes in the layout that it came in: of transformers, of open_clip or of timm.

    The token is HF_TOKEN, or what `hf auth login` kept; another hub is named by HF_ENDPOINT.
    """
    if card is not None and not card.is_file():
        raise ModelError(f"there is no card {seen(card)}: name a Markdown file")

    from negmerge.publishing import hub
    from negmerge.publishing.folders import opened

    with opened(folder, as_it_came=True) as model:
        told = card or model.card
        if told is None:
            typer.echo("warning: there is no MODEL_CARD.md, so the model goes without one: give it by --card", err=True)
        pushed = hub.push(model, repository, told, private, revision)
    if not pushed.changed:
        typer.echo("these files are there already: nothing was changed", err=True)
    if as_json:
        print_json(pushed)
        return
    typer.echo(f"{pushed.commit}  {pushed.url}")
