"""The registry of merge methods: what the front door knows of it, and that another method is one class."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import negmerge
from negmerge.errors import MergeError
from negmerge.merging.methods import METHODS, Method, Summed, Uniform, summed
from negmerge.names import methods_text
from negmerge.spec import methods
from negmerge.spec.job import Merge
from negmerge.spec.methods import METHOD_NAMES

MEDIAN_OF_SIGNS = '''

@dataclass(frozen=True)
class Votes(Summed):
    """Half the sum of the signs."""

    name = "votes"
    label = "half the votes"
    colour = "#999999"
    components = ("positives", "negatives")

    def merge(self, state: State, points: int) -> Array:
        return ((state["positives"].astype(np.float32) - state["negatives"]) / 2).astype(np.float32)
'''

RUN = """
import json, sys
import torch
from negmerge.merging.files import merge_files
from negmerge.merging.partial import Partial
from negmerge.spec.methods import label
from negmerge.spec.job import Merge, parse
from pathlib import Path

spec = parse({
    "base_model": {"family": "open_clip", "weights": "model"},
    "forget": {"uri": "data.zip", "select": {"fraction": 0.1}},
    "retain": {"uri": "data.zip"},
    "sweep": {"grid": {"learning_rate": [1e-3]}},
    "merge": {"method": "votes"},
    "compare": ["negmerge"],
})
base = {"w": torch.zeros(3)}
partial = Partial(spec.methods(), base, spec.merge)
partial.add(0, {"w": torch.tensor([0.5, -0.25, 0.0])})
partial.add(1, {"w": torch.tensor([0.25, 0.5, -1.0])})
from safetensors.torch import load_file, save_file
for name, values in {"base": [0, 0, 0], "one": [0.5, -0.25, 0.0], "two": [0.25, 0.5, -1.0]}.items():
    save_file({"w": torch.tensor(values, dtype=torch.float32)}, f"{name}.safetensors")
merge_files(Path("base.safetensors"), [Path("one.safetensors"), Path("two.safetensors")], Path("out.safetensors"),
            method="votes")
print(json.dumps({
    "methods": spec.methods(),
    "label": label("votes"),
    "merged": partial.result("votes")["w"].tolist(),
    "file": load_file("out.safetensors")["w"].tolist(),
}))
"""


def test_the_front_door_knows_what_the_classes_say() -> None:
    assert methods.FILE.read_text() == methods_text(), f"{methods.FILE.name} is old: run `make names`"
    assert tuple(METHODS) == METHOD_NAMES


@pytest.mark.slow
def test_another_method_is_one_class(tmp_path: Path) -> None:
    """In a copy of the library: a spec takes the name, partials and files are merged by it, tables have its label."""
    package = tmp_path / "negmerge"
    shutil.copytree(Path(negmerge.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "merging" / "methods.py"
    text = module.read_text()
    module.write_text(text.replace("\n\ndef summed(", MEDIAN_OF_SIGNS + "\n\ndef summed(", 1))
    for command in (["-m", "negmerge.names"], ["-W", "error", "-c", RUN]):
        done = subprocess.run(
            [sys.executable, *command],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["methods"] == ["votes", "negmerge"]
    assert found["label"] == "half the votes"
    assert found["merged"] == [1.0, 0.0, -0.5]
    assert found["file"] == [-1.0, 0.0, 0.5]


def test_every_method_has_a_label_and_a_colour_of_its_own() -> None:
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    colours = {method.colour for method in METHODS.values()}
    assert len(colours) == len(METHODS)
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_two_methods_of_one_name_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="two merge methods are called 'uniform'"):
        type("Other", (Uniform,), {"name": "uniform"})
    assert METHODS["uniform"] is Uniform


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not issubclass(method, Summed)])
def test_what_is_not_added_up_is_refused_where_that_is_needed(name: str) -> None:
    with pytest.raises(MergeError, match=f"'{name}' cannot be merged here: use negmerge, relaxed, "):
        summed(name, Merge())


def test_the_options_of_a_spec_reach_the_method() -> None:
    options = Merge(agreement=0.9, relaxed=0.7, density=0.3)
    assert vars(summed("negmerge", options)) == {"agreement": 0.9}
    assert vars(summed("relaxed", options)) == {"agreement": 0.7}
    assert vars(summed("ties", options)) == {"density": 0.3, "majority": 0}


def test_a_method_is_abstract_until_it_says_how_it_merges() -> None:
    assert Summed.__abstractmethods__ == {"merge"}
    assert issubclass(METHODS["greedy"], Method)
