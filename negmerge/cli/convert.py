"""``negmerge convert``: weights that were trained elsewhere, as a model's folder or a file to merge."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import check_new, seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.errors import CheckpointError, ModelError
from negmerge.naming import visible


def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A checkpoint of torch.save, safetensors, or a folder of either.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="OUT", help="A model's folder, or a file OUT.safetensors with plain tensors; new.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG.json", help="What open_clip_config.json or timm's config.json would hold."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Instead of a config: a built-in one, such as ViT-B-32 or resnet50."),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=1, help="With --architecture: a classifier's outputs, if its weights do not say it."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Back into the layout of transformers, as this folder has it."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Where in the checkpoint the weights lie, such as model_ema.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Take the tensors with this prefix alone, without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model's folder, or plain safetensors to merge, from weights that were trained elsewhere.

    No code in them is run. A folder of transformers needs no --config.
    """
    check_new(out)
    if sum(one is not None for one in (config, architecture, like)) > 1:
        raise ModelError("--config, --architecture and --like exclude each other: give one")
    if classes is not None and architecture is None:
        raise ModelError("--classes is for --architecture: leave it out, the config says it")
    if like is not None and (key is not None or prefix is not None):
        raise ModelError("--like takes the weights of a model's folder as they are: leave --key and --prefix out")
    if config is None and architecture is None and like is None:
        config = _config_in(file) if out.suffix != ".safetensors" else None

    from negmerge.models import convert as to

    if like is not None:
        converted = to.convert_back(file, like, out)
    elif architecture is not None:
        converted = to.convert_built_in(file, architecture, out, classes=classes, key=key, prefix=prefix)
    elif config is not None:
        converted = to.convert(file, config, out, key=key, prefix=prefix)
    else:
        converted = to.convert_plain(file, out, key=key, prefix=prefix)
    for done in converted.done:
        typer.echo(visible(done), err=True)
    if as_json:
        print_json({"file": str(out), **asdict(converted)})
        return
    typer.echo(f"{converted.digest}  {seen(out)}")


def _config_in(folder: Path) -> Path:
    """The config in a folder of weights. Raises CheckpointError where nothing says the architecture."""
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(
            "without --config and --architecture, --out is a file such as weights.safetensors: name one of the three"
        )
    return config
