"""What a job may tell a rival: an option that it does not read is refused at once, a useless value before any image."""

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from negmerge.errors import SpecError
from negmerge.names import rivals_text
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.rivals import _base as rival
from negmerge.rivals._base import Settings, find, settings_of
from negmerge.spec.job import parse
from negmerge.spec.rivals import FILE, RivalOptions, options_read, rival_names
from tests.rivals.test_contracts import unlearn
from tests.support import local_job, pico_timm

OPTIONS = {field.name for field in fields(Settings)}


def spec_document(folder: Path, rivals: dict[str, Any]) -> dict[str, Any]:
    """A job of a classifier with these rivals."""
    base = {"family": "timm", "weights": str(pico_timm.make_model(folder / "classifier"))}
    return local_job.spec_document(folder, base_model=base, compare=list(rivals), rivals=rivals)


def test_the_list_of_rivals_is_of_the_files_that_are_here() -> None:
    assert FILE.read_text() == rivals_text(), f"{FILE.name} is old: run `make names`"


@pytest.mark.parametrize("name", rival_names())
def test_what_a_rival_reads_is_known_without_importing_it(name: str) -> None:
    assert options_read(name) == find(name).READS


@pytest.mark.slow
@pytest.mark.parametrize("name", rival_names())
def test_a_rival_reads_what_its_file_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()

    class Watched(Settings):
        def __getattribute__(self, key: str) -> Any:
            if key in OPTIONS:
                read.add(key)
            return super().__getattribute__(key)

    watched = Watched(**vars(find(name).DEFAULTS) | {"epochs": 2, "batch_size": 4})
    monkeypatch.setattr(rival, "settings_of", lambda *_: watched)
    unlearn(name)
    assert read == find(name).READS


@pytest.mark.slow
@pytest.mark.parametrize("name", rival_names())
def test_an_option_that_is_not_read_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for option in OPTIONS - find(name).READS:
        with pytest.raises(SpecError) as found:
            parse(spec_document(tmp_path, {name: {option: vars(Settings())[option]}}))
        [wrong] = found.value.errors
        assert (wrong.pointer, wrong.detail.split(":")[0]) == (f"/rivals/{name}/{option}", f"is not read by {name}")


def test_an_option_that_is_read_takes_the_place_of_the_default() -> None:
    assert settings_of("salun", RivalOptions(strength=0.2)) == replace(find("salun").DEFAULTS, strength=0.2)


@pytest.mark.slow
def test_a_share_of_more_than_all_weights_ends_the_job_before_an_image_is_read(tmp_path: Path) -> None:
    def unread(ids: Collection[str]) -> NoReturn:
        raise AssertionError("an image was read")

    spec = parse(spec_document(tmp_path, {"salun": {"strength": 1.5}}))
    forget, retain = (replace(dataset, read=unread) for dataset in open_datasets(spec))
    with pytest.raises(SpecError, match=r"/rivals/salun/strength: .* 1\.5 is more than 1"):
        prepare(spec, open_model(spec, "cpu"), forget, retain)
