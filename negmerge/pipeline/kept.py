"""What a model makes of a data set before anything is trained: heads and the base model's figures, made once.

They lie on the data set's shelf, if it has one, under names that say what they depend on: θ₀ and its config, the words
or the pixels, and the arithmetic. Without a shelf they are made anew.
"""

import json
from pathlib import Path

import torch

import negmerge
from negmerge.checkpoints.files import load_tensors, save_tensors
from negmerge.checkpoints.tensors import digest
from negmerge.decoding.dataset import Dataset
from negmerge.decoding.shelf import Shelf, name_of
from negmerge.evaluation.metrics import Evaluation, evaluate
from negmerge.evaluation.prepared import Side
from negmerge.models.network import Network, Outputs
from negmerge.progress import OnStep
from negmerge.spec.figures import FigureRecord, Part


def outputs_of(model: Network, dataset: Dataset) -> Outputs:
    """What the model's logits mean for the data set (``Network.outputs``). Raises DataError.

    A head that is made from words is kept: with many classes and prompts it takes a text tower minutes.
    """
    classes, words, templates = dataset.index.classes, dataset.class_words, dataset.templates
    if dataset.shelf is None or model.is_classifier:
        return model.outputs(classes, words, templates)

    def make(path: Path) -> None:
        made = model.outputs(classes, words, templates)
        save_tensors({"head": made.head, "labels": made.labels}, path)

    name = name_of("outputs", *_of_model(model), classes, words, templates)
    kept = load_tensors(dataset.shelf.take(name, make).path)
    return Outputs(tuple(classes), kept["head"], kept["labels"])


def base_figures(model: Network, side: Side, part: Part, shelf: Shelf | None, on_step: OnStep) -> Evaluation:
    """What the model, which stands at θ₀, scores on a part of a side that has samples."""
    samples = side.parts[part]
    if shelf is None or samples.kept is None:
        return _measured(model, side, part, on_step)

    def make(path: Path) -> None:
        path.write_text(json.dumps(_measured(model, side, part, on_step).record().as_json()))

    judged_by = digest({"head": side.head.cpu(), "labels": samples.labels})
    name = name_of("figures", *_of_model(model), samples.kept.digest, judged_by, side.classes)
    return Evaluation.of(FigureRecord.model_validate(json.loads(shelf.take(name, make).path.read_text())))


def _measured(model: Network, side: Side, part: Part, on_step: OnStep) -> Evaluation:
    samples = side.parts[part]
    return evaluate(model, samples.images, samples.labels, side.head, side.classes, on_step)


def _of_model(model: Network) -> list[object]:
    """All of a model and of the arithmetic that its answers depend on."""
    arithmetic = [model.device.type, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
    if model.device.type == "cuda":
        arithmetic.append(torch.cuda.get_device_name(model.device))
    return [model.digest, type(model).__name__, model.config, torch.__version__, negmerge.__version__, *arithmetic]
