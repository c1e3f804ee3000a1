"""Models of a hub: a real server with the routes that huggingface_hub asks, on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from negmerge.errors import ModelError
from negmerge.models.hub import cached, fetch
from negmerge.models.loading import load_model
from negmerge.pipeline.local import open_model
from negmerge.spec.hub import HubReference, parsed
from negmerge.spec.job import parse
from tests.support import hub as hubs
from tests.support import pico_timm, records, towers
from tests.support import transformers_folders as theirs

pytestmark = pytest.mark.slow

MOST = 2**30


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hubs.Hub]:
    folder = tmp_path_factory.mktemp("hub")
    vit = theirs.save(theirs.vit(), folder / "vit")
    (vit / "pytorch_model.bin").write_bytes(b"a pickle")
    (vit / "README.md").write_text("a model")
    theirs.save(theirs.vit(), folder / "shards", max_shard_size="20KB")
    (folder / "pickle").mkdir()
    (folder / "pickle" / "config.json").write_text("{}")
    (folder / "pickle" / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "nothing").mkdir()
    pico_timm.write_folder(folder / "timm", pico_timm.CONFIGS["vit"])
    towers.write_siglip(folder / "siglip")
    with hubs.serving({f"acme/{path.name}": path for path in folder.iterdir()}) as served:
        yield served


def reference(name: str, commit: str = hubs.COMMIT) -> HubReference:
    return parsed(f"hf-hub:acme/{name}@{commit}")


@pytest.mark.parametrize("name", ["vit", "shards", "timm", "siglip"])
def test_a_folder_of_any_kind_is_the_one_on_the_hub(hub: hubs.Hub, tmp_path: Path, name: str) -> None:
    fetch(reference(name), tmp_path / "model", MOST, hub.url)
    found, given = load_model(tmp_path / "model"), load_model(hub.folders[f"acme/{name}"])
    assert found.config == given.config
    assert all(torch.equal(found.original[key], tensor) for key, tensor in given.original.items())


def test_only_the_files_of_the_model_are_fetched(hub: hubs.Hub, tmp_path: Path) -> None:
    fetch(reference("vit"), tmp_path / "model", MOST, hub.url)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }


def test_bytes_are_counted_to_their_sum(hub: hubs.Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch(reference("timm"), tmp_path / "m", MOST, hub.url, lambda done, total, loss: seen.append((done, total)))
    size = sum(path.stat().st_size for path in hub.folders["acme/timm"].iterdir())
    assert seen[-1] == (size, size)


def test_a_download_can_be_stopped(hub: hubs.Hub, tmp_path: Path) -> None:
    def stop(done: int, total: int, loss: float | None) -> None:
        raise InterruptedError("stopped")

    with pytest.raises((InterruptedError, ModelError), match="stopped"):
        fetch(reference("timm"), tmp_path / "m", MOST, hub.url, stop)


def test_no_token_of_this_machine_goes_out(hub: hubs.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.asked.clear()
    fetch(reference("timm"), tmp_path / "m", MOST, hub.url)
    assert hub.asked
    assert all(authorization is None for _, _, authorization in hub.asked)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (reference("missing"), "no repository 'acme/missing' that everybody may read"),
        (reference("timm", "f" * 40), "has no commit ffff"),
        (reference("pickle"), "only safetensors are fetched, never a pickle"),
        (reference("nothing"), "has no open_clip_config.json and no config.json"),
    ],
)
def test_what_is_not_to_be_had_is_said(hub: hubs.Hub, tmp_path: Path, asked: HubReference, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        fetch(asked, tmp_path / "m", MOST, hub.url)


def test_a_model_over_the_limit_is_not_fetched(hub: hubs.Hub, tmp_path: Path) -> None:
    hub.asked.clear()
    with pytest.raises(ModelError, match=r"has \d+ bytes in the files of its model, of at most 1000"):
        fetch(reference("timm"), tmp_path / "m", 1000, hub.url)
    assert len(hub.asked) == 1


def test_a_hub_that_does_not_answer_is_said(tmp_path: Path) -> None:
    with hubs.serving({}) as gone:
        pass
    with pytest.raises(ModelError, match="cannot be had from the hub here"):
        fetch(reference("timm"), tmp_path / "m", MOST, gone.url)


@pytest.fixture
def usual(hub: hubs.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hubs.Hub:
    """The hub as huggingface_hub's own, as HF_ENDPOINT would make it, with an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    return hub


@pytest.mark.usefixtures("usual")
def test_a_spec_of_the_command_line_may_name_one() -> None:
    document = records.make_spec().model_dump(mode="json", exclude_none=True)
    document["base_model"] = {"family": "timm", "weights": f"hf-hub:acme/timm@{hubs.COMMIT}"}
    assert open_model(parse(document), "cpu").config["num_classes"] == 5


def test_what_was_fetched_once_is_not_fetched_again(usual: hubs.Hub) -> None:
    first = cached(reference("timm"), MOST)
    usual.asked.clear()
    assert cached(reference("timm"), MOST) == first
    assert usual.asked == []
