"""``negmerge export``: a model in another format."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmerge.cli.given import ClassNames, Templates, check_parent, need, read_prompts, seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.errors import DataError
from negmerge.naming import shown

if TYPE_CHECKING:
    from negmerge.publishing.onnx_file import Head


def export(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `negmerge run` made, a model's folder, or the zip of one.")
    ],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="OUT.onnx", help="Where the ONNX file goes.")],
    opset: Annotated[
        int | None, typer.Option(min=18, max=23, help="The version of ONNX's operators; else what torch prefers.")
    ] = None,
    spec_file: Annotated[
        Path | None,
        typer.Option("--spec", metavar="SPEC.json", help="Zero-shot over the classes of this job's data set."),
    ] = None,
    class_names: ClassNames = None,
    templates: Templates = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX: a classifier, or an image tower; with class names a zero-shot classifier.

    onnxruntime must answer as torch does before the file is left.
    """
    need("onnx", "onnx", "onnxruntime", "onnxscript")
    check_parent(onnx)
    head = _head(spec_file, class_names, templates)

    from negmerge.publishing import onnx_file
    from negmerge.publishing.folders import opened

    with opened(folder) as model:
        done = onnx_file.export(model, onnx, head, opset)
    if as_json:
        print_json({"file": str(onnx), **asdict(done)})
        return
    typer.echo(
        f"{done.width} {done.output} an image; onnxruntime's are {done.difference:.1e} of the largest from torch's, "
        f"of at most {onnx_file.TOLERANCE:.0e}"
    )
    typer.echo(f"{done.digest}  {seen(onnx)}")


def _head(spec_file: Path | None, class_names: Path | None, templates: Path | None) -> "Head | None":
    """The classes of a zero-shot head, from a job's data set or from a file alone; None where none are given."""
    if spec_file is None and class_names is None:
        if templates is not None:
            raise DataError("--templates is for class names: give --class-names or --spec too")
        return None

    from negmerge.data.prompts import DEFAULT_TEMPLATES, class_words
    from negmerge.publishing.onnx_file import Head

    words, prompts = read_prompts(class_names, templates)
    if spec_file is None:
        classes = list(words)
        return Head(classes, class_words(classes, words), prompts or DEFAULT_TEMPLATES)

    from negmerge.pipeline import local

    forget, retain = local.open_datasets(local.read_spec(spec_file), words, prompts)
    if forget.index.classes != retain.index.classes:
        name = min({*forget.index.classes} ^ {*retain.index.classes})
        raise DataError(f"{shown(name)} is in one of the job's two data sets alone: give --class-names without --spec")
    return Head(forget.index.classes, forget.class_words, forget.templates)
