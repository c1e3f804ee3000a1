"""``make demo``: forget one digit of a small CLIP model, over HTTP, from upload to unlearned weights.

Everything it makes lies in ``var/demo``; the model is built once and kept there.
"""

import json
import shutil
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import torch
from rich.console import Console

from negmerge.progress import OnStage, OnStep, ignore
from negmerge.report.console import following, result_table
from negmerge.spec.result import ResultDocument, load_result
from tooling.digits import FORGET, SWEEP, Digits, make_digits
from tooling.service import ENDINGS, download, events, running, submit, upload

HERE = Path("var/demo")


def main() -> None:
    """Run the demo and print its table."""
    console = Console()
    started = time.monotonic()
    torch.set_num_threads(1)  # the model is small: a second thread gains little, and loses much on a busy machine
    with following(Console(stderr=True)) as on_stage:
        digits = make_digits(HERE / "digits", on_stage("a small CLIP model learns handwritten digits"))
        console.print(f"base model: {100 * digits.accuracy:.1f} % on test, {_since(started)}", highlight=False)
        with running(HERE / "service") as client:
            console.print(f"service ready, {_since(started)}", highlight=False)
            job = submit(client, _spec(client, digits))
            sweep = _follow(client, job, on_stage)
            document = _fetch(client, job)
    console.print(result_table(document))
    points = len(document.points)
    console.print(
        f"sweep of {points} points on two workers: {sweep:.1f} s; all of it: {_since(started)}", highlight=False
    )
    console.print(f"{document.digests.unlearned}  {HERE / 'unlearned'}", highlight=False, soft_wrap=True)
    console.print(f"report: {HERE / 'report.html'}", highlight=False)


def _spec(client: httpx.Client, digits: Digits) -> dict[str, Any]:
    words = {"class_names": json.dumps(digits.class_names), "templates": json.dumps(digits.templates)}
    dataset = upload(client, "/v1/datasets", digits.archive, {"name": "digits", **words})
    config = (digits.model / "open_clip_config.json").read_text()
    model = upload(
        client,
        "/v1/models",
        digits.model / "open_clip_model.safetensors",
        {"name": "digits-clip", "config": config},
    )
    return {
        "base_model": {"family": "open_clip", "weights": model},
        "forget": {"dataset": dataset, "select": {"classes": [FORGET]}},
        "retain": {"dataset": dataset},
        "sweep": SWEEP,
        "compare": ["task_arithmetic", "uniform"],
        "metadata": {"ticket": "DEMO-1"},
    }


def _fetch(client: httpx.Client, job: str) -> ResultDocument:
    """Download the artifacts into HERE, the weights as the folder that open_clip loads."""
    download(client, f"/v1/jobs/{job}/artifacts/result.json", HERE / "result.json")
    download(client, f"/v1/jobs/{job}/artifacts/report.html", HERE / "report.html")
    archive = HERE / "unlearned.zip"
    download(client, f"/v1/jobs/{job}/weights?format=zip", archive)
    shutil.rmtree(HERE / "unlearned", ignore_errors=True)
    with zipfile.ZipFile(archive) as files:
        files.extractall(HERE / "unlearned")
    archive.unlink()
    return load_result(HERE / "result.json")


def _follow(client: httpx.Client, job: str, on_stage: OnStage) -> float:
    """Show the job's events as stages, and its trained points as the steps of one; returns the sweep's seconds."""
    trained = points = 0
    at: dict[str, datetime] = {}
    on_step: OnStep = ignore
    for event in events(client, job):
        points = event["data"].get("points", points)
        at[event["kind"]] = datetime.fromisoformat(event["at"])
        subject, _, what = event["kind"].partition(".")
        if event["kind"] in ENDINGS and what != "succeeded":
            raise SystemExit(f"job {job} has {what}: {json.dumps(event['data'])}")
        if subject == "job":
            on_step = on_stage(f"job {job} is {what}" if what != "succeeded" else f"job {job} has succeeded")
        elif event["kind"] == "point.trained":
            trained += 1
            on_step(trained, points, None)
    return (at["job.concluding"] - at["job.tuning"]).total_seconds()


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f} s since the start"


if __name__ == "__main__":
    main()
