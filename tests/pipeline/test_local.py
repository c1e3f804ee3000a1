"""A spec's references as a command line means them."""

import json
from pathlib import Path

import pytest

from negmerge.errors import SpecError
from negmerge.pipeline.local import open_model, read_spec
from negmerge.spec.job import parse
from tests.support import pico, results

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["mdl_1", "openai"], ids=["like an id", "like a tag"])
def test_a_folder_that_is_here_is_meant_whatever_its_name_looks_like(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pico.make_model(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    spec = parse(
        {
            "base_model": {"family": "open_clip", "weights": name},
            "forget": {"uri": "digits.zip", "select": {"classes": ["seven"]}},
            "retain": {"uri": "digits.zip"},
            "sweep": {"grid": {"epochs": [1]}},
        }
    )
    assert open_model(spec, "cpu").family == "open_clip"


def test_a_spec_in_yaml_means_what_it_means_in_json(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(results.SPEC | {"sweep": {"grid": {"learning_rate": [1e-5]}}}))
    (tmp_path / "job.yaml").write_text(
        "base_model: {family: open_clip, weights: model}\n"
        "forget: {uri: digits.zip, select: {classes: [three]}}\n"
        "retain: {uri: digits.zip}\n"
        "sweep:\n  grid:\n    learning_rate: [1e-5]  # text in YAML 1.1\n"
    )
    assert read_spec(tmp_path / "job.yaml") == read_spec(tmp_path / "job.json")


def test_a_key_twice_in_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("repeats: 1\nrepeats: 2\n")
    with pytest.raises(SpecError, match=r"job\.yml: line 2: the key 'repeats' is there twice"):
        read_spec(tmp_path / "job.yml")


def test_a_spec_without_end_is_not_read_to_it() -> None:
    with pytest.raises(SpecError, match="has more than 16777216 bytes: a job's spec is small"):
        read_spec(Path("/dev/zero"))
