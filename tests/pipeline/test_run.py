"""A whole job in one process: what it writes, what it leaves out, what it refuses, how it stops."""

import hashlib
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from negmerge.checkpoints.tensors import digest
from negmerge.errors import DivergedError, Interrupted, MergeError, SelectionError
from negmerge.evaluation.prepared import Prepared
from negmerge.models.loading import load_model
from negmerge.pipeline import run as pipeline
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.pipeline.tune import new_partial, tune
from negmerge.pipeline.unfinished import Unfinished
from negmerge.progress import OnStep, ignore
from negmerge.spec.job import parse
from negmerge.spec.sweep import expand
from tests.support import local_job, pico

pytestmark = pytest.mark.slow

DIVERGING = {"learning_rate": 1e6, "epochs": 2, "batch_size": 8}
SOUND = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("job")
    return folder, local_job.run(folder, compare=["task_arithmetic", "uniform", "ties", "magmax"])


def test_the_class_is_forgotten_and_the_rest_is_kept(job: tuple[Path, dict[str, Any]]) -> None:
    _, result = job
    base, merged = result["methods"]["base"]["test"], result["methods"]["negmerge"]["test"]
    assert merged["forget"]["accuracy"] < base["forget"]["accuracy"]
    assert merged["retain"]["accuracy"] >= 0.7 * base["retain"]["accuracy"]


def test_the_digest_of_the_result_is_that_of_the_weights_file(job: tuple[Path, dict[str, Any]]) -> None:
    folder, result = job
    weights = (folder / "out" / "unlearned" / "open_clip_model.safetensors").read_bytes()
    assert result["digests"]["unlearned"] == f"sha256:{hashlib.sha256(weights).hexdigest()}"


def test_open_clip_loads_the_unlearned_folder_as_it_is(job: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = job
    theirs = open_clip.create_model(f"local-dir:{folder / 'out' / 'unlearned'}")
    ours = load_model(folder / "out" / "unlearned")
    assert theirs.state_dict().keys() == ours.original.keys()
    assert all(torch.equal(tensor, ours.original[name]) for name, tensor in theirs.state_dict().items())


def test_what_was_measured_is_what_the_file_holds(job: tuple[Path, dict[str, Any]]) -> None:
    folder, result = job
    spec = parse(result["spec"])
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    measured = prepare(spec, load_model(folder / "out" / "unlearned"), forget, retain).base
    assert measured["test"]["forget"].record().as_json() == result["methods"]["negmerge"]["test"]["forget"]
    assert measured["test"]["retain"].record().as_json() == result["methods"]["negmerge"]["test"]["retain"]


@pytest.mark.parametrize(("when", "method"), [("before", "base"), ("after", "negmerge")])
def test_the_examples_of_the_forget_set_are_right_as_often_as_the_result_says(
    job: tuple[Path, dict[str, Any]], when: str, method: str
) -> None:
    """Its ten test samples are all shown."""
    folder, result = job
    shown = json.loads((folder / "out" / "examples.json").read_text())["forget"]
    right = sum(one[when] == one["class_name"] for one in shown)
    figure = result["methods"][method]["test"]["forget"]
    assert (right, len(shown)) == (figure["correct"], figure["count"])


def test_every_method_asked_for_is_in_the_result(job: tuple[Path, dict[str, Any]]) -> None:
    _, result = job
    assert set(result["methods"]) == {"base", "negmerge", "task_arithmetic", "uniform", "ties", "magmax"}


def test_the_same_job_gives_the_same_weights(job: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, result = job
    again = local_job.run(tmp_path)
    assert again["digests"] == result["digests"]


def test_a_full_curve_has_more_rows_and_the_job_is_the_same_to_the_bit(
    job: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, needed = job
    full = local_job.run(tmp_path, scale_search={"keep": local_job.KEEP, "curve": "full"})
    assert (full["digests"], full["scale"]) == (needed["digests"], needed["scale"])
    rows, all_rows = (result["methods"]["negmerge"]["curve"] for result in (needed, full))
    assert [row for row in all_rows if row in rows] == rows
    assert {i / 10 for i in range(11)} <= {row["scale"] for row in rows} < {row["scale"] for row in all_rows}


def test_splits_add_up_to_the_archive(job: tuple[Path, dict[str, Any]]) -> None:
    _, result = job
    assert result["splits"] == {
        "forget": {"train": 80, "validation": 10, "test": 10},
        "retain": {"train": 320, "validation": 40, "test": 40},
    }


def test_a_diverged_point_is_left_out_and_listed(tmp_path: Path) -> None:
    result = local_job.run(tmp_path, sweep={"points": [SOUND, DIVERGING]})
    assert result["left_out"] == [1]
    assert [point["state"] for point in result["points"]] == ["folded", "diverged"]


def test_a_diverged_point_changes_nothing_of_the_merge(tmp_path: Path) -> None:
    with_it = local_job.run(tmp_path / "with", sweep={"points": [SOUND, DIVERGING]})
    without = local_job.run(tmp_path / "without", sweep={"points": [SOUND]})
    assert with_it["digests"] == without["digests"]


def test_a_diverged_point_ends_the_job_where_the_sweep_says_so(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        local_job.run(tmp_path, sweep={"points": [SOUND, DIVERGING], "on_diverged": "fail"})


def test_a_sweep_in_which_every_point_diverges_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match="lower the learning rates"):
        local_job.run(tmp_path, sweep={"points": [DIVERGING]})


def test_an_unknown_class_is_refused_before_any_image_is_decoded(tmp_path: Path) -> None:
    forget = local_job.spec_document(tmp_path)["forget"] | {"select": {"classes": ["eleven"]}}
    with pytest.raises(SelectionError, match="eleven"):
        local_job.run(tmp_path, forget=forget)


def test_forgotten_samples_are_measured_themselves(tmp_path: Path) -> None:
    archive = local_job.spec_document(tmp_path)["forget"]["uri"]
    result = local_job.run(tmp_path, forget={"uri": archive, "select": {"fraction": 0.2, "seed": 1}})
    assert result["rule"] == "match_unseen"
    assert set(result["methods"]["negmerge"]["test"]) == {"retain"}
    assert result["methods"]["negmerge"]["train"]["forget"]["count"] == result["splits"]["forget"]["train"]


def test_a_control_sets_train_part_is_not_measured(tmp_path: Path) -> None:
    control = pico.make_archive(tmp_path / "control.zip", classes=("zero", "one"), per_class=20)
    document = local_job.spec_document(tmp_path, retain={"uri": str(control)})
    spec = parse(document)
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    prepared = prepare(spec, open_model(spec, "cpu"), forget, retain)
    assert set(prepared.base["train"]) == {"forget"}
    assert prepared.splits.retain.train > 0


def test_a_prepared_job_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    spec = parse(local_job.spec_document(tmp_path))
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    prepared = prepare(spec, open_model(spec, "cpu"), forget, retain)
    prepared.save(tmp_path / "prepared.safetensors")
    again = Prepared.load(tmp_path / "prepared.safetensors")
    assert again.base == prepared.base
    assert again.splits == prepared.splits
    assert {name: set(side.parts) for name, side in again.sides.items()} == {
        name: set(side.parts) for name, side in prepared.sides.items()
    }
    assert set(again.sides) == {"forget", "retain"}
    for name, side in prepared.sides.items():
        assert torch.equal(again.sides[name].head, side.head)
        for part, decoded in side.parts.items():
            assert torch.equal(again.sides[name].parts[part].images, decoded.images)
            assert torch.equal(again.sides[name].parts[part].labels, decoded.labels)
            assert again.sides[name].parts[part].ids == decoded.ids


def test_unseen_samples_come_from_the_forget_sets_own_data_set(tmp_path: Path) -> None:
    control = pico.make_archive(tmp_path / "control.zip", classes=("zero", "one"), per_class=20)
    archive = local_job.spec_document(tmp_path)["forget"]["uri"]
    forget_ref = {"uri": archive, "select": {"fraction": 0.2}}
    spec = parse(local_job.spec_document(tmp_path, forget=forget_ref, retain={"uri": str(control)}))
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    prepared = prepare(spec, open_model(spec, "cpu"), forget, retain)
    assert prepared.reference is not None
    assert prepared.reference.count == 50  # 10 % of the 500 digits of its own archive, not of the control set's 40


@pytest.mark.parametrize("stage", ["prepare", "point 2/4", "conclude"])
def test_every_stage_can_be_interrupted(tmp_path: Path, stage: str) -> None:
    spec = parse(local_job.spec_document(tmp_path, compare=["task_arithmetic"]))
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)

    def stop(step: int, total: int, loss: float | None) -> None:
        raise Interrupted("stop")

    def on_stage(name: str) -> OnStep:
        return stop if name == stage else ignore

    with pytest.raises(Interrupted):
        pipeline.run(spec, open_model(spec, "cpu"), forget, retain, Unfinished(tmp_path), on_stage)


def test_points_fold_to_the_same_vector_in_any_order_over_partials(tmp_path: Path) -> None:
    spec = parse(local_job.spec_document(tmp_path, compare=["task_arithmetic", "ties"]))
    model = open_model(spec, "cpu")
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    prepared = prepare(spec, model, forget, retain)
    tuned = [(point.index, tune(spec, model, prepared, point)) for point in expand(spec.sweep)]
    one, left, right = (new_partial(spec, model) for _ in range(3))
    for index, point in tuned:
        one.add(index, point.vector, point.single)
    for index, point in reversed(tuned):
        (left if index % 2 else right).add(index, point.vector, point.single)
    right.combine(left)
    assert set(one.methods) == {"negmerge", "task_arithmetic", "ties"}
    for method in one.methods:
        assert digest(one.result(method)) == digest(right.result(method)), method
