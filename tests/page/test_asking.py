"""The form of a new request as a spec: what each field becomes, and which field is told when something is wrong."""

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidSpec
from app.page import asking, shown_as
from app.record.tables import Model
from negmerge.errors import FieldError

MODEL = Model(id="mdl_1", family="timm")
FORM = {"dataset": "ds_1", "how": "classes", "class.1": "seven", "sweep": "auto"}


def made(**changes: str) -> dict[str, Any]:
    return asking.document(FORM | changes, MODEL)


def wrong(**changes: str) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as raised:
        made(**changes)
    return asking.places(raised.value.errors)


def test_a_form_is_the_spec_that_somebody_would_write() -> None:
    given = {
        "class.4": "two",
        "forget_max": "5 %",
        "retain_min": "92,5",
        "ticket": "DSR-1",
        "metadata": "asked_by = Ada",
    }
    assert made(**given) == {
        "base_model": {"family": "timm", "weights": "mdl_1"},
        "forget": {"dataset": "ds_1", "select": {"classes": ["seven", "two"]}},
        "retain": {"dataset": "ds_1"},
        "sweep": "auto",
        "require": {"forget_max": 0.05, "retain_min": 0.925},
        "metadata": {"ticket": "DSR-1", "asked_by": "Ada"},
    }


def test_a_target_is_a_rule_of_its_own_and_without_one_the_usual_holds() -> None:
    assert made(target="50 %")["scale_search"] == {"rule": "target", "target": 0.5}
    assert "scale_search" not in made()


def test_listed_and_ticked_samples_are_each_asked_for_once() -> None:
    given = {"how": "samples", "ids": "a.png\r\n\r\n b.png", "sample.7": "b.png", "sample.8": "c.png"}
    assert made(**given)["forget"]["select"] == {"ids": ["a.png", "b.png", "c.png"]}


def test_samples_that_were_ticked_where_they_can_no_longer_be_seen_are_not_asked_for() -> None:
    given = {"how": "pictures", "ids": "a.png", "sample.7": "b.png"}
    assert made(**given)["forget"]["select"] == {"ids": ["a.png"]}


def test_a_whole_data_set_goes_against_a_control_set() -> None:
    spec = made(how="all", retain="ds_2")
    assert (spec["forget"], spec["retain"]) == ({"dataset": "ds_1"}, {"dataset": "ds_2"})


def test_a_grid_of_ones_own_takes_commas_and_spaces() -> None:
    spec = made(sweep="own", learning_rate="1e-3, 0.01", epochs="1 2")
    assert spec["sweep"] == {"grid": {"learning_rate": [0.001, 0.01], "epochs": [1, 2]}}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("dataset", {"dataset": ""}),
        ("classes", {"class.1": "", "how": "samples", "ids": ""} | {"how": "none"}),
        ("ids", {"how": "samples"}),
        ("ids", {"how": "pictures"}),
        ("forget_max", {"forget_max": "five"}),
        ("forget_max", {"forget_max": "nan"}),
        ("target", {"target": "1_0"}),
        ("retain_min", {"retain_min": "five"}),
        ("target", {"target": "half"}),
        ("sweep", {"sweep": "own"}),
        ("epochs", {"sweep": "own", "epochs": "1.5"}),
        ("learning_rate", {"sweep": "own", "learning_rate": "fast"}),
        ("metadata", {"metadata": "no equals sign"}),
        ("metadata", {"ticket": "1", "metadata": "ticket=2"}),
    ],
)
def test_what_is_wrong_is_told_at_its_field(field: str, changes: dict[str, str]) -> None:
    if field == "classes":
        with pytest.raises(InvalidSpec) as raised:
            asking.document({"dataset": "ds_1"}, MODEL)
        assert list(asking.places(raised.value.errors)) == [field]
    else:
        assert list(wrong(**changes)) == [field]


@pytest.mark.parametrize(
    ("pointer", "field"),
    [
        ("/forget/select/ids/3", "ids"),
        ("/forget/select/classes", "classes"),
        ("/sweep/grid/epochs/0", "epochs"),
        ("/sweep", "sweep"),
        ("/metadata/a", "metadata"),
        ("/metadatas", ""),
        ("/repeats", ""),
        ("/scale_search/target", "target"),
    ],
)
def test_each_field_of_the_spec_has_its_place_in_the_form(pointer: str, field: str) -> None:
    assert list(asking.places([FieldError(pointer, "is wrong")])) == [field]


AWKWARD = {"metadata": {"note": "it's “so” \\ $HOME `x`\nSPEC\n\u202e\U0001f600"}, "repeats": 1}


def test_curl_sends_the_very_document(tmp_path: Path) -> None:
    (tmp_path / "curl").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "curl").chmod(0o755)
    text = shown_as.ways(AWKWARD, "http://host:1'; exit 9; '")["curl"]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    sent = subprocess.run(["/bin/sh", "-c", text], env=path, capture_output=True, check=True).stdout
    assert json.loads(sent) == AWKWARD


def test_python_has_the_very_document() -> None:
    tree = ast.parse(shown_as.ways(AWKWARD, "http://host:1")["Python"])
    [spec] = [line.value for line in tree.body if isinstance(line, ast.Assign)]
    assert ast.literal_eval(spec) == AWKWARD
