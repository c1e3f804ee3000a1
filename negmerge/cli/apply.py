"""``negmerge apply``: a merged vector subtracted at any scale."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import Scale, check_apart, check_parent, seen, tell_rounding
from negmerge.cli.printed import AsJson, print_json


def apply(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="θ₀: a safetensors file or a model's folder.")],
    task_vector: Annotated[
        Path, typer.Argument(metavar="TASK_VECTOR", help="τ*, such as a job's merged/task_vector.safetensors.")
    ],
    scale: Scale,
    out: Annotated[
        Path, typer.Option(help="Of a folder BASE a new folder, unless it ends in .safetensors; else a file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write θ₀ − λ·τ* at any λ: the weights that a job gives at that scale, bit for bit."""
    for given in (base, task_vector):
        check_apart(out, given)
    check_parent(out)

    from rich.console import Console

    from negmerge.merging.apply import apply as apply_to
    from negmerge.report.console import following

    with following(Console(stderr=True)) as on_stage:
        applied = apply_to(base, task_vector, out, scale=scale, on_step=on_stage("apply"))
    if as_json:
        print_json({"file": str(out), **asdict(applied)})
        return
    tell_rounding(applied.rounded_away)
    typer.echo(f"{applied.digest}  {seen(out)}")
