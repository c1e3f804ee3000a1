"""A model pushed to a hub over HTTP, and loaded from there by the libraries themselves."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from huggingface_hub import ModelCard, snapshot_download
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageClassification

from negmerge.models.loading import load_model
from negmerge.report import pages
from tests.support import pico, pico_timm, publishing_hub, results
from tests.support import transformers_folders as theirs
from tests.support.command_line import Command, assert_refused
from tests.support.publishing_hub import Hub

pytestmark = [
    pytest.mark.slow,
    pytest.mark.server,
    # huggingface_hub itself gives its HTTP client what that deprecates
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with publishing_hub.serving() as running:
        publishing_hub.speak_to(running, monkeypatch, str(tmp_path / "cache"))
        yield running


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job's folder, as far as it is published: the model, its card, and what is nobody's business."""
    folder = tmp_path / "job"
    pico.write_folder(folder / "unlearned")
    (folder / "MODEL_CARD.md").write_text(pages.model_card(results.measured()))
    (folder / "unlearned" / "notes.txt").write_text("who asked for it")
    return folder


def files(hub: Hub, repository: str, branch: str = "main") -> dict[str, bytes]:
    return hub.repositories[repository].branches[branch][-1]


def test_a_jobs_model_goes_with_its_card_and_nothing_else(negmerge: Command, hub: Hub, job: Path) -> None:
    done = negmerge("push", job, "me/unlearned")
    assert done.returncode == 0, done.stderr
    there = files(hub, "me/unlearned")
    assert there.keys() == {"README.md", "open_clip_config.json", "open_clip_model.safetensors"}
    assert there["README.md"] == (job / "MODEL_CARD.md").read_bytes()
    commit = hub.repositories["me/unlearned"].commit_id("main")
    assert done.stdout == f"{commit}  {hub.url}/me/unlearned/commit/{commit}\n"


def test_open_clip_loads_what_was_pushed_to_the_bit(negmerge: Command, hub: Hub, job: Path) -> None:
    negmerge("push", job, "me/unlearned")
    loaded = open_clip.create_model("hf-hub:me/unlearned").state_dict()
    pushed = load_file(job / "unlearned" / "open_clip_model.safetensors")
    assert loaded.keys() == pushed.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in pushed.items())


def test_timm_loads_what_was_pushed_to_the_bit(negmerge: Command, hub: Hub, tmp_path: Path) -> None:
    folder = pico_timm.write_folder(tmp_path / "resnet", pico_timm.CONFIGS["resnet18"])
    assert negmerge("push", folder, "me/resnet").returncode == 0
    loaded = timm.create_model("hf-hub:me/resnet", pretrained=True).state_dict()
    pushed = load_file(folder / "model.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in pushed.items())


@pytest.fixture
def job_of_transformers(tmp_path: Path) -> Path:
    """A job's folder whose model came in a folder of transformers."""
    folder = tmp_path / "job-hf"
    model = load_model(theirs.save(theirs.vit(), tmp_path / "came"))
    assert model.theirs is not None
    weights = {name: tensor * 0.5 for name, tensor in model.original.items()}
    model.theirs.save(weights, folder / "unlearned-hf")
    document = results.measured().as_json()
    document["digests"]["unlearned"] = model.save(weights, folder / "unlearned")
    (folder / "result.json").write_text(json.dumps(document))
    (folder / "MODEL_CARD.md").write_text(pages.model_card(results.measured(), of_transformers=True))
    return folder


def test_a_model_that_came_in_a_folder_of_transformers_goes_in_one_and_loads_from_the_hub(
    negmerge: Command, hub: Hub, job_of_transformers: Path
) -> None:
    done = negmerge("push", job_of_transformers, "me/vit")
    assert done.returncode == 0, done.stderr
    assert files(hub, "me/vit").keys() == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    loaded = AutoModelForImageClassification.from_pretrained("me/vit").state_dict()
    pushed = AutoModelForImageClassification.from_pretrained(job_of_transformers / "unlearned-hf").state_dict()
    assert loaded.keys() == pushed.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in pushed.items())
    assert theirs.processor_of("me/vit").size["height"] == 16
    card = ModelCard.load("me/vit")
    card.validate()
    assert card.data.to_dict()["library_name"] == "transformers"


def test_a_folder_of_transformers_with_other_weights_than_were_measured_is_refused(
    negmerge: Command, hub: Hub, job_of_transformers: Path
) -> None:
    file = job_of_transformers / "unlearned-hf" / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"classifier.bias": tensors["classifier.bias"] + 1}, file)
    assert_refused(negmerge("push", job_of_transformers, "me/vit"), "other weights than unlearned/, at 'head.bias'")
    assert hub.asked == []


def test_any_folder_of_transformers_is_pushed_as_it_is_in_its_shards(
    negmerge: Command, hub: Hub, tmp_path: Path
) -> None:
    folder = theirs.save(theirs.vit(), tmp_path / "vit", max_shard_size="20KB")
    (folder / "training_args.bin").write_bytes(b"who asked for it")
    done = negmerge("push", folder, "me/shards")
    assert done.returncode == 0, done.stderr
    expected = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "training_args.bin"}
    assert files(hub, "me/shards") == expected
    assert "model.safetensors.index.json" in expected


def test_the_zip_of_a_folder_of_transformers_is_pushed_whole(
    negmerge: Command, hub: Hub, job_of_transformers: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "job_1-unlearned.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (job_of_transformers / "unlearned-hf").iterdir():
            archive.write(file, file.name)
    assert negmerge("push", packed, "me/zipped").returncode == 0
    assert "preprocessor_config.json" in files(hub, "me/zipped")


def test_the_zip_of_a_folder_is_pushed_with_a_card_from_elsewhere(
    negmerge: Command, hub: Hub, job: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "job_1-unlearned.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (job / "unlearned").iterdir():
            archive.write(file, file.name)
        archive.writestr("../outside.txt", "no")
    done = negmerge("push", packed, "me/zipped", "--card", job / "MODEL_CARD.md")
    assert done.returncode == 0, done.stderr
    assert files(hub, "me/zipped").keys() == {"README.md", "open_clip_config.json", "open_clip_model.safetensors"}
    assert not (tmp_path / "outside.txt").exists()


def test_what_was_pushed_is_downloaded_as_a_folder_that_is_pushed_again(
    negmerge: Command, hub: Hub, job: Path, tmp_path: Path
) -> None:
    negmerge("push", job, "me/unlearned")
    copy = snapshot_download("me/unlearned", local_dir=tmp_path / "copy")
    assert negmerge("push", copy, "me/copy").returncode == 0
    assert files(hub, "me/copy") == files(hub, "me/unlearned")


def test_the_same_files_again_make_no_commit(negmerge: Command, hub: Hub, job: Path) -> None:
    first = negmerge("push", job, "me/unlearned")
    again = negmerge("push", job, "me/unlearned")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert "nothing was changed" in again.stderr
    told = json.loads(negmerge("push", job, "me/unlearned", "--json").stdout)
    assert (f"{told['commit']}  {told['url']}\n", told["changed"]) == (first.stdout, False)
    assert len(hub.repositories["me/unlearned"].branches["main"]) == 2  # the empty one, and the push


def test_another_model_is_another_commit(negmerge: Command, hub: Hub, job: Path) -> None:
    first = negmerge("push", job, "me/unlearned")
    pico.make_model(job / "unlearned")
    again = negmerge("push", job, "me/unlearned")
    assert again.stdout != first.stdout
    assert files(hub, "me/unlearned")["open_clip_model.safetensors"] == (
        (job / "unlearned" / "open_clip_model.safetensors").read_bytes()
    )


def test_a_branch_is_made_and_the_others_stay(negmerge: Command, hub: Hub, job: Path) -> None:
    assert negmerge("push", job, "me/unlearned", "--revision", "v2").returncode == 0
    assert "open_clip_model.safetensors" in files(hub, "me/unlearned", "v2")
    assert files(hub, "me/unlearned") == {}


def test_a_private_repository_is_made_private(negmerge: Command, hub: Hub, job: Path) -> None:
    negmerge("push", job, "me/secret", "--private")
    negmerge("push", job, "me/open")
    assert {name: one.private for name, one in hub.repositories.items()} == {"me/secret": True, "me/open": False}


def test_private_is_refused_where_everybody_may_read_already(negmerge: Command, hub: Hub, job: Path) -> None:
    negmerge("push", job, "me/open")
    pico.make_model(job / "unlearned")
    before = dict(files(hub, "me/open"))
    assert_refused(negmerge("push", job, "me/open", "--private"), "everybody may read it", "make it private first")
    assert files(hub, "me/open") == before


def test_without_a_card_the_model_goes_and_it_is_said(negmerge: Command, hub: Hub, job: Path) -> None:
    done = negmerge("push", job / "unlearned", "me/bare")
    assert "there is no MODEL_CARD.md" in done.stderr
    assert "README.md" not in files(hub, "me/bare")


def test_weights_that_the_result_was_not_measured_on_are_refused(negmerge: Command, hub: Hub, job: Path) -> None:
    (job / "result.json").write_text(json.dumps(results.document().as_json()))
    assert_refused(negmerge("push", job, "me/other"), "other weights", results.DIGEST)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("empty", "is no model"),
        ("absent", "there is no"),
        ("text", "is no zip of a model's folder"),
        ("cut", "open_clip_model.safetensors"),
    ],
)
def test_what_is_no_model_is_refused_before_the_hub_is_asked(
    negmerge: Command, hub: Hub, job: Path, tmp_path: Path, made: str, words: str
) -> None:
    given = tmp_path / made
    if made == "empty":
        given.mkdir()
    elif made == "text":
        given.write_text("PK")
    elif made == "cut":
        shutil.copytree(job / "unlearned", given)
        weights = given / "open_clip_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    assert_refused(negmerge("push", given, "me/x"), words)
    assert hub.asked == []


def test_a_card_whose_head_the_hub_refuses_stops_the_push(negmerge: Command, hub: Hub, job: Path) -> None:
    (job / "MODEL_CARD.md").write_text("---\nmodel-index: 7\n---\n")
    assert_refused(negmerge("push", job, "me/unlearned"), "README.md")
    assert files(hub, "me/unlearned") == {}


@pytest.mark.parametrize(
    ("repository", "words"),
    [("others/model", "does not let this token write"), ("a/b/c", "no name of a repository"), ("me/..", "no name")],
)
def test_a_repository_that_may_not_be_is_refused(
    negmerge: Command, hub: Hub, job: Path, repository: str, words: str
) -> None:
    assert_refused(negmerge("push", job, repository), words)


def test_a_token_that_the_hub_does_not_know_is_refused_and_not_shown(
    negmerge: Command, hub: Hub, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    done = negmerge("push", job, "me/unlearned")
    assert_refused(done, "does not let this token write")
    assert "hf_another" not in done.stderr


def test_without_a_login_nothing_is_asked(
    negmerge: Command, hub: Hub, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    assert_refused(negmerge("push", job, "me/unlearned"), "set HF_TOKEN", "hf auth login")
    assert hub.asked == []


def test_a_hub_that_is_not_there_is_told(
    negmerge: Command, hub: Hub, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    assert_refused(negmerge("push", job, "me/unlearned"), "was not pushed to http://127.0.0.1:1")


def test_the_hub_and_the_token_are_read_from_the_environment(hub: Hub, job: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "negmerge", "push", job, "me/unlearned"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": publishing_hub.TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "open_clip_model.safetensors" in files(hub, "me/unlearned")
