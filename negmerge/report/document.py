"""What a job leaves behind: the result document, the unlearned model, the merged vector, the report, the card."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch

import negmerge
from negmerge.checkpoints.files import atomic_path, save_tensors
from negmerge.checkpoints.tensors import digest
from negmerge.evaluation.assessment import Assessment
from negmerge.evaluation.prepared import Prepared
from negmerge.evaluation.search import Choice
from negmerge.merging.partial import Consensus
from negmerge.merging.vectors import TaskVector, rounded_away, unlearned
from negmerge.models.network import Network
from negmerge.report import pages as report
from negmerge.report.comparison import Run, table, table_parts
from negmerge.spec import caveats
from negmerge.spec.job import JobSpec


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
    prepared: Prepared
    base: Assessment
    results: Mapping[str, Sequence[MethodResult]]
    consensus: Consensus
    points: Sequence[Mapping[str, Any]]
    rivals: Sequence[Mapping[str, Any]]
    duplicates: Mapping[str, Any]


def write(concluded: Concluded, model: Network, merged: TaskVector, folder: Path) -> dict[str, Any]:
    """Write every artifact into ``folder`` and return the result document.

    merged: τ* of the job's method, float32. ``digests.unlearned`` is the SHA-256 of the weights file itself,
    ``digests.base`` and ``digests.task_vector`` are over tensors (``tensors.digest``).
    """
    scale = concluded.results[concluded.spec.merge.method][0].choice.scale
    weights = unlearned(model.original, merged, scale)
    save_tensors(merged, folder / "merged" / "task_vector.safetensors")
    digests = {
        "base": digest(model.original),
        "task_vector": digest(merged),
        "unlearned": model.save(weights, folder / "unlearned"),
    }
    document = as_document(concluded, digests) | {
        "environment": environment(model.device),
        "rounded_away": rounded_away(model.original, merged, scale),
    }
    _write_text(folder / "result.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    _write_text(folder / "report.html", report.html(document))
    _write_text(folder / "MODEL_CARD.md", report.model_card(document))
    return document


def as_document(concluded: Concluded, digests: Mapping[str, str]) -> dict[str, Any]:
    """The result document of DESIGN §7."""
    spec, prepared = concluded.spec, concluded.prepared
    main = concluded.results[spec.merge.method][0].choice
    parts = table_parts(prepared, spec.base_model.is_classifier)
    document = {
        "job": concluded.job,
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "method": spec.merge.method,
        "rule": spec.scale_rule,
        "scale": main.scale,
        "scale_at_edge": main.at_edge,
        "nothing_unlearned": main.scale == 0,
        "consensus": {"share": concluded.consensus.share, "tensors": concluded.consensus.tensors},
        "methods": {"base": concluded.base.as_json()}
        | {name: _method(results[0]) for name, results in concluded.results.items()}
        | {row["rival"]: _rival(row) for row in reversed(concluded.rivals) if row["state"] == "done"},
        "repeats": _repeats(concluded),
        "table": table(_runs(concluded), parts),
        "table_parts": parts,
        "points": [dict(point) for point in concluded.points],
        "left_out": [point["index"] for point in concluded.points if point["state"] != "folded"],
        "splits": prepared.splits,
        "data": prepared.data,
        "duplicates": dict(concluded.duplicates),
        "digests": dict(digests),
    }
    return document | {"warnings": caveats.of_result(document)}


def environment(device: torch.device | str) -> dict[str, Any]:
    """Where the figures come from: device, threads and versions."""
    device = torch.device(device)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "timm": timm.__version__,
        "python": platform.python_version(),
        "negmerge": negmerge.__version__,
    }


def _method(result: MethodResult) -> dict[str, Any]:
    curve = [
        {"scale": point.scale, "forget": point.forget.as_json(), "retain": point.retain.as_json()}
        for point in result.choice.curve
    ]
    choice: dict[str, Any] = {"scale": result.choice.scale, "scale_at_edge": result.choice.at_edge, "curve": curve}
    if result.points is not None:
        choice["points"] = result.points
    choice |= {"seconds": result.run.seconds, "bytes_stored": result.run.bytes_stored}
    return choice | result.run.assessment.as_json()


def _rival(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("rival", "state")}


def _repeats(concluded: Concluded) -> list[dict[str, Any]]:
    """What each repeat scores, by method; the figures by class are those of the first, under ``methods``."""
    repeats = []
    for repeat in range(concluded.spec.repeats):
        methods = {
            name: {"scale": results[repeat].choice.scale} | results[repeat].run.assessment.as_json(per_class=False)
            for name, results in concluded.results.items()
        }
        rivals = {
            row["rival"]: Assessment.from_json(row).as_json(per_class=False) if row["state"] == "done" else row["cause"]
            for row in concluded.rivals
            if row["repeat"] == repeat
        }
        repeats.append(methods | rivals)
    return repeats


def _runs(concluded: Concluded) -> dict[str, list[Run]]:
    """All runs by method, base first, each method's in the order of the repeats."""
    runs = {"base": [Run(concluded.base)]}
    runs |= {name: [result.run for result in results] for name, results in concluded.results.items()}
    for row in sorted(concluded.rivals, key=lambda row: int(row["repeat"])):
        run = Run(Assessment.from_json(row), row.get("seconds"), bytes_stored=0)  # one that diverged scores nothing
        runs.setdefault(row["rival"], []).append(run)
    return runs


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
