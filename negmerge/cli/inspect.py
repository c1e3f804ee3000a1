"""``negmerge inspect``: the tensors of a file."""

from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.printed import AsJson, print_json


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A safetensors file, such as a task vector.")],
    as_json: AsJson = False,
) -> None:
    """Show a file's tensors: type, shape, share of elements that are not zero (a merge's consensus), norm."""
    from rich.table import Table

    from negmerge.merging.summaries import inspect_file
    from negmerge.report.tables import plain, show

    tensors = inspect_file(file)
    if as_json:
        print_json({"tensors": tensors})
        return
    table = Table("tensor", "type", "shape")
    table.add_column("non-zero", justify="right")
    table.add_column("norm", justify="right")
    for tensor in tensors:
        shape = "×".join(map(str, tensor.shape)) or "scalar"
        table.add_row(plain(tensor.name), tensor.dtype, shape, f"{100 * tensor.nonzero:.2f} %", f"{tensor.norm:.4g}")
    show(table)
