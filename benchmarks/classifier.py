"""A sweep of 6 points on 5,000 CIFAR-10 images with a ResNet-20, 2 epochs each, beside the usual way of training it.

Both begin at images in memory, train with random crops and flips from the same random weights, and end with the
points merged. The usual way is the classifiers' published one, restated: each image prepared on its own by
torchvision's transforms, tensors as they come, every fine-tuned model kept to be merged at the end.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import spread
from experiments.cifar10 import CONFIG
from experiments.data import CIFAR10, data_root
from experiments.subset import write_subset
from negmerge.decoding.dataset import Decoded, decode, open_archive
from negmerge.memory import keep_freed_memory
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import task_vector
from negmerge.models import classifiers
from negmerge.models.classifiers import Classifier
from negmerge.spec.job import Merge
from negmerge.spec.sweep import Point, Sweep, expand
from negmerge.training.fine_tune import fine_tune
from tooling.machine import machine

PER_CLASS = {"train": 500}
EPOCHS = 2
RUNS = 2
RESNET_20 = CONFIG | {"stem": "cifar", "model_args": {"layers": [3, 3, 3, 0], "channels": [16, 32, 64, 64]}}
SWEEP = {
    "grid": {
        "learning_rate": [0.01, 0.03, 0.1],
        "label_smoothing": [0.0, 0.1],
        "epochs": [EPOCHS],
        "batch_size": [128],
        "optimizer": ["sgd"],
        "crop_flip": [True],
    }
}


def main(runs: int = RUNS) -> None:
    """Print seconds and images a second of both ways."""
    print(machine())
    root = data_root()
    if root is None:
        print("classifier: skipped, it needs cifar10-jpeg.zip (NEGMERGE_DATA says where)")
        return
    keep_freed_memory()  # as the workers and `negmerge run` do; it helps the usual way as well
    torch.manual_seed(0)
    module = classifiers.build(RESNET_20)
    start = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = Classifier(module, RESNET_20, start, "cpu")
    with tempfile.TemporaryDirectory(prefix="negmerge-classifier-") as folder:
        write_subset(root / CIFAR10, Path(folder) / "images.zip", PER_CLASS)
        dataset = open_archive(Path(folder) / "images.zip")
        samples = decode(dataset, dataset.index.samples, model.preprocess)
    points = expand(Sweep.model_validate(SWEEP))
    images = len(points) * EPOCHS * len(samples.images)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"classifier: {len(points)} points, {len(samples.images)} images, {size} parameters, {EPOCHS} epochs each")
    seconds: dict[str, list[float]] = {"usual": [], "negmerge": []}
    for _ in range(runs):
        seconds["usual"].append(_timed(lambda: usual(start, samples, points)))
        seconds["negmerge"].append(_timed(lambda: ours(model, samples, points)))
    for way, each in seconds.items():
        print(f"  {way:10} {spread(each)}; {spread([images / one for one in each], 'images/s')}")


def ours(model: Classifier, samples: Decoded, points: list[Point]) -> None:
    """The library: fine-tune each point and fold it."""
    partial = Partial(["negmerge"], model.base, Merge())
    for point in points:
        tuned = fine_tune(model, samples.images, samples.labels, torch.zeros(0), point.hyper_parameters, point.seed)
        partial.add(point.index, task_vector(tuned.state, model.base, model.names))
    partial.result("negmerge")


class Images(Dataset[tuple[Tensor, int]]):
    """The same images, each prepared whenever it is asked for."""

    def __init__(self, samples: Decoded) -> None:
        self.samples = samples
        mean, std = CONFIG["pretrained_cfg"]["mean"], CONFIG["pretrained_cfg"]["std"]
        self.prepare = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.samples.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.prepare(self.samples.images[place]), int(self.samples.labels[place])


def usual(start: dict[str, Tensor], samples: Decoded, points: list[Point]) -> None:
    """Train every point, keep every model, and merge what agrees."""
    model = classifiers.build(RESNET_20)
    names = [name for name, _ in model.named_parameters()]
    vectors: list[dict[str, Tensor]] = []
    for point in points:
        model.load_state_dict(start)
        _train(model, samples, point)
        vectors.append({name: model.state_dict()[name] - start[name] for name in names})
    for name in names:
        stacked = torch.stack([vector[name] for vector in vectors])
        torch.where(stacked.sign().sum(dim=0).abs() == len(vectors), stacked.mean(dim=0), 0)


def _train(model: Any, samples: Decoded, point: Point) -> None:
    hyper = point.hyper_parameters
    torch.manual_seed(point.seed)
    loader: DataLoader[Any] = DataLoader(Images(samples), batch_size=hyper.batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=hyper.learning_rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, hyper.epochs * len(loader))
    model.train()
    for _ in range(hyper.epochs):
        for pixels, labels in loader:
            loss = functional.cross_entropy(model(pixels), labels, label_smoothing=hyper.label_smoothing)
            optimizer.zero_grad()
            torch.autograd.backward([loss])
            optimizer.step()
            schedule.step()


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
