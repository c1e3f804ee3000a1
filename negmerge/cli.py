"""``negmerge …``: the method on one machine, without the service. Errors exit with status 2."""

import json
import secrets
import shutil
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from negmerge.errors import CheckpointError, DataError, NegmergeError

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Machine unlearning by sign-consensual merging of fine-tuned models (NegMerge).",
)

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC.json", help="A job spec, as POST /v1/jobs takes it.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ClassNames = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON of folder → words of the prompt; else folders' names."),
]
Templates = Annotated[
    Path | None, typer.Option(metavar="FILE", help='JSON list of prompts, such as ["a photo of a {}."].')
]


@app.command()
def run(
    spec_file: SpecFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Made by this command; must not exist yet.")],
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    class_names: ClassNames = None,
    templates: Templates = None,
) -> None:
    """Run a whole job: sweep, merge, search for λ, test, weights, report."""
    if out.exists():
        raise CheckpointError(f"{out} exists: choose another --out, or remove it first")

    import torch

    from negmerge import local, pipeline
    from negmerge.console import following, result_table

    spec = local.read_spec(spec_file)
    if threads:
        torch.set_num_threads(threads)
    forget, retain = local.open_datasets(spec, *_prompts(class_names, templates))
    model = local.open_model(spec, local.device_of(device))
    unfinished = out.parent / f".{out.name}.{secrets.token_hex(4)}"
    unfinished.mkdir(parents=True)
    try:
        with following(Console(stderr=True)) as on_stage:
            document = pipeline.run(spec, model, forget, retain, unfinished, on_stage)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    console = Console()
    console.print(result_table(document))
    console.print(f"Weights, report and result are in {out}", highlight=False)


@app.command()
def merge(
    base: Annotated[Path, typer.Option(help="θ₀: a safetensors file or folder.")],
    tuned: Annotated[list[Path], typer.Option(help="Fine-tuned models; give it once, with one or more paths.")],
    out: Annotated[Path, typer.Option(help="Where θ₀ − λ·τ* goes; written atomically.")],
    method: Annotated[str, typer.Option(help="negmerge, uniform, magmax, ties or task_arithmetic.")] = "negmerge",
    scale: Annotated[float, typer.Option(help="λ; 0 gives the base model back.")] = 1.0,
) -> None:
    """Merge fine-tuned models' task vectors and subtract them, streaming, in one pass."""
    from negmerge.console import following
    from negmerge.filemerge import merge_files

    with following(Console(stderr=True)) as on_stage:
        merged = merge_files(base, tuned, out, method=method, scale=scale, on_step=on_stage("merge"))
    console = Console()
    if merged.consensus is not None:
        console.print(f"{100 * merged.consensus.share:.2f} % of the elements are in consensus", highlight=False)
    console.print(f"{merged.digest}  {out}", highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder in open_clip's format.")],
    spec_file: SpecFile,
    device: Device = "auto",
    class_names: ClassNames = None,
    templates: Templates = None,
) -> None:
    """Measure a model on a job's splits; prints JSON: part → side → accuracy, per class too."""
    from negmerge import local
    from negmerge.console import following
    from negmerge.models import load_model
    from negmerge.prepared import as_json, prepare

    spec = local.read_spec(spec_file)
    forget, retain = local.open_datasets(spec, *_prompts(class_names, templates))
    with following(Console(stderr=True)) as on_stage:
        measured = load_model(model, local.device_of(device))
        prepared = prepare(spec, measured, forget, retain, on_stage("evaluate"))
    typer.echo(json.dumps(as_json(prepared.base), indent=2))


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A safetensors file, such as a task vector.")],
) -> None:
    """Show a file's tensors: type, shape, share of elements that are not zero (a merge's consensus), norm."""
    from negmerge.filemerge import inspect_file

    table = Table("tensor", "type", "shape")
    table.add_column("non-zero", justify="right")
    table.add_column("norm", justify="right")
    for tensor in inspect_file(file):
        shape = "×".join(map(str, tensor.shape)) or "scalar"
        table.add_row(tensor.name, tensor.dtype, shape, f"{100 * tensor.nonzero:.2f} %", f"{tensor.norm:.4g}")
    Console().print(table)


def main() -> None:
    """The entry point: one line for an error, no traceback."""
    try:
        app(args=_spread(sys.argv[1:]))
    except NegmergeError as error:
        typer.echo(f"negmerge: {error}", err=True)
        raise SystemExit(2) from None


def _spread(arguments: list[str]) -> list[str]:
    """``--tuned F1 F2`` as ``--tuned F1 --tuned F2``, which is how click reads a list."""
    spread: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument
        elif option == "--tuned" and spread[-1] != "--tuned":
            spread.append("--tuned")
        spread.append(argument)
    return spread


def _prompts(class_names: Path | None, templates: Path | None) -> tuple[dict[str, str], list[str]]:
    """The class words and templates that the command line names, checked for their shape."""
    from negmerge.prompts import DEFAULT_TEMPLATES

    words = _read(class_names, TypeAdapter(dict[str, str])) if class_names else {}
    prompts = _read(templates, TypeAdapter(list[str])) if templates else list(DEFAULT_TEMPLATES)
    return words, prompts


def _read(path: Path, shape: TypeAdapter[T]) -> T:
    try:
        return shape.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is not what is asked for: {error}") from None
