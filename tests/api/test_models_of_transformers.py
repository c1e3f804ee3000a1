"""Folders of transformers over HTTP: what is taken, under which family, and what is refused before a job asks."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load, save

import negmerge
from app.record.tables import Model
from app.settings import Settings
from negmerge.checkpoints.files import save_tensors
from negmerge.merging import vectors
from negmerge.models.convert import convert_back
from negmerge.models.loading import load_model
from tests.support import transformers_folders as theirs
from tests.support.api_client import Api, assert_problem, serving, zipped
from tests.support.page_visits import enter, key_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    with serving(Settings(data_dir=tmp_path_factory.mktemp("service"), broker_url=broker_url)) as served:
        yield served


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return files_of(theirs.save(theirs.clip(), tmp_path_factory.mktemp("clip") / "clip"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return files_of(theirs.save(theirs.vit(), tmp_path_factory.mktemp("vit") / "vit"))


def upload(api: Api, files: Mapping[str, bytes]) -> Any:
    return api.post("/v1/models", files={"file": ("model.zip", zipped(files))})


def kept(api: Api, model_id: str) -> Model:
    with api.database.read() as session:
        return session.get_one(Model, model_id)


def test_a_clip_is_one_of_open_clips_and_keeps_its_own_config(api: Api, clip: dict[str, bytes]) -> None:
    answer = upload(api, clip)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["family"], answer.json()["config"]) == ("open_clip", json.loads(clip["config.json"]))


def test_a_classifier_is_one_of_timms_and_keeps_what_lies_beside_it(api: Api, vit: dict[str, bytes]) -> None:
    answer = upload(api, {f"folder/{name}": content for name, content in (vit | {"README.md": b"x"}).items()})
    assert answer.json()["family"] == "timm"
    row = kept(api, answer.json()["id"])
    assert (row.beside or {}).keys() == {"preprocessor_config.json"}
    assert row.key is not None
    assert api.store.read(row.key) == vit["model.safetensors"]


def test_shards_are_stored_as_one_file(api: Api, vit: dict[str, bytes], tmp_path: Path) -> None:
    sharded = files_of(theirs.save(theirs.vit(), tmp_path / "vit", max_shard_size="20KB"))
    assert "model.safetensors" not in sharded
    row = kept(api, upload(api, sharded).json()["id"])
    assert row.key is not None
    stored, whole = load(api.store.read(row.key)), load(vit["model.safetensors"])
    assert {name: one.tobytes() for name, one in stored.items()} == {name: one.tobytes() for name, one in whole.items()}


def test_a_job_over_classes_that_the_labels_do_not_name_is_refused(api: Api, tmp_path: Path) -> None:
    labels = {"id2label": {0: "dog", 1: "cat"}, "label2id": {"dog": 0, "cat": 1}}
    files = files_of(theirs.save(theirs.vit(**labels), tmp_path / "vit"))
    spec = api.spec(base_model={"family": "timm", "weights": upload(api, files).json()["id"]})
    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")
    assert "its label_names are dog, cat" in problem["detail"]


def without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: content for key, content in files.items() if key != name}


def changed(files: dict[str, bytes], **fields: Any) -> dict[str, bytes]:
    return files | {"config.json": json.dumps(json.loads(files["config.json"]) | fields).encode()}


def weights(files: dict[str, bytes], change: Any) -> dict[str, bytes]:
    tensors = load(files["model.safetensors"])
    change(tensors)
    return files | {"model.safetensors": save(tensors)}


INDEX = {"weight_map": {"classifier.bias": "model-1.safetensors"}}
REFUSED: dict[str, tuple[Any, str]] = {
    "without its preprocessor": (lambda vit: without(vit, "preprocessor_config.json"), "preprocessor_config.json"),
    "of another architecture": (lambda vit: changed(vit, architectures=["ViTModel"]), "ViTModel"),
    "that timm would compute otherwise": (lambda vit: changed(vit, hidden_act="relu"), "hidden_act"),
    "with a tensor less": (
        lambda vit: weights(vit, lambda one: one.pop("classifier.bias")),
        "'classifier.bias': is mi",
    ),
    "with a tensor more": (lambda vit: weights(vit, lambda one: one.update(x=one["classifier.bias"])), "'x': is extra"),
    "with a layer more": (lambda vit: changed(vit, num_hidden_layers=3), "is missing"),
    "with a pickle": (lambda vit: without(vit, "model.safetensors") | {"pytorch_model.bin": b"x"}, "never a pickle"),
    "with a preprocessor that is no JSON": (
        lambda vit: vit | {"preprocessor_config.json": b"{x}"},
        "preprocessor_conf",
    ),
    "with an index of what is not there": (
        lambda vit: without(vit, "model.safetensors") | {"model.safetensors.index.json": json.dumps(INDEX).encode()},
        "'classifier.bias': is not in model-1.safetensors",
    ),
    "with an index that leads elsewhere": (
        lambda vit: (
            without(vit, "model.safetensors")
            | {"model.safetensors.index.json": b'{"weight_map": {"a": "../x.safetensors"}}'}
        ),
        "no safetensors file beside it",
    ),
    "with a vocabulary larger than any": (
        lambda vit: vit | {"added_tokens.json": bytes(2**20 + 1)},
        "added_tokens.json",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_folder_is_refused_with_what_is_wrong(api: Api, vit: dict[str, bytes], kind: str) -> None:
    change, word = REFUSED[kind]
    problem = assert_problem(upload(api, change(vit)), 422, "invalid-model")
    assert word in problem["detail"]


def test_a_clip_with_words_of_its_own_needs_its_tokenizer(api: Api, clip: dict[str, bytes]) -> None:
    text = json.loads(clip["config.json"])["text_config"] | {"vocab_size": 50_000}
    problem = assert_problem(upload(api, changed(clip, text_config=text)), 422, "invalid-model")
    assert "put its tokenizer.json" in problem["detail"]


def test_weights_alone_with_a_config_of_transformers_ask_for_the_folder(api: Api, vit: dict[str, bytes]) -> None:
    file = {"file": ("m.safetensors", vit["model.safetensors"])}
    answer = api.post("/v1/models", files=file, data={"config": vit["config.json"].decode()})
    assert "no preprocessor_config.json beside the config" in assert_problem(answer, 422, "invalid-model")["detail"]


def test_a_config_of_transformers_beside_a_uri_asks_for_the_folder(api: Api, vit: dict[str, bytes]) -> None:
    given = {"family": "timm", "uri": "https://a.example/m.zip", "architecture": json.loads(vit["config.json"])}
    problem = assert_problem(api.post("/v1/models", json=given), 422, "invalid-model")
    assert "give the URI of the whole folder" in problem["detail"]


def test_a_job_whose_model_came_otherwise_has_no_folder_of_transformers(api: Api) -> None:
    job = api.finished_job({"unlearned/model.safetensors": b"x"})
    problem = assert_problem(api.get(f"/v1/jobs/{job}/weights?format=transformers"), 404, "not-found")
    assert "ask for ?format=zip" in problem["detail"]


@dataclass(frozen=True)
class Unlearned:
    """A job of a model of transformers, and on this machine the folder that it came in, its θ₀ and τ*."""

    job: str
    came: Path
    ours: Path
    tau: Path

    def applied(self, scale: float, room: Path) -> dict[str, bytes]:
        """What the command line makes of them at a scale: apply, and then the way back into their layout."""
        negmerge.apply(self.ours, self.tau, room / "applied", scale=scale)
        convert_back(room / "applied", self.came, room / "back")
        return files_of(room / "back")


@pytest.fixture(scope="module", params=["clip", "vit"])
def unlearned(request: pytest.FixtureRequest, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Unlearned:
    """A CLIP in float32, of which only the image tower moved, and a ViT in bfloat16."""
    room = tmp_path_factory.mktemp("unlearned")
    original: Any = theirs.clip() if request.param == "clip" else theirs.vit()
    if request.param == "vit":
        original.to(torch.bfloat16)
    model = load_model(theirs.save(original, room / "came"))
    assert model.theirs is not None
    generator = torch.Generator().manual_seed(2)
    tau = {name: 0.1 * torch.randn(tensor.shape, generator=generator) for name, tensor in model.base.items()}
    weights = vectors.unlearned(model.original, tau, 0.35)
    model.save(model.original, room / "ours")
    save_tensors(tau, room / "tau.safetensors")
    model.save(weights, room / "job" / "unlearned")
    model.theirs.save(weights, room / "job" / "unlearned-hf")
    save_tensors({name: model.original[name] for name in tau}, room / "job" / "merged" / "base.safetensors")
    save_tensors(tau, room / "job" / "merged" / "task_vector.safetensors")
    paths = sorted(path for path in (room / "job").rglob("*") if path.is_file())
    job = api.finished_job({path.relative_to(room / "job").as_posix(): path.read_bytes() for path in paths})
    return Unlearned(job, room / "came", room / "ours", room / "tau.safetensors")


@pytest.mark.parametrize("scale", [0.0, 0.35, 1.5])
def test_at_any_scale_transformers_gets_the_bits_of_apply_and_of_the_way_back(
    api: Api, unlearned: Unlearned, tmp_path: Path, scale: float
) -> None:
    answer = api.get(f"/v1/jobs/{unlearned.job}/weights?format=transformers&scale={scale}")
    assert unpacked(answer.content) == unlearned.applied(scale, tmp_path)


def test_at_the_jobs_own_scale_it_is_the_folder_that_the_job_left(api: Api, unlearned: Unlearned) -> None:
    place = f"/v1/jobs/{unlearned.job}/weights?format=transformers"
    assert unpacked(api.get(f"{place}&scale=0.35").content) == unpacked(api.get(place).content)


def test_the_page_gives_the_same_folder_at_a_scale(api: Api, unlearned: Unlearned) -> None:
    place = f"/jobs/{unlearned.job}/weights?format=transformers&scale=1.5"
    expected = api.get(f"/v1{place}").content
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    assert unpacked(api.client.get(place).content) == unpacked(expected)


def test_another_tenants_folder_is_not_there_at_any_scale(api: Api, unlearned: Unlearned) -> None:
    place = f"/v1/jobs/{unlearned.job}/weights?format=transformers&scale=1.5"
    assert_problem(api.get(place, headers=api.key("other")), 404, "not-found")


def unpacked(content: bytes) -> dict[str, bytes]:
    """A zip's files by their last names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
