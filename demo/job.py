"""Forget one digit of a small CLIP model, over HTTP, from upload to unlearned weights.

Everything it makes lies in ``var/demo``; the model is built once and kept there.
"""

import json
import shutil
import sys
import time
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import torch
from rich.console import Console

from negmerge.report.console import result_table
from negmerge.spec.result import ResultDocument, load_result
from tooling.beat import Beat
from tooling.digits import FORGET, SWEEP, Digits, make_digits
from tooling.service import ENDINGS, download, events, running, submit, upload

HERE = Path("var/demo")
PAGE = "http://127.0.0.1:8765/"
"""Where `make up` has it."""


@dataclass(frozen=True)
class Made:
    """What the demo ends with: the result, and how long the sweep and all of it took, in seconds."""

    document: ResultDocument
    sweep: float
    whole: float


def run(beat: Beat) -> Made:
    """The whole demo: a base model, a service, a job."""
    started = time.monotonic()
    torch.set_num_threads(1)  # the model is small: a second thread gains little, and loses much on a busy machine
    beat.begin("a small CLIP model learns handwritten digits")
    digits = make_digits(HERE / "digits", lambda step, total, loss: beat.at(f"step {step} of {total}"))
    beat.say(f"base model: {100 * digits.accuracy:.1f} % on test, {_since(started)}", sys.stdout)
    beat.begin("the service starts: broker, API, two workers")
    with running(HERE / "service") as client:
        beat.say(f"service ready, {_since(started)}", sys.stdout)
        beat.begin("model and images are uploaded")
        job = submit(client, _spec(client, digits))
        sweep = _follow(client, job, beat)
        beat.begin("the results are fetched")
        document = _fetch(client, job)
        beat.begin("the service stops")
    return Made(document, sweep, time.monotonic() - started)


def show(made: Made) -> None:
    """Print the table, and where to look further."""
    console = Console()
    console.print(result_table(made.document))
    lines = [
        f"sweep of {len(made.document.points)} points on two workers: {made.sweep:.1f} s; "
        f"all of it: {made.whole:.0f} s since the start",
        f"{made.document.digests.unlearned}  {HERE / 'unlearned'}",
        f"report: {HERE / 'report.html'}",
        f"in a browser: `make up`, then {PAGE} with the key in {HERE / 'service' / 'api-key'}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


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


def _follow(client: httpx.Client, job: str, beat: Beat) -> float:
    """Say the job's events as they come, and how many points are trained; returns the sweep's seconds."""
    trained = points = 0
    at: dict[str, datetime] = {}
    for event in events(client, job):
        points = event["data"].get("points", points)
        at[event["kind"]] = datetime.fromisoformat(event["at"])
        subject, _, what = event["kind"].partition(".")
        if event["kind"] in ENDINGS and what != "succeeded":
            raise SystemExit(f"job {job} has {what}: {json.dumps(event['data'])}")
        if event["kind"] == "job.succeeded":
            beat.say(f"job {job} has succeeded")
        elif subject == "job":
            beat.begin(f"job {job} is {what}")
        elif event["kind"] == "point.trained":
            trained += 1
            beat.at(f"{trained} of {points} points are trained")
    return (at["job.concluding"] - at["job.tuning"]).total_seconds()


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f} s since the start"
