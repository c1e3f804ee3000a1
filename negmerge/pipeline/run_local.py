"""A whole job on this machine, from its spec to a folder: what ``negmerge run`` and a notebook do."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from negmerge.errors import CheckpointError, FieldError, SpecError
from negmerge.memory import keep_freed_memory
from negmerge.models.determinism import deterministic
from negmerge.models.devices import device_of
from negmerge.pipeline.local import check_local, open_datasets, open_model, read_spec
from negmerge.pipeline.run import run, stages
from negmerge.pipeline.sweep import with_sweep
from negmerge.pipeline.unfinished import unfinished
from negmerge.progress import OnStage, OnStep, ignore
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.result import ResultDocument


def in_silence(_stage: str) -> OnStep:
    """An OnStage that nobody listens to."""
    return ignore


def run_local(
    spec: JobSpec | Mapping[str, Any] | Path | str,
    out: Path | str,
    *,
    device: str = "auto",
    threads: int = 0,
    class_names: Mapping[str, str] | None = None,
    templates: Sequence[str] | None = None,
    on_stage: OnStage = in_silence,
    on_plan: Callable[[int], None] = lambda _stages: None,
    restart: bool = False,
) -> ResultDocument:
    """Run a whole job: sweep, merge, search for λ, test, weights, report. Returns the result document.

    spec: a job's spec, the JSON that it is parsed from as a mapping, or the path of a file with that JSON. Its
    references are local (docs/command-line.md). out: a folder that must not exist yet; it appears whole at the end, or
    not at all. device: auto, cpu, cuda or cuda:N. threads: CPU threads, set for the whole process; 0 leaves them.
    class_names, templates: as ``local.open_datasets`` takes them. on_stage: called with a stage's name before it
    begins, returns the OnStep that follows it. on_plan: called once before, with the number of stages. The process
    keeps what it frees from then on (``memory``).

    A run that was stopped goes on where it stood, to the same bits, when the same is asked for again: the points that
    are done are kept beside ``out`` (``unfinished``). restart: begin anew.

    Raises SpecError for what the spec says wrong, DataError and ModelError for what it names, CheckpointError where
    ``out`` exists or what is kept belongs to another job, MergeError where nothing can be merged, and what ``on_stage``
    or its OnStep raises.
    """
    out = Path(out)
    if out.exists():
        raise CheckpointError(f"{out} exists: choose another folder, or remove it first")
    spec = _parsed(spec)
    if spec.deliver is not None:
        raise SpecError([FieldError("/deliver", "is for the service: leave it out, and copy the folder")])
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    with deterministic():
        forget, retain = open_datasets(spec, class_names, templates)
        model = open_model(spec, device_of(device))
        spec = with_sweep(spec, model, forget, retain)
        on_plan(stages(spec))
        with unfinished(out, restart=restart) as done:
            return run(spec, model, forget, retain, done, on_stage)


def _parsed(spec: JobSpec | Mapping[str, Any] | Path | str) -> JobSpec:
    if isinstance(spec, Path | str):
        return read_spec(Path(spec))
    check_local(spec.model_dump() if isinstance(spec, JobSpec) else spec)
    return spec if isinstance(spec, JobSpec) else parse(spec)
