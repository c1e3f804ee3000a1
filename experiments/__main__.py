"""``make experiments``: the small experiments through the service, from base model to ``docs/results.md``.

Stopped at any moment it goes on where it stood: base models are kept, and the service keeps its jobs. Another spec,
other files or other code make a new job. Remove ``var/experiments`` to begin anew.
"""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

import negmerge
from experiments import pictures, results, subsets
from experiments.catalog import EXPERIMENTS, HERE, SPECS, Experiment, Material
from experiments.data import data_root
from experiments.results import PAGE
from negmerge.checkpoints.files import atomic_path, load_tensors
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.tune import task_vector_path
from negmerge.progress import OnStage, OnStep, ignore
from negmerge.report.console import following, result_table
from negmerge.spec.job import parse
from negmerge.spec.result import ResultDocument, load_result
from tooling.machine import machine
from tooling.service import ENDINGS, download, events, running, submit, upload


def main(names: list[str]) -> None:
    """Run the named experiments, by default all, one job after the other."""
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise SystemExit(f"there is no experiment {unknown[0]!r}: known are {', '.join(EXPERIMENTS)}")
    data = data_root()
    if data is None:
        raise SystemExit("the experiments need CIFAR-10 as cifar10-jpeg.zip: say in NEGMERGE_DATA where it is")
    chosen = [EXPERIMENTS[name] for name in names or EXPERIMENTS]
    console = Console()
    with following(Console(stderr=True)) as on_stage:
        made = {}
        for experiment in chosen:
            made[experiment.name] = experiment.make(data, on_stage(f"{experiment.name}: the base model"))
            console.print(f"{experiment.name}: {made[experiment.name].note}", highlight=False)
        with running(HERE / "service", fresh=False) as client:
            for name, material in made.items():
                job = _submit(client, EXPERIMENTS[name], material)  # not before: it would run beside a curve
                _follow(client, name, job, on_stage)
                folder = HERE / name / job
                document = _fetch(client, job, folder)
                console.print(result_table(document))
                load = partial(_vector, client, job, folder)
                spec, kept = parse(EXPERIMENTS[name].spec()), folder / "subsets.json"
                curve = subsets.curve(spec, material.datasets, load, kept, on_stage(f"{name}: the curve over N"))
                pictures.draw(document, curve, PAGE.parent / "results", name)
                results.insert(name, document, curve, machine())
                console.print(f"{name}: {folder / 'report.html'}, {PAGE}", highlight=False)


def _submit(client: httpx.Client, experiment: Experiment, material: Material) -> str:
    """The experiment's job: made now, or by an earlier run of the same code with the same spec and files."""
    spec = experiment.spec()
    text = json.dumps(spec)
    for path, what in material.uploads.items():
        text = text.replace(json.dumps(path), json.dumps(_uploaded(client, what.kind, what.file, what.fields)))
    spec = json.loads(text)
    for side in ("forget", "retain"):
        if "uri" in spec[side]:
            spec[side]["dataset"] = spec[side].pop("uri")
    key = hashlib.sha256(json.dumps(spec).encode())
    for package in (Path(negmerge.__file__).parent, SPECS):
        for file in sorted(package.rglob("*.py")):
            key.update(file.read_bytes())
    return submit(client, spec, f"{experiment.name}-{key.hexdigest()[:16]}")


def _uploaded(client: httpx.Client, kind: str, file: Path, fields: dict[str, str]) -> str:
    """The file's id: what the service was given once, it keeps under the file's digest as a name."""
    with file.open("rb") as stream:
        name = hashlib.file_digest(stream, "sha256").hexdigest()
    page: dict[str, Any] = client.get(f"/v1/{kind}", params={"limit": 100}).raise_for_status().json()
    for entry in page["data"]:
        if entry["name"] == name:
            return str(entry["id"])
    return upload(client, f"/v1/{kind}", file, {"name": name, **fields})


def _follow(client: httpx.Client, name: str, job: str, on_stage: OnStage) -> None:
    """Show the job's points and rivals as the steps of one stage each."""
    trained, total = 0, 0
    on_step: OnStep = ignore
    for event in events(client, job, pause=1.0):
        total = event["data"].get("points", total) + event["data"].get("rivals", 0)
        subject, _, what = event["kind"].partition(".")
        if event["kind"] in ENDINGS and what != "succeeded":
            raise SystemExit(f"{name}: job {job} has {what}: {json.dumps(event['data'])}")
        if subject == "job":
            on_step = on_stage(f"{name} is {what}")
        elif what == "trained":
            trained += 1
            on_step(trained, total, None)


def _fetch(client: httpx.Client, job: str, folder: Path) -> ResultDocument:
    folder.mkdir(parents=True, exist_ok=True)
    for artifact in ("result.json", "report.html"):
        download(client, f"/v1/jobs/{job}/artifacts/{artifact}", folder / artifact)
    return load_result(folder / "result.json")


def _vector(client: httpx.Client, job: str, folder: Path, index: int) -> TaskVector:
    """A point's task vector, downloaded once."""
    path = folder / "points" / f"{index}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            download(client, f"/v1/jobs/{job}/artifacts/{task_vector_path(index)}", temporary)
    return load_tensors(path)


if __name__ == "__main__":
    main(sys.argv[1:])
