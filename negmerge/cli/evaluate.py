"""``negmerge evaluate``: a model measured on a job's splits."""

from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import ClassNames, Device, SpecFile, Templates, read_prompts, seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.errors import ModelError


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder in open_clip's or timm's format.")],
    spec_file: SpecFile,
    device: Device = "auto",
    class_names: ClassNames = None,
    templates: Templates = None,
    as_json: AsJson = False,  # it prints nothing else in any case
) -> None:
    """Measure a model on a job's splits; prints JSON: part → side → accuracy, per class too."""
    if not model.is_dir():
        raise ModelError(f"{seen(model)} is no folder: give a model's folder in open_clip's or timm's format")

    from rich.console import Console

    from negmerge.evaluation.figures import recorded
    from negmerge.models.determinism import deterministic
    from negmerge.models.devices import device_of
    from negmerge.pipeline import local
    from negmerge.pipeline.prepare import prepare
    from negmerge.report.console import following
    from negmerge.spec.job import ScaleSearch

    spec = local.read_spec(spec_file)
    spec = spec.model_copy(update={"scale_search": ScaleSearch(rule="lowest_forget")})  # no λ, so nothing to match
    forget, retain = local.open_datasets(spec, *read_prompts(class_names, templates))
    with deterministic(), following(Console(stderr=True)) as on_stage:
        network = local.open_measured(model, spec, device_of(device))
        prepared = prepare(spec, network, forget, retain, on_stage("evaluate"))
    print_json(recorded(prepared.base))
