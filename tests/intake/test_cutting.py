"""What a submission is told of its data sets is the same, whichever process cuts them."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.errors import InternalError, InvalidSpec, ServiceError, Unavailable
from app.intake import cutting
from app.intake.cutting import Cutter
from app.record.tables import Dataset
from app.settings import Settings
from app.store.objects import Store, StoreUnavailable
from negmerge import confined
from negmerge.data.archives import Index, Sample
from negmerge.spec.job import JobSpec
from tests.support.records import make_spec

CLASSES = ("eight", "seven")


def stored(store: Store, folder: Path, name: str, per_class: int) -> Dataset:
    """A data set of which the store has the index alone."""
    samples = tuple(Sample(f"{word}/{number:07}", word, None) for word in CLASSES for number in range(per_class))
    index = folder / f"{name}.json"
    index.write_text(json.dumps(Index(samples, CLASSES).as_json()))
    store.put_file(f"{name}/index.json", index)
    return Dataset(id=name, index_key=f"{name}/index.json", samples=len(samples))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store.open(settings.store_url)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every data set is large."""
    monkeypatch.setattr(cutting, "MOST_HERE", 0)


def told(settings: Settings, store: Store, tmp_path: Path, spec: JobSpec) -> Any:
    """The counts, or what is wrong."""
    dataset = stored(store, tmp_path, "ds_1", per_class=20)
    try:
        counts = Cutter(settings, store).counts(spec, dataset, dataset)
        assert counts is not None
        return counts.model_dump()
    except ServiceError as error:
        return type(error), str(error), error.errors


SPECS = {
    "a class": {},
    "an unknown class": {"forget": {"dataset": "ds_1", "select": {"classes": ["nine"]}}},
    "all": {"forget": {"dataset": "ds_1", "select": {"classes": list(CLASSES)}}},
    "samples": {"forget": {"dataset": "ds_1", "select": {"ids": ["seven/0000003"]}}},
    "a share with a rival": {
        "base_model": {"family": "timm", "weights": "mdl_1"},
        "forget": {"dataset": "ds_1", "select": {"fraction": 0.5}},
        "compare": ["retrain"],
    },
}


@pytest.mark.parametrize("changes", SPECS.values(), ids=SPECS)
def test_a_process_of_its_own_tells_the_same(
    settings: Settings, store: Store, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(**changes)
    here = told(settings, store, tmp_path, spec)
    monkeypatch.setattr(cutting, "MOST_HERE", 0)
    assert told(settings, store, tmp_path, spec) == here


def test_the_counts_are_those_of_the_cut(settings: Settings, store: Store, tmp_path: Path) -> None:
    """By hand: of 20 samples of a class two are cut for validation, and two for the test."""
    assert told(settings, store, tmp_path, make_spec()) == {
        side: {"train": 16, "validation": 2, "test": 2} for side in ("forget", "retain")
    }


@pytest.mark.slow
def test_a_large_data_set_is_not_read_in_this_process(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = stored(store, tmp_path, "ds_1", per_class=cutting.MOST_HERE // 2 + 1)
    cutter = Cutter(settings, store)
    monkeypatch.setattr(store, "read", None)
    counts = cutter.counts(make_spec(), dataset, dataset)
    assert counts is not None
    assert counts.forget.train == 20_001


@pytest.mark.usefixtures("elsewhere")
def test_a_store_without_the_index_is_our_fault_and_tells_a_client_nothing(settings: Settings, store: Store) -> None:
    dataset = Dataset(id="ds_1", index_key="gone", samples=1)
    with pytest.raises(InternalError, match=r"^the data set could not be cut; the service's log has the cause$"):
        Cutter(settings, store).counts(make_spec(), dataset, dataset)


@pytest.mark.usefixtures("elsewhere")
def test_a_store_that_does_not_answer_is_unavailable(store: Store, tmp_path: Path) -> None:
    nobody = "s3://bucket/prefix?endpoint=http://127.0.0.1:9&region=us-east-1"
    dataset = Dataset(id="ds_1", index_key="key", samples=1)
    with pytest.raises(StoreUnavailable, match="the artifact store does not answer"):
        Cutter(Settings(data_dir=tmp_path, store_url=nobody), store).counts(make_spec(), dataset, dataset)


@pytest.mark.parametrize(("of", "setting"), [("memory", "MEMORY_BYTES"), ("seconds", "SECONDS")])
@pytest.mark.usefixtures("elsewhere")
def test_a_data_set_beyond_the_limits_says_which(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: Any, setting: str
) -> None:
    def too_much(*_: object, **__: object) -> dict[str, Any]:
        raise confined.TooMuch(of)

    monkeypatch.setattr(confined, "ask", too_much)
    dataset = stored(store, tmp_path, "ds_1", per_class=20)
    with pytest.raises(InvalidSpec, match=f"too large to be cut within NEGMERGE_CHECK_{setting}"):
        Cutter(settings, store).counts(make_spec(), dataset, dataset)


@pytest.mark.usefixtures("elsewhere")
def test_too_many_at_once_are_told_to_try_again(settings: Settings, store: Store, tmp_path: Path) -> None:
    dataset = stored(store, tmp_path, "ds_1", per_class=20)
    cutter = Cutter(settings, store)
    with ExitStack() as places:
        for _ in range(cutting._PLACES):
            places.enter_context(cutter._places)
        with pytest.raises(Unavailable, match="submitted at once"):
            cutter.counts(make_spec(), dataset, dataset)
    assert cutter.counts(make_spec(), dataset, dataset) is not None
