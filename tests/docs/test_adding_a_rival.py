"""The page on adding a rival does what it says: its file and its command make one, which a job names and which runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import negmerge

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-rival.md").read_text()

RUN = """
import json, sys
import torch
import pytest

import negmerge
from negmerge.decoding.dataset import Decoded
from negmerge.models import classifiers
from negmerge.rivals import _base as rival
from negmerge.spec import job as spec, rivals as rival_spec

job = spec.parse({
    "base_model": {"family": "timm", "weights": "model"},
    "forget": {"uri": "data.zip", "select": {"fraction": 0.1}},
    "retain": {"uri": "data.zip"},
    "sweep": {"grid": {"learning_rate": [1e-3]}},
} | json.loads(sys.argv[1]))
config = {"architecture": "resnet18", "num_classes": 3, "stem": "cifar", "input_size": [3, 8, 8],
          "model_args": {"layers": [1, 1, 1, 0], "channels": [4, 4, 4, 4]}}
module = classifiers.build(config)
model = classifiers.Classifier(module, config, module.state_dict(), "cpu")
samples = Decoded(torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8), torch.arange(6) % 3, tuple("abcdef"))
run = lambda options: rival.train_rival("last_tensors", options, model, torch.zeros(0), samples, samples, 0)
moved = lambda state: [name for name in model.names if not torch.equal(state[name], model.original[name])]
print(json.dumps({
    "package": negmerge.__file__,
    "names": rival_spec.rival_names(),
    "compared": job.rivals_compared(),
    "as_it_is": moved(run(rival_spec.RivalOptions())),
    "as_the_job_says": moved(run(job.rivals["last_tensors"])),
    "parameters": model.names,
}))
"""


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def run(folder: Path, *arguments: str) -> str:
    """What Python prints in this folder, with the packages that lie there before all others."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_file_and_the_command_on_the_page_are_all_that_a_rival_needs(tmp_path: Path) -> None:
    """In a copy of the library: the name is listed, a job's spec takes it, and only the last tensors move."""
    package = tmp_path / "negmerge"
    shutil.copytree(Path(negmerge.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "rivals" / "last_tensors.py").write_text(block("python"))
    [python, *command] = block("bash").split()
    assert python == "python"
    run(tmp_path, *command)
    found = json.loads(run(tmp_path, "-W", "error", "-c", RUN, block("json")))
    assert Path(found["package"]).parent == package
    assert "last_tensors" in found["names"]
    assert found["compared"] == ["retrain", "last_tensors"]
    assert found["as_it_is"] == found["parameters"][-2:]
    assert found["as_the_job_says"] == found["parameters"][-4:]


def test_the_page_needs_no_more_than_about_twenty_lines() -> None:
    assert len(block("python").splitlines()) <= 25
