"""``negmerge …``: the method on one machine, without the service. Errors exit with status 2."""

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from negmerge import __version__
from negmerge.errors import CheckpointError, DataError, ModelError, NegmergeError, SpecError
from negmerge.formats import strict_json
from negmerge.naming import visible
from negmerge.spec.job import MAX_SCALE

T = TypeVar("T")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Machine unlearning by sign-consensual merging of fine-tuned models (NegMerge).",
)

_STATUS = {"unlearned": 0, "below_target": 3, "nothing_unlearned": 4}
"""The exit status of each outcome."""

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC.json", help="A job spec, as POST /v1/jobs takes it.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ClassNames = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON of class → words of the prompt; else the data set's own."),
]
Templates = Annotated[
    Path | None, typer.Option(metavar="FILE", help='JSON list of prompts, such as ["a photo of a {}."].')
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"negmerge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    spec_file: SpecFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Made by this command; must not exist yet.")],
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")] = 0,
    class_names: ClassNames = None,
    templates: Templates = None,
) -> None:
    """Run a whole job: sweep, merge, search for λ, test, weights, report.

    Ends with 3 where the result is below target, 4 where nothing was unlearned.
    """
    _check_new(out)

    from negmerge.pipeline.local import read_spec
    from negmerge.pipeline.run_local import run_local
    from negmerge.report.console import following, result_table, show
    from negmerge.spec.words import heading, sentence

    spec = read_spec(spec_file)
    words, prompts = _prompts(class_names, templates)
    with following(Console(stderr=True)) as on_stage:
        document = run_local(
            spec, out, device=device, threads=threads, class_names=words, templates=prompts, on_stage=on_stage
        )
    show(result_table(document))
    typer.echo(f"{heading(document)}. {sentence(document)}")
    typer.echo(document.outcome_reason)
    for warning in document.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    typer.echo(f"Weights, report and result are in {_seen(out)}")
    raise typer.Exit(_STATUS[document.outcome])


@app.command()
def merge(
    base: Annotated[Path, typer.Option(help="θ₀: a safetensors file or folder.")],
    tuned: Annotated[list[Path], typer.Option(help="Fine-tuned models; give it once, with one or more paths.")],
    out: Annotated[Path, typer.Option(help="Where θ₀ − λ·τ* goes; written atomically.")],
    method: Annotated[str, typer.Option(help="negmerge, uniform, magmax, ties or task_arithmetic.")] = "negmerge",
    scale: Annotated[float, typer.Option(min=0, max=MAX_SCALE, help="λ; 0 gives the base model back.")] = 1.0,
    agreement: Annotated[float, typer.Option(help="negmerge: share of the models that must agree on a sign.")] = 1.0,
    density: Annotated[float, typer.Option(help="ties: share of each task vector that is kept.")] = 0.2,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing where there is anything to warn of.")] = False,
) -> None:
    """Merge fine-tuned models' task vectors and subtract them, streaming: in one pass, for TIES in four."""
    for given in (base, *tuned):
        if _lies_in(out, given):
            raise CheckpointError(
                f"--out {_seen(out)} would take the place of {_seen(given)}, which is read: name another --out"
            )
    _check_parent(out)

    from negmerge.merging.files import merge_files
    from negmerge.report.console import following

    options = {"scale": scale, "agreement": agreement, "density": density}
    with following(Console(stderr=True)) as on_stage:
        merged = merge_files(base, tuned, out, method=method, **options, strict=strict, on_step=on_stage("merge"))
    if merged.consensus is not None:
        typer.echo(f"{100 * merged.consensus.share:.2f} % of the elements are in consensus")
    if merged.rounded_away >= 0.0001:
        typer.echo(f"{100 * merged.rounded_away:.2f} % of the change is lost in rounding")
    for warning in merged.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    typer.echo(f"{merged.digest}  {_seen(out)}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder in open_clip's or timm's format.")],
    spec_file: SpecFile,
    device: Device = "auto",
    class_names: ClassNames = None,
    templates: Templates = None,
) -> None:
    """Measure a model on a job's splits; prints JSON: part → side → accuracy, per class too."""
    if not model.is_dir():
        raise ModelError(f"{_seen(model)} is no folder: give a model's folder in open_clip's or timm's format")

    from negmerge.evaluation.figures import recorded
    from negmerge.models.devices import device_of
    from negmerge.pipeline import local
    from negmerge.pipeline.prepare import prepare
    from negmerge.report.console import following
    from negmerge.spec.job import ScaleSearch

    spec = local.read_spec(spec_file)
    spec = spec.model_copy(update={"scale_search": ScaleSearch(rule="lowest_forget")})  # no λ, so nothing to match
    forget, retain = local.open_datasets(spec, *_prompts(class_names, templates))
    with following(Console(stderr=True)) as on_stage:
        network = local.open_measured(model, spec, device_of(device))
        prepared = prepare(spec, network, forget, retain, on_stage("evaluate"))
    typer.echo(json.dumps(recorded(prepared.base).as_json(), indent=2))


@app.command()
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
    _check_new(out)
    if config is None and out.suffix != ".safetensors":
        raise CheckpointError("without --config, --out is a file such as weights.safetensors: name one")

    from negmerge.models import convert as to

    if config is None:
        converted = to.convert_plain(file, out, key=key, prefix=prefix)
    else:
        converted = to.convert(file, config, out, key=key, prefix=prefix)
    for done in converted.done:
        typer.echo(visible(done), err=True)
    typer.echo(f"{converted.digest}  {_seen(out)}")


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A safetensors file, such as a task vector.")],
) -> None:
    """Show a file's tensors: type, shape, share of elements that are not zero (a merge's consensus), norm."""
    from negmerge.merging.files import inspect_file
    from negmerge.report.console import plain, show

    table = Table("tensor", "type", "shape")
    table.add_column("non-zero", justify="right")
    table.add_column("norm", justify="right")
    for tensor in inspect_file(file):
        shape = "×".join(map(str, tensor.shape)) or "scalar"
        table.add_row(plain(tensor.name), tensor.dtype, shape, f"{100 * tensor.nonzero:.2f} %", f"{tensor.norm:.4g}")
    show(table)


def main() -> None:
    """The entry point: one line on stderr for an error, no traceback.

    Exit status: 0 done, 2 something is wrong with what was given, 3 a result below target, 4 one that unlearned
    nothing, 130 stopped by Ctrl-C, 143 by TERM.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # λ where the locale has no λ
    try:
        status = app(args=_spread(sys.argv[1:]) or ["--help"], prog_name="negmerge", standalone_mode=False)
    except typer.TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}: see --help")
    except SpecError as error:
        _fail("; ".join(": ".join(filter(None, (wrong.pointer, wrong.detail))) for wrong in error.errors))
    except NegmergeError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder that may not be written to
        _fail(f"{visible(str(error.filename or 'a file'))} cannot be read or written: {error.strerror}")
    if status == 130:
        typer.echo("negmerge: stopped", err=True)
    raise SystemExit(status)


def _fail(message: str) -> NoReturn:
    typer.echo(f"negmerge: {visible(' '.join(message.split()))}", err=True)
    raise SystemExit(2) from None


def _seen(path: Path) -> str:
    """A path for a terminal, in one line whatever its name."""
    return visible(str(path))


def _end(number: int, _frame: FrameType | None) -> None:
    """A signal as an exception, so that what is half done is removed on the way out."""
    raise SystemExit(128 + number)


def _spread(arguments: Sequence[str]) -> list[str]:
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


def _check_new(out: Path) -> None:
    if os.path.lexists(out):
        raise CheckpointError(f"{_seen(out)} exists: choose another --out, or remove it first")
    _check_parent(out)


def _check_parent(out: Path) -> None:
    if not out.parent.is_dir():
        raise CheckpointError(f"there is no folder {_seen(out.parent)}: make it first, or choose another --out")
    if not os.access(out.parent, os.W_OK):
        raise CheckpointError(f"the folder {_seen(out.parent)} may not be written to: choose another --out")


def _lies_in(out: Path, given: Path) -> bool:
    """Whether ``out`` is the file that was given, or one of the files of the folder that was given."""
    try:
        return out.resolve().is_relative_to(given.resolve())
    except RuntimeError:  # so does Python 3.11 call a link that leads to itself
        raise CheckpointError(f"{_seen(out)} or {_seen(given)} is a link that leads to itself: name a file") from None


def _prompts(class_names: Path | None, templates: Path | None) -> tuple[dict[str, str], list[str] | None]:
    """The class words and templates that the command line names, checked for their shape; None leaves a set's own."""
    from negmerge.data.prompts import check_templates

    words = _read(class_names, dict[str, str], '{"n01440764": "tench"}') if class_names else {}
    prompts = check_templates(_read(templates, list[str], '["a photo of a {}."]')) if templates else None
    return words, prompts


def _read(path: Path, shape: type[T], example: str) -> T:
    if path.exists() and not path.is_file():  # a pipe would be waited for, and a device has no end
        raise DataError(f"{_seen(path)} is no file")
    try:
        return TypeAdapter(shape).validate_python(strict_json.loads(path.read_bytes()))
    except OSError as error:
        raise DataError(f"{_seen(path)} cannot be read: {error.strerror}") from None
    except strict_json.NotStrict as error:
        raise DataError(f"{_seen(path)} should hold JSON such as {example}: {error}") from None
    except ValidationError as error:
        raise DataError(f"{_seen(path)} should hold JSON such as {example}: {error.errors()[0]['msg']}") from None
