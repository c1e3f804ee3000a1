"""A whole sweep beside the published way of doing it, on the demo's model, images, points and seeds.

The published way (the released CLIP code, restated; nothing of the library in it but the cut into parts): every image
is decoded and prepared anew in each epoch and each evaluation, every fine-tuned model is stored, all are loaded again
to be merged, and the scale is chosen from 21 by evaluating both sides at each.
"""

import io
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from math import ceil, cos, pi
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import spread
from negmerge.data.selection import Splits, split
from negmerge.evaluation.prepared import measure
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.pipeline.scale import choose_scale, load_at
from negmerge.pipeline.tune import new_partial, tune
from negmerge.progress import ignore
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.sweep import HyperParameters, Point, expand
from tooling.digits import FORGET, SWEEP, Digits, make_digits
from tooling.machine import machine

RUNS = 3
SCALES = [i / 20 for i in range(21)]

State = dict[str, Tensor]


def main(runs: int = RUNS) -> None:
    """Print seconds, bytes stored and figures of both ways."""
    print(machine())
    digits = make_digits(Path("var/demo/digits"), ignore)
    spec = _spec(digits)
    points = expand(spec.sweep)
    print(f"sweep: {len(points)} points on the demo's digits, from images to the scale that was chosen")
    ways: dict[str, Callable[[Digits, JobSpec, Path], tuple[float, float, int]]] = {
        "published": published,
        "negmerge": ours,
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    figures: dict[str, tuple[float, float, int]] = {}
    for _ in range(runs):
        for way, work in ways.items():
            with tempfile.TemporaryDirectory(prefix="negmerge-sweep-") as folder:
                started = time.perf_counter()
                figures[way] = work(digits, spec, Path(folder))
                seconds[way].append(time.perf_counter() - started)
    for way, (forget, retain, stored) in figures.items():
        print(
            f"  {way:10} {spread(seconds[way])}; {stored / 1e6:.1f} MB stored for the merge; "
            f"test: forget {100 * forget:.1f} %, retain {100 * retain:.1f} %"
        )


def ours(digits: Digits, spec: JobSpec, folder: Path) -> tuple[float, float, int]:
    """The pipeline, without any comparison. Stored is what a worker would flush: one partial."""
    model = open_model(spec, "cpu")
    forget, retain = open_datasets(spec, digits.class_names, digits.templates)
    prepared = prepare(spec, model, forget, retain)
    partial = new_partial(spec, model)
    for point in expand(spec.sweep):
        tuned = tune(spec, model, prepared, point)
        partial.add(point.index, tuned.vector)
    partial.save(folder / "partial.safetensors")
    choice = choose_scale(spec, model, prepared, partial.result("negmerge"))
    load_at(model, partial.result("negmerge"), choice.scale)
    test = measure(model, prepared.sides, ["test"])["test"]
    stored = (folder / "partial.safetensors").stat().st_size
    return test["forget"].total.accuracy, test["retain"].total.accuracy, stored


def published(digits: Digits, spec: JobSpec, folder: Path) -> tuple[float, float, int]:
    """The released code's way, restated. Stored is every fine-tuned image tower."""
    data, _ = open_datasets(spec, digits.class_names, digits.templates)
    splits = split(spec.forget, spec.retain, data.index, data.index)
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{digits.model}")
    model.eval()
    images = Images(digits.archive, list(data.index.classes), prepare)
    prompts = [[template.format(words) for template in data.templates] for words in data.class_words]
    head = _head(model, prompts)
    base = {name: tensor.clone() for name, tensor in model.visual.state_dict().items()}
    for point in expand(spec.sweep):
        model.visual.load_state_dict(base)
        _fine_tune(model, head, images.of(splits.forget.train), point)
        torch.save(model.visual.state_dict(), folder / f"{point.index}.pt")
    stored = sum(path.stat().st_size for path in folder.iterdir())
    merged = _merge(base, sorted(folder.iterdir()))
    return *_searched(model, head, images, splits, base, merged), stored


class Images(Dataset[tuple[Tensor, int]]):
    """Samples of the archive: each is decoded and prepared whenever it is asked for, as the released code does."""

    def __init__(self, archive: Path, classes: list[str], prepare: Callable[[Image.Image], Tensor]) -> None:
        self.archive = archive
        self.files = zipfile.ZipFile(archive)
        self.classes = classes
        self.prepare = prepare
        self.samples: Sequence[tuple[str, str]] = ()

    def of(self, samples: Sequence[object]) -> "Images":
        """The same archive, with these samples."""
        chosen = Images(self.archive, self.classes, self.prepare)
        chosen.samples = [(sample.id, sample.class_name) for sample in samples]  # type: ignore[attr-defined]
        return chosen

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        name, class_name = self.samples[place]
        image = Image.open(io.BytesIO(self.files.read(name)))
        return self.prepare(image), self.classes.index(class_name)


def _head(model: Any, prompts: list[list[str]]) -> Tensor:
    rows = []
    with torch.no_grad():
        for texts in prompts:
            tokens = open_clip.tokenize(texts, context_length=model.context_length)
            mean = model.encode_text(tokens, normalize=True).mean(dim=0)
            rows.append(functional.normalize(mean, dim=0))
        head: Tensor = torch.stack(rows) * model.logit_scale.exp()
    return head


def _fine_tune(model: Any, head: Tensor, images: Images, point: Point) -> None:
    hyper: HyperParameters = point.hyper_parameters
    torch.manual_seed(point.seed)
    loader: DataLoader[Any] = DataLoader(images, batch_size=hyper.batch_size, shuffle=True)
    steps = hyper.epochs * ceil(len(images) / hyper.batch_size)
    warmup = min(500, steps // 10)
    parameters = list(model.visual.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=hyper.learning_rate, weight_decay=hyper.weight_decay)
    for step, (pixels, labels) in enumerate(_epochs(loader, hyper.epochs)):
        rise = (step + 1) / warmup if step < warmup else 0.5 * (1 + cos(pi * (step - warmup) / (steps - warmup)))
        optimizer.param_groups[0]["lr"] = hyper.learning_rate * rise
        loss = functional.cross_entropy(model.encode_image(pixels, normalize=True) @ head.T, labels)
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def _epochs(loader: "DataLoader[Any]", count: int) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(count):
        yield from loader


def _merge(base: State, checkpoints: Sequence[Path]) -> State:
    states = [torch.load(path, weights_only=True) for path in checkpoints]
    merged = {}
    for name, theta_0 in base.items():
        vectors = torch.stack([state[name] - theta_0 for state in states])
        agreed = vectors.sign().sum(dim=0).abs() == len(vectors)
        merged[name] = torch.where(agreed, vectors.sum(dim=0) / len(vectors), 0)
    return merged


def _searched(
    model: Any, head: Tensor, images: Images, splits: Splits, base: State, merged: State
) -> tuple[float, float]:
    def at(scale: float, *parts: Sequence[object]) -> list[float]:
        model.visual.load_state_dict({name: theta - scale * merged[name] for name, theta in base.items()})
        return [_accuracy(model, head, images.of(part)) for part in parts]

    floor = 0.95 * at(0.0, splits.retain.validation)[0]
    curve = [(scale, *at(scale, splits.forget.validation, splits.retain.validation)) for scale in SCALES]
    best = min((forget, scale) for scale, forget, retain in curve if retain >= floor)
    forget, retain = at(best[1], splits.forget.test, splits.retain.test)
    return forget, retain


@torch.no_grad()
def _accuracy(model: Any, head: Tensor, images: Images) -> float:
    right = 0
    batches: DataLoader[Any] = DataLoader(images, batch_size=128)
    for pixels, labels in batches:
        right += int(((model.encode_image(pixels, normalize=True) @ head.T).argmax(dim=1) == labels).sum())
    return right / len(images)


def _spec(digits: Digits) -> JobSpec:
    archive = str(digits.archive)
    return parse(
        {
            "base_model": {"family": "open_clip", "weights": str(digits.model)},
            "forget": {"uri": archive, "select": {"classes": [FORGET]}},
            "retain": {"uri": archive},
            "sweep": SWEEP,
        }
    )
