"""What ``import negmerge`` gives: these names, each its room's own, and nothing loaded before one is asked for."""

import ast
import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import negmerge

NAMES = [
    "NegmergeError",
    "TaskVector",
    "__version__",
    "apply",
    "load_model",
    "load_result",
    "load_tensors",
    "merge",
    "run",
    "save_tensors",
    "task_vector",
    "unlearned",
]


def in_a_fresh_interpreter(script: str) -> Any:
    """What a script prints as JSON, in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def for_type_checkers() -> dict[str, tuple[str, str]]:
    """Public name → the module and the name there that a type checker is told, read from the package's source."""
    tree = ast.parse(inspect.getsource(negmerge))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {name.asname or name.name: (str(node.module), name.name) for node in imports for name in node.names}


def test_the_public_names_are_these() -> None:
    assert negmerge.__all__ == NAMES


def test_importing_it_loads_no_torch_no_numpy_and_no_pydantic() -> None:
    script = "import json, sys, negmerge; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in in_a_fresh_interpreter(script)}
    assert "negmerge" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "pydantic", "scipy", "PIL", "rich", "typer"})


def test_dir_shows_every_name_before_any_is_loaded() -> None:
    shown = in_a_fresh_interpreter("import json, negmerge; print(json.dumps(dir(negmerge)))")
    assert set(NAMES) <= set(shown)
    assert shown == sorted(shown)


def test_every_name_is_told_to_type_checkers() -> None:
    assert {*for_type_checkers(), "__version__"} == set(NAMES)


@pytest.mark.parametrize("name", for_type_checkers())
def test_a_name_is_what_type_checkers_are_told(name: str) -> None:
    module, found = for_type_checkers()[name]
    assert getattr(negmerge, name) is getattr(import_module(module), found)


def test_a_name_that_it_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'negmerge' has no attribute 'average'"):
        negmerge.average  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(negmerge.__file__).with_name("py.typed").exists()
