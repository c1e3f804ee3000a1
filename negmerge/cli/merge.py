"""``negmerge merge``: checkpoints that were trained elsewhere, merged into one file."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import Scale, check_apart, check_parent, offered, seen, tell_rounding
from negmerge.cli.printed import AsJson, print_json
from negmerge.naming import visible
from negmerge.spec.methods import METHOD_NAMES, needs_kept_vectors

_METHODS = [name for name in METHOD_NAMES if name != "relaxed" and not needs_kept_vectors(name)]


def merge(
    base: Annotated[Path, typer.Option(help="θ₀: a safetensors file or folder.")],
    tuned: Annotated[list[Path], typer.Option(help="Fine-tuned models; give it once, with one or more paths.")],
    out: Annotated[Path, typer.Option(help="Where θ₀ − λ·τ* goes; written atomically.")],
    method: Annotated[
        str,
        typer.Option(help="negmerge, uniform, magmax, ties or task_arithmetic.", autocompletion=offered(*_METHODS)),
    ] = "negmerge",
    scale: Scale = 1.0,
    agreement: Annotated[float, typer.Option(help="negmerge: share of the models that must agree on a sign.")] = 1.0,
    density: Annotated[float, typer.Option(help="ties: share of each task vector that is kept.")] = 0.2,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing where there is anything to warn of.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge fine-tuned models' task vectors and subtract them, streaming: in one pass, for TIES in four."""
    for given in (base, *tuned):
        check_apart(out, given)
    check_parent(out)

    from rich.console import Console

    from negmerge.merging.files import merge_files
    from negmerge.report.console import following

    options = {"scale": scale, "agreement": agreement, "density": density}
    with following(Console(stderr=True)) as on_stage:
        merged = merge_files(base, tuned, out, method=method, **options, strict=strict, on_step=on_stage("merge"))
    for warning in merged.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    if as_json:
        print_json({"file": str(out), **asdict(merged)})
        return
    if merged.consensus is not None:
        typer.echo(f"{100 * merged.consensus.share:.2f} % of the elements are in consensus")
    tell_rounding(merged.rounded_away)
    typer.echo(f"{merged.digest}  {seen(out)}")


def spread(arguments: Sequence[str]) -> list[str]:
    """``merge``'s ``--tuned F1 F2`` as ``--tuned F1 --tuned F2``, which is how a list of options is read."""
    if arguments[:1] != ["merge"]:
        return list(arguments)
    spread: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument.partition("=")[0]
        elif option == "--tuned":
            spread.append("--tuned")
        if argument != "--tuned":  # it comes again with each of its values
            spread.append(argument)
    return spread
