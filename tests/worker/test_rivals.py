"""One whole job with a classifier, repeats and rivals: by real workers, and the same again in this process."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.intake.registration import Registrar
from app.intake.uploads import Upload
from app.settings import Settings
from app.store.objects import Store
from negmerge.data.archives import Sample
from negmerge.data.selection import Splits, split
from negmerge.models.loading import load_model
from negmerge.pipeline import run as pipeline
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.unfinished import unfinished
from negmerge.progress import ignore
from negmerge.spec.job import JobSpec, parse
from tests.support import pico, pico_timm
from tests.support.api_client import sha256, zipped
from tests.support.service import CALLER, Service, running

MERGES = ["negmerge", "uniform", "greedy"]
RIVALS = ["retrain", "fine_tune"]
SELECT = {"fraction": 0.1, "seed": 1}
POINT = {"epochs": 4, "batch_size": 8, "optimizer": "adamw", "weight_decay": 0.1}
CHANGES: dict[str, Any] = {
    "sweep": {"points": [POINT | {"learning_rate": rate} for rate in (1e-3, 3e-3)]},
    "scale_search": {"rule": "lowest_forget", "keep": 0.5},  # so few samples match unseen ones at once: all are right
    "compare": ["uniform", "greedy", *RIVALS],
    "rivals": {name: {"epochs": 1} for name in RIVALS},
    "repeats": 2,
    "keep_task_vectors": True,
}


@dataclass(frozen=True)
class Both:
    """The job's result by workers and in this process, its unlearned folder, its archive and its spec here."""

    service: dict[str, Any]
    local: dict[str, Any]
    unlearned: Path
    archive: Path
    spec: JobSpec

    def rows(self) -> dict[str, dict[str, Any]]:
        """The workers' table by method."""
        return {row["method"]: row for row in self.service["table"]}


@pytest.fixture(scope="module")
def both(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Both:
    files = tmp_path_factory.mktemp("files")
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        broker_url=broker_url,
        queue="rivals",
        threads=1,
        poll_seconds=0.1,
        flush_seconds=0.5,
    )
    folder = pico_timm.make_model(files / "classifier")
    with running(settings, files) as service:  # which has this process compute on one thread too
        service.start(2)
        job_id = service.submit(
            base_model={"family": "timm", "weights": upload(service, folder, files)},
            forget={"dataset": service.dataset_id, "select": SELECT},
            **CHANGES,
        )
        service.finish(job_id)
        artifacts = {path: service.store.read(key) for key, path in service.artifact_keys(job_id).items()}
    unlearned = files / "unlearned"
    unlearned.mkdir()
    for name in ("config.json", "model.safetensors"):
        (unlearned / name).write_bytes(artifacts[f"unlearned/{name}"])
    archive = files / "digits.zip"
    spec = local_spec(folder, archive)
    return Both(json.loads(artifacts["result.json"]), run_here(spec, files / "out"), unlearned, archive, spec)


def upload(service: Service, folder: Path, files: Path) -> str:
    """The id of the classifier, registered as an upload of its folder."""
    content = zipped({path.name: path.read_bytes() for path in folder.iterdir()})
    path = files / "upload" / "classifier.zip"  # in a folder of its own, which it is unpacked into
    path.parent.mkdir()
    path.write_bytes(content)
    registrar = Registrar(service.settings, service.database, Store.open(service.settings.store_url))
    uploaded = Upload(path, path.name, len(content), sha256(content), {})
    return str(registrar.upload_model(CALLER, uploaded).id)


def local_spec(folder: Path, archive: Path) -> JobSpec:
    """The same job over files of this machine."""
    return parse(
        {
            "base_model": {"family": "timm", "weights": str(folder)},
            "forget": {"uri": str(archive), "select": SELECT},
            "retain": {"uri": str(archive)},
        }
        | CHANGES
    )


def run_here(spec: JobSpec, out: Path) -> dict[str, Any]:
    """The result document as it is written."""
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    with unfinished(out) as done:
        return pipeline.run(spec, open_model(spec, "cpu"), forget, retain, done, lambda stage: ignore).as_json()


def splits(spec: JobSpec) -> Splits:
    forget, retain = open_datasets(spec)
    return split(spec.forget, spec.retain, forget.index, retain.index)


def test_this_process_gets_the_digests_that_the_workers_got(both: Both) -> None:
    assert both.local["digests"] == both.service["digests"]


def test_this_process_gets_the_figures_that_the_workers_got(both: Both) -> None:
    """Every row of the table but for the seconds, and every repeat's figures."""
    tables = [[row | {"seconds": None} for row in document["table"]] for document in (both.local, both.service)]
    assert tables[0] == tables[1]
    assert both.local["repeats"] == both.service["repeats"]


def test_something_was_unlearnt(both: Both) -> None:
    """Else equal digests would say little: a scale of 0 gives the base model back."""
    assert both.service["scale"] > 0
    base, unlearned = (both.service["methods"][name]["train"]["forget"] for name in ("base", "negmerge"))
    assert unlearned["correct"] < base["correct"]


def test_the_table_has_a_row_for_the_base_each_merge_and_each_rival(both: Both) -> None:
    assert set(both.rows()) == {"base", *MERGES, *RIVALS}


def test_the_base_model_has_membership_inference(both: Both) -> None:
    """Of the twelve forgotten samples: a tenth of the 120 that are neither validation nor test."""
    asked = both.service["methods"]["base"]["membership"]
    assert asked["count"] == both.service["splits"]["forget"]["train"]
    assert both.rows()["base"]["membership"]["mean"] == asked["correct"] / asked["count"]


@pytest.mark.parametrize("method", [*MERGES, *RIVALS])
def test_all_that_is_trained_is_repeated(both: Both, method: str) -> None:
    row = both.rows()[method]
    for column in ("forget", "retain", "test", "membership", "gap"):
        assert row[column]["repeats"] == 2
    assert all(method in repeat for repeat in both.service["repeats"])
    assert len(both.service["repeats"]) == 2


def test_both_repeats_have_their_own_seeds(both: Both) -> None:
    assert len({point["seed"] for point in both.service["points"]}) == 4


def test_the_retrained_model_has_no_gap_to_itself(both: Both) -> None:
    assert both.rows()["retrain"]["gap"] == {"mean": 0, "deviation": 0, "repeats": 2}


def test_every_point_of_both_repeats_is_folded(both: Both) -> None:
    assert [point["state"] for point in both.service["points"]] == ["folded"] * 4


@pytest.mark.parametrize(("part", "side"), [("train", "forget"), ("train", "retain"), ("test", "retain")])
def test_the_unlearned_folder_scores_what_the_result_says(both: Both, part: str, side: str) -> None:
    found = both.service["methods"]["negmerge"][part][side]
    samples = getattr(getattr(splits(both.spec), side), part)
    assert [found["correct"], found["count"]] == [right_answers(both, samples), len(samples)]


def right_answers(both: Both, samples: tuple[Sample, ...]) -> int:
    """How many of the samples the unlearned model names by its own label names; images by PIL."""
    model = load_model(both.unlearned)
    names = model.config["label_names"]
    with zipfile.ZipFile(both.archive) as archive:
        pictures = [Image.open(io.BytesIO(archive.read(sample.id))).convert("RGB") for sample in samples]
    images = torch.from_numpy(np.stack([np.array(picture) for picture in pictures])).permute(0, 3, 1, 2)
    with torch.no_grad():
        outputs = model.logits(images, torch.zeros(0)).argmax(dim=1).tolist()
    return sum(names[output] == sample.class_name for output, sample in zip(outputs, samples, strict=True))


def test_the_unlearned_weights_file_is_the_one_that_the_result_names(both: Both) -> None:
    content = (both.unlearned / "model.safetensors").read_bytes()
    assert both.service["digests"]["unlearned"] == f"sha256:{sha256(content)}"
