"""Models over HTTP: weights are safetensors, finite, with an image tower and the sizes that their config says."""

import io
import json
import pickle
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.record.tables import Model
from app.settings import Settings
from tests.support.api_client import CONFIG, Api, assert_problem, pointers, serving, sha256, weights, zipped

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "shared" / "clip").mkdir(parents=True)
    roots = [folder / "shared"]
    with serving(
        Settings(data_dir=folder, broker_url=broker_url, allowed_roots=roots, max_archive_bytes=1_000_000)
    ) as served:
        yield served


def folder_of(config: Any = CONFIG, content: bytes | None = None, prefix: str = "") -> dict[str, bytes]:
    """The files of a model's folder."""
    return {
        prefix + CONFIG_NAME: json.dumps(config).encode(),
        prefix + WEIGHTS_NAME: weights() if content is None else content,
        prefix + "README.md": b"a model",
    }


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def upload(api: Api, content: bytes, **data: str) -> Any:
    return api.post("/v1/models", files={"file": ("model", content)}, data=data)


def test_a_safetensors_file_with_its_config_becomes_a_model(both: Api) -> None:
    content = weights()

    answer = both.upload_model(content, name="tiny")

    assert answer.status_code == 201
    model = answer.json()
    assert (model["name"], model["config"], model["digest"]) == ("tiny", CONFIG, f"sha256:{sha256(content)}")
    assert both.get(answer.headers["location"]).json() == model
    with both.database.read() as session:
        key = session.get_one(Model, model["id"]).key
    assert key is not None
    assert key.endswith(WEIGHTS_NAME)
    assert both.store.read(key) == content


@pytest.mark.parametrize("prefix", ["", "model/"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_folder_in_an_archive_becomes_a_model(api: Api, pack: Any, prefix: str) -> None:
    answer = upload(api, pack(folder_of(prefix=prefix)))

    assert answer.status_code == 201, answer.text
    assert answer.json()["config"] == CONFIG
    assert answer.json()["digest"] == f"sha256:{sha256(weights())}"


def broken(name: str, value: Any) -> bytes:
    return weights(lambda tensors: tensors.update({name: value}))


def towerless() -> bytes:
    return weights(lambda tensors: [tensors.pop(name) for name in list(tensors) if "visual" in name])


def config(**model_cfg: Any) -> str:
    return json.dumps(CONFIG | {"model_cfg": CONFIG["model_cfg"] | model_cfg})


TEXT_TOWER = CONFIG["model_cfg"]["text_cfg"]
VISION_TOWER = CONFIG["model_cfg"]["vision_cfg"]


@pytest.mark.parametrize(
    ("content", "text", "word"),
    [
        (weights()[:-4], config(), "cut off"),
        (pickle.dumps({"a": 1}), config(), "pickle"),
        (broken("visual.proj", np.full((8, 4), np.nan, np.float32)), config(), "visual.proj"),
        (broken("logit_scale", np.array(np.inf, np.float32)), config(), "logit_scale"),
        (towerless(), config(), "image tower"),
        (weights(), config(vision_cfg=VISION_TOWER | {"width": 16}), "width"),
        (weights(), config(vision_cfg=VISION_TOWER | {"layers": 2}), "layers"),
        (weights(), config(vision_cfg=VISION_TOWER | {"patch_size": 8}), "patch_size"),
        (weights(), config(embed_dim=8), "embed_dim"),
        (weights(), config(text_cfg=TEXT_TOWER | {"hf_model_name": "roberta-base"}), "hf_model_name"),
        (weights(), config(text_cfg=TEXT_TOWER | {"hf_tokenizer_name": "x/y"}), "hf_tokenizer_name"),
        (weights(), config(vision_cfg=VISION_TOWER | {"timm_model_name": "hf-hub:a/b"}), "timm_model_name"),
        (weights(), "{}", "model_cfg"),
        (weights(), "{", "JSON"),
        (weights(), "[" * 100_000, "JSON"),
    ],
)
def test_weights_or_a_config_that_cannot_be_a_model_are_refused(api: Api, content: bytes, text: str, word: str) -> None:
    problem = assert_problem(upload(api, content, config=text), 422, "invalid-model")

    assert word in problem["detail"]
    assert list((api.settings.data_dir / "uploads").iterdir()) == []


def test_one_file_with_a_tokenizer_elsewhere_is_told_to_send_the_folder(api: Api) -> None:
    text = config(text_cfg=TEXT_TOWER | {"hf_tokenizer_name": "x/y"})
    problem = assert_problem(upload(api, weights(), config=text), 422, "invalid-model")
    assert problem["detail"].endswith("writes them), and send the whole folder")


def test_a_folder_with_its_tokenizer_becomes_a_model(api: Api) -> None:
    text = config(text_cfg=TEXT_TOWER | {"hf_tokenizer_name": "x/y"}).encode()
    files = {CONFIG_NAME: text, WEIGHTS_NAME: weights(), "tokenizer.json": b"{}", "vocab.txt": b"a"}
    answer = upload(api, zipped(files))
    assert answer.status_code == 201, answer.text
    with api.database.read() as session:
        row = session.get_one(Model, answer.json()["id"])
    assert row.beside == {"tokenizer.json": sha256(b"{}")}
    assert api.store.read(row.keys[1]) == b"{}"


@pytest.mark.parametrize("content", [b"", b"not json at all", b'{"model": ', b"[]"])
def test_a_tokenizer_that_is_no_json_is_refused(api: Api, content: bytes) -> None:
    text = config(text_cfg=TEXT_TOWER | {"hf_tokenizer_name": "x/y"}).encode()
    files = {CONFIG_NAME: text, WEIGHTS_NAME: weights(), "tokenizer.json": content}
    problem = assert_problem(upload(api, zipped(files)), 422, "invalid-model")
    assert problem["detail"].startswith("tokenizer.json is no JSON object, or cut off")


def test_a_tokenizer_that_is_there_twice_is_refused(api: Api) -> None:
    buffer = io.BytesIO(tarred(folder_of() | {"tokenizer.json": b"{}"}, "w"))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        again = tarfile.TarInfo("tokenizer.json")
        again.size = 2
        archive.addfile(again, io.BytesIO(b"{}"))
    problem = assert_problem(upload(api, buffer.getvalue()), 422, "invalid-model")
    assert problem["detail"] == "'tokenizer.json' is in the archive twice: pack it again"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (weights(), "config"),
        (zipped({CONFIG_NAME: b"{}"}), WEIGHTS_NAME),
        (zipped({CONFIG_NAME: b"{}", "model.bin": b"x"}), "pickle"),
        (zipped({"data.pkl": b"x", "data/0": b"x"}), CONFIG_NAME),
        (zipped(folder_of() | folder_of(prefix="other/")), "2 files"),
        (zipped(folder_of())[:-30], ""),
        (tarred(folder_of())[:-30], ""),
        (tarred(folder_of(content=b"\0" * 1_000_001)), "more than 1000000 bytes"),
    ],
    ids=["no config", "no weights", "bin", "torch.save", "two", "cut zip", "cut tar", "inflates"],
)
def test_an_archive_that_holds_no_model_is_refused(api: Api, content: bytes, word: str) -> None:
    assert word in assert_problem(upload(api, content), 422, "invalid-model")["detail"]


def test_a_registry_tag_can_be_registered(both: Api) -> None:
    answer = both.post("/v1/models", json={"architecture": "ViT-B-32", "weights": "openai"})

    assert answer.status_code == 201
    model = answer.json()
    assert (model["architecture"], model["weights"], model["uri"]) == ("ViT-B-32", "openai", None)


def test_a_folder_below_an_allowed_root_can_be_registered(api: Api) -> None:
    uri = f"file://{api.settings.allowed_roots[0]}/clip"

    answer = api.post("/v1/models", json={"uri": uri, "architecture": CONFIG})

    assert answer.status_code == 201
    assert (answer.json()["uri"], answer.json()["weights"], answer.json()["config"]) == (uri, None, CONFIG)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"architecture": "ViT-B-32", "weights": "no_such_tag"}, "/weights"),
        ({"architecture": "No-Such", "weights": "openai"}, "/architecture"),
        ({"weights": "openai"}, "/architecture"),
        ({"uri": "file:///etc/passwd"}, "/uri"),
        ({"uri": "https://example.org/m.zip"}, "/uri"),
        ({"architecture": {"model_cfg": 1}, "uri": "https://example.org/m"}, "/architecture"),
    ],
)
def test_a_source_that_cannot_be_used_is_pointed_at(api: Api, body: dict[str, Any], pointer: str) -> None:
    assert pointers(assert_problem(api.post("/v1/models", json=body), 422, "invalid-model")) == [pointer]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, ""), ({"uri": "a", "weights": "b"}, ""), ({"family": "keras", "uri": "a"}, "/family"), ({"x": 1}, "/x")],
)
def test_a_wrong_registration_is_pointed_at(api: Api, body: dict[str, Any], pointer: str) -> None:
    assert pointer in pointers(assert_problem(api.post("/v1/models", json=body), 422, "invalid-request"))


def test_another_tenants_model_is_404(both: Api) -> None:
    model, other = both.model(), both.key(tenant="other")

    assert_problem(both.get(f"/v1/models/{model}", headers=other), 404, "not-found")
    assert both.get("/v1/models", headers=other).json()["data"] == []


def test_a_model_that_a_job_needs_is_not_deleted_until_the_job_ends(both: Api) -> None:
    spec = both.spec()
    job = both.post("/v1/jobs", json=spec).json()["id"]
    model = f"/v1/models/{spec['base_model']['weights']}"

    assert_problem(both.delete(model), 409, "in-use")
    both.post(f"/v1/jobs/{job}/cancel")
    assert both.delete(model).status_code == 204
    assert_problem(both.get(model), 404, "not-found")


def test_a_config_beside_the_weights_has_the_limit_of_one_in_an_archive(both: Api) -> None:
    answer = both.upload_model(weights(), config=json.dumps({"x": 2**20 * "y"}))
    assert "the part 'config' is over 1048576 bytes" in assert_problem(answer, 422, "invalid-model")["detail"]
