"""A model of transformers' whole way through the real service: what comes back, its own library loads and computes."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageClassification

from app.settings import Settings
from negmerge.models.loading import load_model
from tests.support import pico
from tests.support import transformers_folders as theirs
from tests.support.api_client import Api, serving, zipped
from tests.support.service import WorkerProcess
from tests.worker.test_timm import wait

pytestmark = [pytest.mark.server, pytest.mark.slow]


@dataclass
class Done:
    """A job that has succeeded: the folder that came in, and both that came back."""

    given: Path
    ours: Path
    theirs: Path
    card: str


@pytest.fixture(scope="module")
def done(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Done:
    files = tmp_path_factory.mktemp("files")
    given = theirs.save(theirs.resnet(), files / "given")
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), broker_url=broker_url, threads=1, poll_seconds=0.1)
    with serving(settings) as api:
        worker = WorkerProcess(settings)
        try:
            job = submitted(api, given, pico.make_archive(files / "digits.zip", per_class=20))
            wait(api, job, worker)
            for form in ("zip", "transformers"):
                content = api.get(f"/v1/jobs/{job}/weights?format={form}").content
                zipfile.ZipFile(io.BytesIO(content)).extractall(files / form)
            card = api.get(f"/v1/jobs/{job}/artifacts/MODEL_CARD.md").text
        finally:
            worker.kill()
    return Done(given, files / "zip", files / "transformers", card)


def submitted(api: Api, model: Path, archive: Path) -> str:
    """A job that subtracts one point, whatever comes of it."""
    content = zipped({path.name: path.read_bytes() for path in model.iterdir()})
    uploaded = api.post("/v1/models", files={"file": ("model.zip", content)}).json()["id"]
    dataset = api.upload_dataset(archive.read_bytes()).json()["id"]
    spec: dict[str, Any] = {
        "base_model": {"family": "timm", "weights": uploaded},
        "forget": {"dataset": dataset, "select": {"classes": ["three"]}},
        "retain": {"dataset": dataset},
        "sweep": {"points": [{"learning_rate": 1e-3, "epochs": 1, "batch_size": 16}]},
        "scale_search": {"rule": "fixed", "scale": 1.0},
    }
    answer = api.post("/v1/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_transformers_gives_the_answers_of_the_unlearned_model(done: Done) -> None:
    ours, own = load_model(done.ours), AutoModelForImageClassification.from_pretrained(done.theirs).eval()
    images = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        found, expected = ours.logits(images, torch.zeros(0)), own(pixel_values=ours.pixels(images)).logits
        before = AutoModelForImageClassification.from_pretrained(done.given).eval()(ours.pixels(images)).logits
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5
    assert float((before - expected).abs().max() / expected.abs().max()) > 1e-3


def test_the_folder_has_the_files_that_came_in(done: Done) -> None:
    assert {path.name for path in done.theirs.iterdir()} == {path.name for path in done.given.iterdir()}


def test_the_model_card_says_which_library_loads_it(done: Done) -> None:
    assert "library_name: transformers\n" in done.card
    assert "`from_pretrained` of transformers loads" in done.card
