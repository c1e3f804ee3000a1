"""Classifiers over HTTP: uploads of timm's folders, its names, and heads that must fit the config and the data."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import timm
from safetensors.numpy import save

from app.intake import zoo
from app.record.tables import Model
from app.settings import Settings
from tests.support import api_client
from tests.support.api_client import Api, assert_problem, pointers, serving, sha256, zipped

CONFIG: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": 3,
    "model_args": {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]},
    "pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("classifiers")
    (folder / "shared" / "resnet").mkdir(parents=True)
    with serving(Settings(data_dir=folder, broker_url=broker_url, allowed_roots=[folder / "shared"])) as served:
        yield served


def weights(outputs: int = 3, more: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """A safetensors file with a head, as far as the API looks at it; a tensor that is None is left out."""
    tensors = {
        "conv1.weight": np.zeros((4, 3, 7, 7), np.float32),
        "fc.weight": np.zeros((outputs, 4), np.float32),
        "fc.bias": np.zeros(outputs, np.float32),
    } | dict(more)
    data: bytes = save({name: tensor for name, tensor in tensors.items() if tensor is not None})
    return data


def upload(api: Api, content: bytes | None = None, config: dict[str, Any] | None = CONFIG, **data: str) -> Any:
    parts = data if config is None else data | {"config": json.dumps(config)}
    return api.post("/v1/models", files={"file": ("model", weights() if content is None else content)}, data=parts)


def classifier(api: Api, **changes: Any) -> str:
    """The id of a new classifier of three classes, or of another config."""
    config = CONFIG | changes
    answer = upload(api, weights(config["num_classes"]), config)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def spec(api: Api, base_model: dict[str, Any], **changes: Any) -> dict[str, Any]:
    dataset = api.dataset()
    return {
        "base_model": base_model,
        "forget": {"dataset": dataset, "select": {"classes": ["seven"]}},
        "retain": {"dataset": dataset},
        "sweep": {"grid": {"epochs": [1, 2]}},
    } | changes


def test_a_safetensors_file_with_timms_config_becomes_a_classifier(api: Api) -> None:
    answer = upload(api, name="pico")

    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert (model["family"], model["config"], model["name"]) == ("timm", CONFIG, "pico")
    assert model["digest"] == f"sha256:{sha256(weights())}"
    with api.database.read() as session:
        key = session.get_one(Model, model["id"]).key
    assert key is not None
    assert key.endswith("/model.safetensors")
    assert api.store.read(key) == weights()


@pytest.mark.parametrize("prefix", ["", "model/"])
def test_a_folder_of_timm_in_an_archive_becomes_a_classifier(api: Api, prefix: str) -> None:
    files = {prefix + "config.json": json.dumps(CONFIG).encode(), prefix + "model.safetensors": weights()}

    model = upload(api, zipped(files), config=None).json()

    assert (model["family"], model["config"]) == ("timm", CONFIG)


def test_a_folder_of_open_clip_that_has_a_config_json_too_is_open_clips(api: Api) -> None:
    """As the folders on a hub have it: config.json is there for another library."""
    files = {
        "open_clip_config.json": json.dumps(api_client.CONFIG).encode(),
        "open_clip_model.safetensors": api_client.weights(),
        "config.json": b'{"architectures": ["CLIPModel"]}',
        "model.safetensors": api_client.weights(),
    }

    assert upload(api, zipped(files), config=None).json()["family"] == "open_clip"


@pytest.mark.parametrize(
    ("content", "config", "word"),
    [
        (weights(4), CONFIG, "a head of another size"),
        (weights(4), CONFIG, "fc.weight"),
        (weights(), CONFIG | {"num_classes": 1000}, "1000"),
        (weights(more={"fc.weight": np.full((3, 4), np.nan, np.float32)}), CONFIG, "fc.weight"),
        (weights(), CONFIG | {"architecture": "resnet1800"}, "did you mean resnet18"),
        (weights(), CONFIG | {"architecture": "hf-hub:timm/resnet18"}, "not an address"),
        (weights(), CONFIG | {"model_args": {"checkpoint_path": "/etc/passwd"}}, "checkpoint_path"),
        (weights(), CONFIG | {"label_names": ["one", "two"]}, "label_names"),
        (weights(), {"num_classes": 3}, "architecture"),
        (b"\x80\x04not a tensor", CONFIG, "pickle"),
    ],
)
def test_weights_or_a_config_that_cannot_be_a_classifier_are_refused(
    api: Api, content: bytes, config: dict[str, Any], word: str
) -> None:
    problem = assert_problem(upload(api, content, config), 422, "invalid-model")
    assert word in problem["detail"]
    assert list((api.settings.data_dir / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    "head",
    [
        {"head.weight": (3, 4)},
        {"head.fc.weight": (3, 4)},
        {"classifier.weight": (3, 4, 1, 1)},
        {"last_linear.weight": (9, 4)},
    ],
    ids=["head", "head.fc", "convolution", "a name of its own"],
)
def test_a_head_of_any_name_is_taken_where_it_may_have_the_size(api: Api, head: dict[str, Any]) -> None:
    tensors = {name: np.zeros(shape, np.float32) for name, shape in head.items()}
    content = weights(more=tensors | {"fc.weight": None, "fc.bias": None})
    assert upload(api, content).status_code == 201


def test_an_archive_without_a_config_names_both_that_are_known(api: Api) -> None:
    problem = assert_problem(upload(api, zipped({"model.safetensors": weights()}), config=None), 422, "invalid-model")
    assert "open_clip_config.json or config.json" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"architecture": "resnet18", "weights": "a1_in1k"},
        {"architecture": "vit_base_patch32_224", "uri": "ROOT/resnet"},
        {"architecture": CONFIG, "uri": "ROOT/resnet"},
        {"uri": "ROOT/resnet"},
    ],
    ids=["tag", "name", "config", "folder"],
)
def test_a_classifier_can_be_registered(api: Api, body: dict[str, Any]) -> None:
    if "uri" in body:
        body = body | {"uri": body["uri"].replace("ROOT", f"file://{api.settings.allowed_roots[0]}")}

    answer = api.post("/v1/models", json={"family": "timm"} | body)

    assert answer.status_code == 201, answer.text
    assert answer.json()["family"] == "timm"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"family": "timm", "architecture": "ViT-B-32", "weights": "openai"}, "/architecture"),
        ({"family": "timm", "architecture": "hf-hub:timm/resnet18", "weights": "a1_in1k"}, "/architecture"),
        ({"family": "timm", "architecture": "r" * 200, "weights": "a1_in1k"}, "/architecture"),
        ({"family": "open_clip", "architecture": "resnet18", "weights": "openai"}, "/architecture"),
        ({"family": "timm", "weights": "a1_in1k"}, "/architecture"),
        ({"architecture": CONFIG, "uri": "https://example.org/m"}, "/family"),
        (
            {"family": "timm", "architecture": {"architecture": "resnet18"}, "uri": "https://example.org"},
            "/architecture",
        ),
    ],
)
def test_a_registration_that_cannot_be_a_classifier_is_pointed_at(api: Api, body: dict[str, Any], pointer: str) -> None:
    assert pointers(assert_problem(api.post("/v1/models", json=body), 422, "invalid-model")) == [pointer]


def test_a_job_with_a_classifier_whose_outputs_are_the_data_sets_classes_is_taken(api: Api) -> None:
    answer = api.post("/v1/jobs", json=spec(api, {"family": "timm", "weights": classifier(api)}))
    assert answer.status_code == 202, answer.text


def test_a_job_with_a_classifier_that_knows_more_classes_by_name_is_taken(api: Api) -> None:
    model = classifier(api, num_classes=5, label_names=["zero", "two", "seven", "nine", "one"])
    answer = api.post("/v1/jobs", json=spec(api, {"family": "timm", "weights": model}))
    assert answer.status_code == 202, answer.text


def test_a_class_may_be_known_by_its_words(api: Api) -> None:
    model = classifier(api, label_names=["1", "7", "2"])
    words = json.dumps({"one": "1", "two": "2", "seven": "7"})
    dataset = api.upload_dataset(class_names=words).json()["id"]
    changes = {"forget": {"dataset": dataset, "select": {"classes": ["seven"]}}, "retain": {"dataset": dataset}}
    answer = api.post("/v1/jobs", json=spec(api, {"family": "timm", "weights": model}, **changes))
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_classes": 4}, "head has 4 outputs and the data set 3 classes"),
        ({"label_names": ["one", "two", "nine"]}, "no output for the class 'seven'"),
    ],
    ids=["another number", "another name"],
)
@pytest.mark.parametrize("inline", [False, True], ids=["uploaded", "in the spec"])
def test_a_head_that_does_not_fit_the_data_set_is_refused_at_submission(
    api: Api, changes: dict[str, Any], said: str, inline: bool
) -> None:
    place = f"file://{api.settings.allowed_roots[0]}/resnet"
    told = {"weights": place, "architecture": CONFIG | changes} if inline else {"weights": classifier(api, **changes)}

    problem = assert_problem(api.post("/v1/jobs", json=spec(api, {"family": "timm"} | told)), 422, "invalid-spec")

    assert pointers(problem) == ["/forget/dataset"]
    assert said in problem["detail"]


def test_a_retain_set_of_its_own_is_judged_by_itself(api: Api) -> None:
    other = api.upload_dataset(zipped({f"{name}/1.png": api_client.png(1) for name in ("one", "two")})).json()["id"]
    document = spec(api, {"family": "timm", "weights": classifier(api)}, retain={"dataset": other})

    problem = assert_problem(api.post("/v1/jobs", json=document), 422, "invalid-spec")

    assert pointers(problem) == ["/retain/dataset"]


def test_a_spec_that_names_another_family_than_its_model_has_is_pointed_at(api: Api) -> None:
    for family, model in (("open_clip", classifier(api)), ("timm", api.model())):
        document = spec(api, {"family": family, "weights": model})
        problem = assert_problem(api.post("/v1/jobs", json=document), 422, "invalid-spec")
        assert pointers(problem) == ["/base_model/family"]


@pytest.mark.parametrize(
    ("base_model", "pointer"),
    [
        ({"architecture": "resnet1800", "weights": "a1_in1k"}, "/base_model/architecture"),
        ({"architecture": {"architecture": "resnet18"}, "weights": "file:///m"}, "/base_model/architecture"),
        ({"weights": "a1_in1k"}, "/base_model/weights"),
    ],
)
def test_a_base_model_that_timm_does_not_know_is_pointed_at(api: Api, base_model: dict[str, Any], pointer: str) -> None:
    document = spec(api, {"family": "timm"} | base_model)
    assert pointers(assert_problem(api.post("/v1/jobs", json=document), 422, "invalid-spec")) == [pointer]


def test_meta_tells_both_families(api: Api) -> None:
    assert api.get("/v1/meta").json()["families"] == ["open_clip", "timm"]


def test_the_names_read_from_timms_files_are_timms_own() -> None:
    assert {"resnet18"} < set(timm.list_models()) <= zoo.classifiers()
    assert all(timm.is_model(name) for name in zoo.classifiers())
