"""A model as one ONNX file: a classifier, an image tower, or a tower with the zero-shot head of some classes in it.

The file is tried before it gets its name: onnxruntime and torch look at the same photographs, alone and together.

Shapes: B images, C classes, D features, S pixels a side.
"""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn import functional

from negmerge.checkpoints.files import atomic_path, file_digest
from negmerge.errors import PublishError
from negmerge.formats.timm_config import label_names
from negmerge.models.network import Network
from negmerge.publishing.folders import Publication

TOLERANCE = 1e-4
"""How far onnxruntime's outputs may be from torch's, as a share of the largest: both are float32, in another order."""

MAX_BYTES = 2**31 - 2**24
"""What the weights of one file may take: a protobuf message ends at 2 GiB."""


@dataclass(frozen=True)
class Head:
    """The classes of a zero-shot head: a name for each, its words, and the sentences around them."""

    classes: Sequence[str]
    words: Sequence[str]
    templates: Sequence[str]


@dataclass(frozen=True)
class Exported:
    """What the file gives: ``logits`` or ``features``, how many an image, and how far from torch's (a share).

    digest: of the file, ``sha256:…``.
    """

    output: str
    width: int
    difference: float
    digest: str


class _Tower(nn.Module):
    """float32 [B, 3, S, S] → float32 [B, D]: features as the image tower leaves them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.visual = model.visual

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.visual(images)
        return features.to(torch.float32)


class _ZeroShot(_Tower):
    """float32 [B, 3, S, S] → float32 [B, C]: normalised features · head, as ``ZeroShotModel.logits``."""

    def __init__(self, model: Any, head: Tensor) -> None:
        super().__init__(model)
        self.register_buffer("head", head)

    def forward(self, images: Tensor) -> Tensor:
        head: Tensor = self.get_buffer("head")
        return functional.normalize(super().forward(images), dim=-1) @ head.T


def export(model: Publication, file: Path, head: Head | None = None, opset: int | None = None) -> Exported:
    """Write a model to ``file``: one input ``images``, float32 [B, 3, S, S] normalised, of any number of images.

    head: makes a zero-shot model a classifier of these classes; without it an open_clip model gives its image features.
    The metadata say how images are prepared, what the outputs mean and whose weights these are. Raises PublishError
    where the model cannot be written so, or where onnxruntime answers otherwise than torch; DataError as ``outputs``.
    """
    network = model.network
    if model.is_linearised:
        raise PublishError(
            "the job's figures are of the linearised model, which these weights alone are not: no ONNX of it"
        )
    module, metadata = _module(network, head)
    metadata |= _preprocessing(network) | {"weights": model.digest}
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if weights > MAX_BYTES:
        raise PublishError(f"the model has {weights} bytes of weights, more than the {MAX_BYTES} of one ONNX file")
    images = photographs(network)
    with torch.no_grad(), atomic_path(file) as temporary:
        _write(module, images[:2], temporary, metadata, opset)
        difference = _difference(temporary, module, images)
        if not difference <= TOLERANCE:
            raise PublishError(
                f"onnxruntime's {metadata['output']} are {difference:.1e} of the largest from torch's, more than "
                f"{TOLERANCE:.0e}: the file would be another model, so none is written"
            )
        width = int(module(images[:1]).shape[1])
    return Exported(metadata["output"], width, difference, file_digest(file))


def photographs(network: Network) -> Tensor:
    """Two photographs (scikit-learn's) and the left half of each as the model takes them: float32 [4, 3, S, S]."""
    whole = [Image.fromarray(image) for image in load_sample_images().images]
    halves = [image.crop((0, 0, image.width // 2, image.height)) for image in whole]
    prepared = []
    for image in (*whole, *halves):
        for step in network.preprocess.steps:
            image = step(image)
        prepared.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(*image.size, 3))
    return network.pixels(torch.stack(prepared).permute(0, 3, 1, 2)).contiguous()


def _module(network: Network, head: Head | None) -> tuple[nn.Module, dict[str, str]]:
    """What is written, in eval mode, and what its outputs mean."""
    if network.is_classifier:
        if head is not None:
            raise PublishError("the model is a classifier with a head of its own: leave the class names out")
        classes = label_names(network.config)
        named = {"classes": json.dumps(list(classes))} if classes else {}
        return network.module, {"output": "logits", **named}
    if head is None:
        return _Tower(network.module).eval(), {"output": "features"}
    outputs = network.outputs(head.classes, head.words, head.templates)
    told = {"classes": list(outputs.classes), "words": list(head.words), "templates": list(head.templates)}
    metadata = {"output": "logits", **{name: json.dumps(value, ensure_ascii=False) for name, value in told.items()}}
    return _ZeroShot(network.module, outputs.head).eval(), metadata


def _preprocessing(network: Network) -> dict[str, str]:
    """How an image becomes the input: RGB, resized to S × S, divided by 255, minus mean, divided by std."""
    preprocess = network.preprocess
    told: dict[str, Any] = {"size": preprocess.size, "mean": preprocess.mean, "std": preprocess.std}
    told |= dict(preprocess.told)
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}


def _write(module: nn.Module, images: Tensor, file: Path, metadata: dict[str, str], opset: int | None) -> None:
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                (images,),
                dynamo=True,
                input_names=["images"],
                output_names=[metadata["output"]],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
                verbose=False,
            )
            assert program is not None  # it is None only with dynamo=False
            program.model.metadata_props.update(metadata)
            program.save(file, external_data=False)
        except torch.onnx.OnnxExporterError as error:  # what the exporter's passes meet comes as this
            reason = " ".join(str(error).split())[:300]
            raise PublishError(f"torch cannot write this model as ONNX: {reason}") from error


def _difference(file: Path, module: nn.Module, images: Tensor) -> float:
    """The largest difference of any output, as a share of the largest output: of all images together, and of one."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [expected, *found] = [module(images), *(_answers(session, batch) for batch in (images, images[:1]))]
    largest = float(expected.abs().max())
    apart = max(float((expected[: len(one)] - one).abs().max()) for one in found)
    return apart / largest if largest else apart


def _answers(session: Any, images: Tensor) -> Tensor:
    [outputs] = session.run(None, {"images": images.numpy()})
    return torch.from_numpy(outputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter tells of its passes, on both streams and by its loggers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
