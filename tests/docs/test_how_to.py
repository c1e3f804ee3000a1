"""The how-to pages say what works: their commands run as they stand, on small models, a hub and a store of MLflow's."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from negmerge.checkpoints.files import file_digest
from negmerge.cli.main import main
from negmerge.report import pages
from tests.support import archive_files, pico, pico_timm, publishing_hub, results

pytestmark = pytest.mark.slow

HOW_TO = Path(__file__).parents[2] / "docs/how-to"
JOB = "unlearned-three"
"""What the pages call the folder of a finished job."""


def blocks(page: str, language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(), re.M | re.S)
    return found


def run(page: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of the page's shell in this process, which spares each command the import of torch; those that ran."""
    lines = "".join(blocks(page, "bash")).splitlines()
    for line in lines:
        command, *arguments = shlex.split(line)
        if command == "export":
            monkeypatch.setenv(*arguments[0].split("=", 1))
            continue
        assert command == "negmerge", line
        monkeypatch.setattr(sys, "argv", [command, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (None, 0), line
    return lines


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def job(place: Path) -> Path:
    """A finished job's folder, as the pages call it, with the weights that its result was measured on."""
    folder = place / JOB
    pico.write_folder(folder / "unlearned")
    document: dict[str, Any] = results.measured().as_json()
    document["digests"]["unlearned"] = file_digest(folder / "unlearned/open_clip_model.safetensors")
    (folder / "result.json").write_text(json.dumps(document))
    (folder / "report.html").write_text("<html></html>")
    (folder / "MODEL_CARD.md").write_text(pages.model_card(results.measured()))
    return folder


def test_a_checkpoint_of_ones_own_becomes_a_base_model(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, spec = blocks("own-checkpoint.md", "json")
    (place / "config.json").write_text(config)
    (place / "job.json").write_text(spec)
    torch.save({"state_dict": pico_timm.module(json.loads(config)).state_dict()}, place / "checkpoint.pth")
    for number, name in enumerate(json.loads(config)["label_names"] * 6):
        picture = place / "animals" / name / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(archive_files.png(number, (8, 8)))

    assert len(run("own-checkpoint.md", monkeypatch)) == 2

    figures = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert figures["train"]["retain"]["count"] > 0


@pytest.mark.server
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_an_unlearned_model_gets_to_a_hub(place: Path, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with publishing_hub.serving() as hub:
        publishing_hub.speak_to(hub, monkeypatch, str(place / "cache"))
        run("hub.md", monkeypatch)
    there = hub.repositories["me/digits-without-three"]
    assert there.private
    assert there.branches["main"][-1]["README.md"] == (job / "MODEL_CARD.md").read_bytes()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_result_gets_into_mlflow_and_its_model_out_of_the_registry(
    place: Path, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python in a process of its own, as its reader's: MLflow keeps in mind whom others of this one asked."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    run("mlflow.md", monkeypatch)
    [python] = blocks("mlflow.md", "python")
    asked = [sys.executable, "-c", f"{python}\nprint(folder)"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    given = Path(done.stdout.splitlines()[-1]) / "open_clip_model.safetensors"
    assert given.read_bytes() == (job / "unlearned/open_clip_model.safetensors").read_bytes()
