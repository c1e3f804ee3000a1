"""What several commands are given: files, folders, options. Judged before torch is loaded."""

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from negmerge.errors import CheckpointError, DataError, ExtraError
from negmerge.naming import visible
from negmerge.spec.numbers import MAX_SCALE, plain_number

T = TypeVar("T")

_URI = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""How a URI begins that was taken for a path, which has lost one of its slashes."""


def _scale(text: str) -> float:
    """λ as it was written."""
    try:
        scale = float(plain_number(text))
        if 0 <= scale <= MAX_SCALE:
            return scale
    except ValueError:
        pass
    raise typer.BadParameter(f"{visible(str(text))} is no scale: give a number from 0 to {MAX_SCALE}, such as 0.6")


def offered(*names: str) -> Callable[[str], list[str]]:
    """What a shell offers for an option of which usual values are known; any other is judged where it is used."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


SpecFile = Annotated[Path, typer.Argument(metavar="SPEC.json", help="A job spec, as POST /v1/jobs takes it.")]
Scale = Annotated[
    float, typer.Option(parser=_scale, metavar="NUMBER", help=f"λ, 0 to {MAX_SCALE}; 0 gives the base model back.")
]
OtherScale = Annotated[
    float | None,
    typer.Option(parser=_scale, metavar="NUMBER", help="With --weights: at another λ than the job chose."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", autocompletion=offered("auto", "cpu", "cuda"))]
ClassNames = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON of class → words of the prompt; else the data set's own."),
]
Templates = Annotated[
    Path | None, typer.Option(metavar="FILE", help='JSON list of prompts, such as ["a photo of a {}."].')
]


def seen(path: Path) -> str:
    """A path for a terminal, in one line whatever its name."""
    return visible(str(path))


def need(extra: str, *modules: str) -> None:
    """Raise ExtraError, with the line that installs an extra, where one of its modules is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise ExtraError(extra, module)


def check_new(out: Path) -> None:
    if os.path.lexists(out):
        raise CheckpointError(f"{seen(out)} exists: choose another --out, or remove it first")
    check_parent(out)


def check_parent(out: Path) -> None:
    if _URI.match(str(out)):
        raise CheckpointError(
            f"{seen(out)} is no path on this machine, and commands write nowhere else: write to a folder and copy it "
            "from there; a job of a service goes to a bucket by `deliver` in its spec"
        )
    if not out.parent.is_dir():
        raise CheckpointError(f"there is no folder {seen(out.parent)}: make it first, or choose another --out")
    if not os.access(out.parent, os.W_OK):
        raise CheckpointError(f"the folder {seen(out.parent)} may not be written to: choose another --out")


def check_apart(out: Path, given: Path) -> None:
    """Raise CheckpointError where ``out`` is the file that is read, or one of the files of the folder that is."""
    try:
        inside = out.resolve().is_relative_to(given.resolve())
    except RuntimeError:  # so does Python 3.11 call a link that leads to itself
        raise CheckpointError(f"{seen(out)} or {seen(given)} is a link that leads to itself: name a file") from None
    if inside:
        raise CheckpointError(
            f"--out {seen(out)} would take the place of {seen(given)}, which is read: name another --out"
        )


def tell_rounding(share: float) -> None:
    """Print the share of a change that rounding to the base model's types took, where there is any."""
    if share >= 0.0001:
        typer.echo(f"{100 * share:.2f} % of the change is lost in rounding")


def read_prompts(class_names: Path | None, templates: Path | None) -> tuple[dict[str, str], list[str] | None]:
    """The class words and templates that the command line names, checked for their shape; None leaves a set's own."""
    from negmerge.data.prompts import check_templates

    words = read_json(class_names, dict[str, str], '{"n01440764": "tench"}') if class_names else {}
    prompts = check_templates(read_json(templates, list[str], '["a photo of a {}."]')) if templates else None
    return words, prompts


def read_json(path: Path, shape: type[T], example: str) -> T:
    """A small JSON file of this shape. Raises DataError, with the example."""
    from pydantic import TypeAdapter, ValidationError

    from negmerge.formats import strict_json

    if path.exists() and not path.is_file():  # a pipe would be waited for, and a device has no end
        raise DataError(f"{seen(path)} is no file")
    try:
        return TypeAdapter(shape).validate_python(strict_json.loads(path.read_bytes()))
    except OSError as error:
        raise DataError(f"{seen(path)} cannot be read: {error.strerror}") from None
    except strict_json.NotStrict as error:
        raise DataError(f"{seen(path)} should hold JSON such as {example}: {error}") from None
    except ValidationError as error:
        raise DataError(f"{seen(path)} should hold JSON such as {example}: {error.errors()[0]['msg']}") from None
