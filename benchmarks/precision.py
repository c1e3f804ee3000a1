"""Points trained in float32 and in bfloat16, side by side: what is forgotten and kept after the whole merge.

Three settings, five seeds each, both precisions with the same seeds one after the other: the demo's CLIP and digits; a
small ResNet on a small CIFAR-10; the small CLIP of two domains of ``experiments``. A run is a whole job without
comparisons: every point trained, NegMerge, λ searched, tested; all that is measured is float32.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from scipy import stats

from experiments import cifar10, clip_domain
from experiments.catalog import HERE
from experiments.data import CIFAR10, data_root
from experiments.subset import write_subset
from negmerge.data.selection import cut
from negmerge.decoding.dataset import Dataset, decode, open_archive
from negmerge.evaluation.prepared import Prepared, measure
from negmerge.memory import keep_freed_memory
from negmerge.models import classifiers
from negmerge.models.classifiers import Classifier
from negmerge.models.network import Network
from negmerge.models.precision import bfloat16_by
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.pipeline.scale import choose_scale, load_at
from negmerge.pipeline.tune import new_partial, tune
from negmerge.progress import ignore
from negmerge.rivals._base import train_rival
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.precision import Precision
from negmerge.spec.rivals import RivalOptions
from negmerge.spec.sweep import Point, of_repeat
from tooling.digits import FORGET, make_digits
from tooling.machine import machine

SEEDS = 5
CONFIDENCE = 0.95
LABELS = {
    "forget": "forget, test %",
    "retain": "retain, test %",
    "consensus": "consensus, %",
    "seconds": "training, s",
}
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SMALL_CIFAR10 = {"train": 200, "test": 100}
SMALL_RESNET: dict[str, Any] = cifar10.CONFIG | {
    "model_args": {"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 64]},
}
BASE_TRAINING = RivalOptions(learning_rate=0.1, epochs=25, batch_size=64)


@dataclass(frozen=True)
class Setting:
    """What is forgotten of which model; ``spec`` has as many repeats as there are seeds."""

    name: str
    spec: JobSpec
    datasets: tuple[Dataset, Dataset]


@dataclass(frozen=True)
class Run:
    """Test accuracies and the consensus in percent after a whole merge, and how long its training took in seconds."""

    forget: float
    retain: float
    consensus: float
    seconds: float


def main(seeds: int = SEEDS) -> None:
    """Print a table: for each setting and side both precisions, and what is between them, seed by seed."""
    print(machine())
    print(f"precision: {seeds} seeds a side; bfloat16 is computed here by {bfloat16_by('cpu')}")
    keep_freed_memory()
    torch.set_num_threads(1)  # the models are small: a second thread gains little, and loses much on a busy machine
    print("| setting | figure | float32 | bfloat16 | bfloat16 − float32 |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="negmerge-precision-") as folder:
        for setting in _settings(Path(folder), seeds):
            runs = _runs(setting)
            for figure in LABELS:
                print(_row(setting.name, figure, runs), flush=True)


def _settings(folder: Path, seeds: int) -> Iterator[Setting]:
    yield _digits(seeds)
    data = data_root()
    if data is None:
        print("precision: CIFAR-10 and the CLIP domain skipped, they need cifar10-jpeg.zip (NEGMERGE_DATA says where)")
        return
    yield _small_cifar10(folder, data / CIFAR10, seeds)
    yield _clip_domain(data / CIFAR10, seeds)


def _digits(seeds: int) -> Setting:
    digits = make_digits(Path("var/demo/digits"), ignore)
    grid = {"learning_rate": [1e-4, 3e-4], "weight_decay": [0.0, 0.1], "epochs": [5], "batch_size": [32]}
    spec = parse(
        {
            "base_model": {"family": "open_clip", "weights": str(digits.model)},
            "forget": {"uri": str(digits.archive), "select": {"classes": [FORGET]}},
            "retain": {"uri": str(digits.archive)},
            "sweep": {"grid": grid},
            "repeats": seeds,
        }
    )
    return Setting("digits, CLIP", spec, open_datasets(spec, digits.class_names, digits.templates))


def _small_cifar10(folder: Path, source: Path, seeds: int) -> Setting:
    """A class of a small CIFAR-10, out of a ResNet that is trained here in float32."""
    archive, model = folder / "cifar10.zip", folder / "model"
    write_subset(source, archive, SMALL_CIFAR10)
    module = classifiers.build(SMALL_RESNET)
    base = Classifier(module, SMALL_RESNET, module.state_dict(), "cpu")
    dataset = open_archive(archive)
    train = decode(dataset, cut(dataset.index).train, base.preprocess)
    base.save(train_rival("retrain", BASE_TRAINING, base, torch.zeros(0), train, train, seed=0), model)
    grid = {"learning_rate": [0.02, 0.05], "label_smoothing": [0.0, 0.1], "epochs": [6], "batch_size": [32]}
    spec = parse(
        {
            "base_model": {"family": "timm", "weights": str(model)},
            "forget": {"uri": str(archive), "select": {"classes": ["truck"]}},
            "retain": {"uri": str(archive)},
            "sweep": {"grid": grid | {"optimizer": ["sgd"], "crop_flip": [True]}},
            "scale_search": {"rule": "lowest_forget"},
            "repeats": seeds,
        }
    )
    return Setting("CIFAR-10 small, ResNet", spec, (dataset, dataset))


def _clip_domain(source: Path, seeds: int) -> Setting:
    """The digits as a whole, out of a CLIP that knows CIFAR-10 too; its base model is kept between runs."""
    made = clip_domain.make_base(HERE / "clip-domain", source)
    augmented = [{"magnitude": 4, "operations": 1}, {"magnitude": 7, "operations": 2}]
    spec = parse(
        {
            "base_model": {"family": "open_clip", "weights": str(made.model)},
            "forget": {"uri": str(made.digits)},
            "retain": {"uri": str(made.cifar10)},
            "sweep": {"grid": {"learning_rate": [1e-4], "epochs": [3], "randaugment": augmented}},
            "repeats": seeds,
        }
    )
    retain, forget = clip_domain.open_both(made.cifar10, made.digits)
    return Setting("digits of two domains, CLIP", spec, (forget, retain))


def _runs(setting: Setting) -> dict[Precision, list[Run]]:
    """One run for each seed and precision; the two of a seed follow each other, the first of them in turn."""
    spec = setting.spec
    model = open_model(spec, "cpu")
    prepared = prepare(spec, model, *setting.datasets)
    runs: dict[Precision, list[Run]] = {precision: [] for precision in PRECISIONS}
    for seed in range(spec.repeats):
        points = of_repeat(spec.points(), seed, spec.repeats)
        for precision in PRECISIONS if seed % 2 == 0 else reversed(PRECISIONS):
            runs[precision].append(_run(spec, model, prepared, points, precision))
    return runs


def _run(spec: JobSpec, model: Network, prepared: Prepared, points: Sequence[Point], precision: Precision) -> Run:
    partial = new_partial(spec, model)
    started = time.perf_counter()
    for point in points:
        partial.add(point.index, tune(spec, model, prepared, point, precision=precision).vector)
    seconds = time.perf_counter() - started
    merged = partial.result("negmerge")
    load_at(model, merged, choose_scale(spec, model, prepared, merged, with_curve=False).scale)
    test = measure(model, prepared.sides, ["test"])["test"]
    model.restore()
    forget, retain = (100 * test[side].total.accuracy for side in ("forget", "retain"))
    return Run(forget, retain, 100 * partial.consensus().share, seconds)


def _row(name: str, figure: str, runs: dict[Precision, list[Run]]) -> str:
    sides = {precision: [getattr(run, figure) for run in runs[precision]] for precision in PRECISIONS}
    told = [f"{statistics.mean(side):.2f} ± {statistics.stdev(side):.2f}" for side in sides.values()]
    differences = [half - whole for whole, half in zip(sides["float32"], sides["bfloat16"], strict=True)]
    return f"| {name} | {LABELS[figure]} | {' | '.join(told)} | {interval(differences)} |"


def interval(differences: Sequence[float]) -> str:
    """Their mean, and in what a mean of such differences lies by Student's t."""
    mean, count = statistics.mean(differences), len(differences)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * statistics.stdev(differences) / count**0.5
    return f"{mean:+.2f} ({mean - half:+.2f} … {mean + half:+.2f})"
