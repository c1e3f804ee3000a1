"""What a job may tell a rival: what the rival has no use for is refused by name, before any work."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from negmerge import pipeline
from negmerge.errors import SpecError
from negmerge.local import open_datasets, open_model
from negmerge.rival import Settings, find, settings_of
from negmerge.rival_spec import RivalOptions, rival_names
from negmerge.spec import parse
from tests import local_job, pico_timm


@pytest.mark.parametrize("name", rival_names())
def test_an_option_that_is_not_read_is_refused_by_name(name: str) -> None:
    for option in RivalOptions.model_fields.keys() - find(name).READS:
        with pytest.raises(SpecError, match=f"/rivals/{name}/{option}: {name} does not read it"):
            settings_of(name, RivalOptions.model_validate({option: vars(Settings())[option]}))


def test_an_option_that_is_read_takes_the_place_of_the_default() -> None:
    assert settings_of("salun", RivalOptions(strength=0.2)) == replace(find("salun").DEFAULTS, strength=0.2)


def test_salun_refuses_a_share_of_more_than_all_weights() -> None:
    with pytest.raises(SpecError, match=r"/rivals/salun/strength: .* 1\.5 is more than 1"):
        settings_of("salun", RivalOptions(strength=1.5))


@pytest.mark.parametrize("rivals", [{"retrain": {"strength": 1}}, {"salun": {"strength": 1.5}}])
def test_a_job_with_such_an_option_ends_before_an_image_is_read(rivals: dict[str, Any], tmp_path: Path) -> None:
    def unread(ids: Collection[str]) -> NoReturn:
        raise AssertionError("an image was read")

    base = {"family": "timm", "weights": str(pico_timm.make_model(tmp_path / "classifier"))}
    spec = parse(local_job.spec_document(tmp_path, base_model=base, compare=["retrain", "salun"], rivals=rivals))
    forget, retain = (replace(dataset, read=unread) for dataset in open_datasets(spec))
    with pytest.raises(SpecError, match=f"/rivals/{next(iter(rivals))}/strength"):
        pipeline.prepare(spec, open_model(spec, "cpu"), forget, retain)
