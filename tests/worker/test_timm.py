"""A classifier's whole way through the real service: upload, job, download; and the weights are what was measured."""

import io
import json
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from app.settings import Settings
from tests.support import pico, pico_timm
from tests.support.api_client import Api, serving, sha256
from tests.support.service import PATIENCE, WorkerProcess

FORGOTTEN = "three"


@dataclass
class Done:
    """A job that has succeeded: its result, its weights' bytes, and the folder that the zip of them holds."""

    result: dict[str, Any]
    weights: bytes
    folder: Path
    archive: Path
    base: Path


@pytest.fixture(scope="module")
def done(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Done:
    files = tmp_path_factory.mktemp("files")
    base, archive = pico_timm.make_model(files / "model"), parted_digits(files / "digits.zip")
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), broker_url=broker_url, threads=1, poll_seconds=0.1, flush_seconds=0.5
    )
    with serving(settings) as api:
        worker = WorkerProcess(settings)
        try:
            job = submit(api, base, archive)
            wait(api, job, worker)
            zipped = api.get(f"/v1/jobs/{job}/weights?format=zip").content
            zipfile.ZipFile(io.BytesIO(zipped)).extractall(files / "unlearned")
            result, weights = api.get(f"/v1/jobs/{job}/result").json(), api.get(f"/v1/jobs/{job}/weights").content
        finally:
            worker.kill()
    return Done(result, weights, files / "unlearned", archive, base)


def parted_digits(path: Path, per_class: int = 60) -> Path:
    """The digits in folders that say the part themselves: of each class the last 12 are test, 12 before validation."""
    whole = pico.make_archive(path.with_name("whole.zip"), per_class=per_class)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            number = int(Path(name).stem)
            part = "train" if number < per_class - 24 else "val" if number < per_class - 12 else "test"
            target.writestr(zipfile.ZipInfo(f"{part}/{name}"), source.read(name))
    return path


def submit(api: Api, base: Path, archive: Path) -> str:
    """Upload both, and ask for a job that forgets a digit; its id."""
    packed = Path(shutil.make_archive(str(base), "zip", base))
    model = api.post("/v1/models", files={"file": ("model.zip", packed.read_bytes())}).json()
    assert model["family"] == "timm"
    dataset = api.upload_dataset(archive.read_bytes()).json()["id"]
    spec = {
        "base_model": {"family": "timm", "weights": model["id"]},
        "forget": {"dataset": dataset, "select": {"classes": [FORGOTTEN]}},
        "retain": {"dataset": dataset},
        "sweep": {
            "grid": {
                "learning_rate": [1e-3, 2e-3, 3e-3],
                "epochs": [4],
                "batch_size": [12],
                "optimizer": ["adamw"],
                "weight_decay": [0.1],
            }
        },
        "scale_search": {"keep": 0.8},
    }
    answer = api.post("/v1/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait(api: Api, job: str, worker: WorkerProcess) -> None:
    deadline = time.monotonic() + 2 * PATIENCE  # for the worker's start, and for the job
    while not (seen := api.get(f"/v1/jobs/{job}").json())["terminal"]:
        assert time.monotonic() < deadline, worker.log.read_text()
        time.sleep(0.05)
    assert seen["state"] == "succeeded", (seen["problem"], worker.log.read_text())


def scores(folder: Path, archive: Path) -> dict[str, list[int]]:
    """Correct and all test images of what is forgotten and of what stays: plain torch, PIL and the names in the zip."""
    module = pico_timm.module(json.loads((folder / "config.json").read_text()))
    module.load_state_dict(load_file(folder / "model.safetensors"))
    module.eval()
    found = {"forget": [0, 0], "retain": [0, 0]}
    with zipfile.ZipFile(archive) as files, torch.no_grad():
        for name in files.namelist():
            part, digit, _ = name.split("/")
            if part == "test":
                pixels = np.array(Image.open(io.BytesIO(files.read(name))).convert("RGB"))
                image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(127.5).sub(1)
                side = found["forget" if digit == FORGOTTEN else "retain"]
                side[0] += pico_timm.CLASSES[int(module(image).argmax())] == digit
                side[1] += 1
    return found


def measured(figures: dict[str, Any]) -> dict[str, list[int]]:
    """The result's figures of one model in the same form."""
    return {side: [counted["correct"], counted["count"]] for side, counted in figures["test"].items()}


def test_the_downloaded_model_scores_what_the_result_says(done: Done) -> None:
    assert measured(done.result["methods"]["negmerge"]) == scores(done.folder, done.archive)


def test_the_base_model_scores_what_the_result_says(done: Done) -> None:
    assert measured(done.result["methods"]["base"]) == scores(done.base, done.archive)


def test_the_digit_is_forgotten_and_the_others_are_kept(done: Done) -> None:
    (forgotten, samples), (kept, others) = scores(done.folder, done.archive).values()
    assert forgotten / samples < 0.5
    assert kept / others > 0.7


def test_the_weights_are_the_folders_and_the_results(done: Done) -> None:
    assert done.weights == (done.folder / "model.safetensors").read_bytes()
    assert done.result["digests"]["unlearned"] == f"sha256:{sha256(done.weights)}"
    assert json.loads((done.folder / "config.json").read_text()) == pico_timm.CONFIG


def test_the_head_has_moved_and_the_running_statistics_have_not(done: Done) -> None:
    before, after = load_file(done.base / "model.safetensors"), load_file(done.folder / "model.safetensors")
    buffers = [name for name in before if "running" in name or "num_batches" in name]
    assert buffers
    assert all(torch.equal(before[name], after[name]) for name in buffers)
    assert not torch.equal(before["fc.weight"], after["fc.weight"])
