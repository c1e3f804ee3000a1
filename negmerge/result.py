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
from negmerge import report
from negmerge.checkpoints import atomic_path, save
from negmerge.merging import Consensus
from negmerge.network import Network
from negmerge.prepared import Figures, Prepared, as_json
from negmerge.search import Choice
from negmerge.spec import JobSpec
from negmerge.vectors import TaskVector, digest, rounded_away, unlearned


@dataclass(frozen=True)
class MethodResult:
    """One method's chosen scale with its curve, and its figures there."""

    choice: Choice
    figures: Figures


@dataclass(frozen=True)
class Concluded:
    """All that the result document is made of, besides the weights."""

    spec: JobSpec
    job: str | None
    prepared: Prepared
    results: Mapping[str, MethodResult]
    consensus: Consensus
    points: Sequence[Mapping[str, Any]]


def write(concluded: Concluded, model: Network, merged: TaskVector, folder: Path) -> dict[str, Any]:
    """Write every artifact into ``folder`` and return the result document.

    merged: τ* of the job's method, float32. ``digests.unlearned`` is the SHA-256 of the weights file itself,
    ``digests.base`` and ``digests.task_vector`` are over tensors (``vectors.digest``).
    """
    scale = concluded.results[concluded.spec.merge.method].choice.scale
    weights = unlearned(model.original, merged, scale)
    save(merged, folder / "merged" / "task_vector.safetensors")
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
    main = concluded.results[spec.merge.method].choice
    return {
        "job": concluded.job,
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "method": spec.merge.method,
        "rule": spec.scale_rule,
        "scale": main.scale,
        "scale_at_edge": main.at_edge,
        "nothing_unlearned": main.scale == 0,
        "consensus": {"share": concluded.consensus.share, "tensors": concluded.consensus.tensors},
        "methods": {"base": as_json(prepared.base)}
        | {name: _method(result) for name, result in concluded.results.items()},
        "points": [dict(point) for point in concluded.points],
        "left_out": [point["index"] for point in concluded.points if point["state"] != "folded"],
        "splits": prepared.splits,
        "digests": dict(digests),
    }


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
    choice = {"scale": result.choice.scale, "scale_at_edge": result.choice.at_edge, "curve": curve}
    return choice | as_json(result.figures)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
