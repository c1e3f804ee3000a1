"""What a job leaves behind: the result document, the unlearned model, the merged vector, the report, the card."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

import negmerge
from negmerge.checkpoints.files import atomic_path, save_tensors
from negmerge.checkpoints.tensors import digest
from negmerge.evaluation.assessment import Assessment
from negmerge.evaluation.prepared import Prepared
from negmerge.evaluation.search import Choice
from negmerge.merging.vectors import TaskVector, rounded_away, unlearned
from negmerge.models.network import Network
from negmerge.report import pages
from negmerge.report.comparison import Run, table, table_parts
from negmerge.spec import auto, caveats, outcome, paths
from negmerge.spec.consensus import Consensus
from negmerge.spec.examples import Examples
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Trained
from negmerge.spec.result import (
    Asked,
    CurveRow,
    Digests,
    Duplicates,
    Environment,
    MethodRow,
    PointRow,
    ResultDocument,
    RivalRow,
)


@dataclass(frozen=True)
class MethodResult:
    """One method in one repeat: its chosen scale with its curve, what it scores there, and greedy's points."""

    choice: Choice
    run: Run
    points: list[int] | None = None


@dataclass(frozen=True)
class Concluded:
    """All that the result document is made of, besides the weights."""

    spec: JobSpec
    job: str | None
    asked: Asked
    prepared: Prepared
    base: Assessment
    results: Mapping[str, Sequence[MethodResult]]
    consensus: Consensus
    points: Sequence[PointRow]
    rivals: Sequence[RivalRow]
    duplicates: Duplicates
    examples: Examples
    trained: Trained


def write(concluded: Concluded, model: Network, merged: TaskVector, folder: Path) -> ResultDocument:
    """Write every artifact into ``folder`` and return the result document.

    merged: τ* of the job's method, float32. ``digests.unlearned`` is the SHA-256 of the weights file itself,
    ``digests.base`` and ``digests.task_vector`` are over tensors (``tensors.digest``).
    """
    scale = concluded.results[concluded.spec.merge.method][0].choice.scale
    weights = unlearned(model.original, merged, scale)
    save_tensors(merged, folder / paths.TASK_VECTOR)
    digests = Digests(
        base=model.digest,
        task_vector=digest(merged),
        unlearned=model.save(weights, folder / "unlearned"),
    )
    if model.theirs is not None:
        model.theirs.save(weights, folder / paths.UNLEARNED_THEIRS)
    changed = any(not torch.equal(weights[name], model.original[name]) for name in merged)
    lost = rounded_away(model.original, merged, scale)
    document = as_document(concluded, digests, environment(model.device, concluded.trained), lost, changed)
    _write_text(folder / paths.RESULT, json.dumps(document.as_json(), indent=2, allow_nan=False) + "\n")
    _write_text(folder / "examples.json", json.dumps(concluded.examples.as_json(), indent=2) + "\n")
    _write_text(folder / "report.html", pages.html(document))
    _write_text(folder / "MODEL_CARD.md", pages.model_card(document, of_transformers=model.theirs is not None))
    return document


def as_document(
    concluded: Concluded, digests: Digests, where: Environment, rounded_away: float, changed: bool
) -> ResultDocument:
    """The result document, which ``result.json`` holds and ``GET /v1/jobs/{id}/result`` gives.

    where: what it was computed on and with. changed: whether the weights differ from the base model's in any bit.
    """
    spec, prepared = concluded.spec, concluded.prepared
    methods = _methods(concluded)
    reference = None if prepared.reference is None else prepared.reference.record()
    verdict = outcome.judge(
        outcome.Judged(spec, methods["base"], methods[spec.merge.method], prepared.splits, reference, changed)
    )
    main = concluded.results[spec.merge.method][0].choice
    parts = table_parts(prepared, spec.base_model.is_classifier)
    document = ResultDocument(
        job=concluded.job,
        from_job=spec.from_job,
        spec=spec,
        method=spec.merge.method,
        rule=spec.scale_rule,
        scale=main.scale,
        scale_at_edge=main.at_edge,
        reference=reference,
        outcome=verdict.outcome,
        outcome_reason=verdict.reason,
        gates=verdict.gates,
        asked=concluded.asked,
        consensus=concluded.consensus,
        methods=methods,
        repeats=[_repeat(concluded, repeat) for repeat in range(spec.repeats)],
        table=table(_runs(concluded), parts),
        table_parts=parts,
        points=list(concluded.points),
        left_out=[point.index for point in concluded.points if point.state != "folded"],
        splits=prepared.splits,
        data=prepared.data,
        duplicates=concluded.duplicates,
        digests=digests,
        warnings=[],
        environment=where,
        rounded_away=rounded_away,
    )
    if choice := auto.chosen(spec.sweep, spec.base_model.is_classifier):
        document = document.model_copy(update={"sweep_chosen": choice})
    return document.model_copy(update={"warnings": caveats.of_result(document)})


def environment(device: torch.device | str, trained: Trained) -> Environment:
    """Where the figures come from: device, threads, precision and versions."""
    device = torch.device(device)
    return Environment(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        precision=trained.precision,
        **({} if trained.by is None else {"bfloat16_by": trained.by}),
        torch=torch.__version__,
        open_clip=version("open_clip_torch"),
        timm=version("timm"),
        python=platform.python_version(),
        negmerge=negmerge.__version__,
    )


def _methods(concluded: Concluded) -> dict[str, MethodRow]:
    """The base model, each method in the first repeat, and the first run of each rival that has figures."""
    rows = {"base": MethodRow(**concluded.base.record().given())}
    rows |= {name: _method(results[0]) for name, results in concluded.results.items()}
    done = [row for row in reversed(concluded.rivals) if row.state == "done"]
    return rows | {row.rival: _rival(row) for row in done}


def _method(result: MethodResult) -> MethodRow:
    choice, run = result.choice, result.run
    curve = [
        CurveRow(scale=point.scale, forget=point.forget.record(), retain=point.retain.record())
        for point in choice.curve
    ]
    joined = {} if result.points is None else {"points": result.points}
    return MethodRow(
        scale=choice.scale,
        scale_at_edge=choice.at_edge,
        curve=curve,
        **joined,
        seconds=run.seconds,
        bytes_stored=run.bytes_stored,
        **run.assessment.record().given(),
    )


def _rival(row: RivalRow) -> MethodRow:
    return MethodRow(**{name: value for name, value in row.given().items() if name not in ("rival", "state")})


def _repeat(concluded: Concluded, repeat: int) -> dict[str, MethodRow | str]:
    """What one repeat scores, by method; the figures by class are those of the first, under ``methods``."""
    rows: dict[str, MethodRow | str] = {
        name: MethodRow(
            scale=results[repeat].choice.scale, **results[repeat].run.assessment.record(per_class=False).given()
        )
        for name, results in concluded.results.items()
    }
    for row in concluded.rivals:
        if row.repeat == repeat:
            figures = Assessment.of(row).record(per_class=False).given()
            rows[row.rival] = MethodRow(**figures) if row.cause is None else row.cause
    return rows


def _runs(concluded: Concluded) -> dict[str, list[Run]]:
    """All runs by method, base first, each method's in the order of the repeats."""
    runs = {"base": [Run(concluded.base)]}
    runs |= {name: [result.run for result in results] for name, results in concluded.results.items()}
    for row in sorted(concluded.rivals, key=lambda row: row.repeat):
        run = Run(Assessment.of(row), row.seconds, bytes_stored=0)  # one that diverged scores nothing
        runs.setdefault(row.rival, []).append(run)
    return runs


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
