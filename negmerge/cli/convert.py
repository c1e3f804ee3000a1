"""``negmerge convert``: weights that were trained elsewhere, as a model's folder or a file to merge."""

from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import check_new, seen
from negmerge.errors import CheckpointError
from negmerge.naming import visible


def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A checkpoint of torch.save, safetensors, or a folder of either.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="OUT", help="A model's folder, or without --config a file OUT.safetensors; new.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG.json", help="What open_clip_config.json or timm's config.json would hold."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Where in the checkpoint the weights lie, such as model_ema.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Take the tensors with this prefix alone, without it.")] = None,
) -> None:
    """Write a model's folder, or plain safetensors to merge, from weights that were trained elsewhere.

    No code in them is run.
    """
    check_new(out)
    if config is None and out.suffix != ".safetensors":
        raise CheckpointError("without --config, --out is a file such as weights.safetensors: name one")

    from negmerge.models import convert as to

    if config is None:
        converted = to.convert_plain(file, out, key=key, prefix=prefix)
    else:
        converted = to.convert(file, config, out, key=key, prefix=prefix)
    for done in converted.done:
        typer.echo(visible(done), err=True)
    typer.echo(f"{converted.digest}  {seen(out)}")
