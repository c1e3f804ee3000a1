"""A model is built only once its shape has been seen: a config alone must not be able to fill or to stop a machine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_module_registration_hook

from negmerge.errors import ModelError
from negmerge.models.network import UNBUILDABLE, Network, check_fit

MAX_BESIDE = 256 * 2**20
"""Bytes of what a model has beside its weights; ViT-B/32 has 24 KB, the most of timm's is 82 MB (swinv2_large)."""
MAX_MODULES = 10_000
"""Each takes a while to build. The most of timm's is 2,541 (resnetrs420), and ViT-B/32 has 263."""


def filled(tensors: Mapping[str, Tensor], build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The module that ``build`` makes, with these weights.

    Raises ModelError where the module would be out of all proportion, TensorError as ``check_fit``.
    """
    shape = skeleton(build)
    check_fit(tensors, shape.state_dict())
    _check_beside(shape)
    module = build()
    module.load_state_dict(tensors)
    return module


def skeleton(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The module that ``build`` makes, with shapes and no memory behind them. Raises ModelError."""
    with torch.device("meta"), _few_modules():
        shape = build()
    _check_elements(shape)
    return shape


def try_out(answer: Callable[[], Tensor], what: str) -> None:
    """Have a model answer once. Raises ModelError where it fails at ``what`` it is to do, or is not finite."""
    try:
        with torch.inference_mode():
            given = answer()
    except torch.AcceleratorError:  # the device's fault, not the model's
        raise
    except UNBUILDABLE as error:
        raise ModelError(f"the model cannot {what}: {error}") from error
    if given.ndim != 2 or not bool(torch.isfinite(given).all()):
        raise ModelError(f"the model does not give one vector of finite numbers when it is to {what}")


def black_image(model: Network) -> Tensor:
    """uint8 [1, 3, S, S], as the model's config has its images."""
    return torch.zeros((1, 3, model.preprocess.size, model.preprocess.size), dtype=torch.uint8)


@contextmanager
def _few_modules() -> Iterator[None]:
    """Raise ModelError once more modules are made in here than a real model has."""
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1
        if made > MAX_MODULES:
            raise ModelError(f"the config asks for more than {MAX_MODULES} modules: look at its depths")

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _check_elements(shape: torch.nn.Module) -> None:
    """Raise ModelError for a tensor without elements: such a model may run, and means nothing."""
    for name, parameter in shape.named_parameters():
        if parameter.numel() == 0:
            raise ModelError(
                f"the config leaves the tensor {name!r} without elements, {list(parameter.shape)}: look at its sizes"
            )


def _check_beside(shape: torch.nn.Module) -> None:
    """Raise ModelError where the config asks for more memory than the weights account for: masks, tables of places."""
    stored = shape.state_dict().keys()
    beside = {name: tensor.nbytes for name, tensor in shape.named_buffers() if name not in stored}
    if (total := sum(beside.values())) > MAX_BESIDE:
        largest = max(beside, key=beside.__getitem__)
        told = f"{total / 2**20:,.0f} MiB of tensors that no weights file holds, {largest!r} above all"
        raise ModelError(f"the config asks for {told}: at most {MAX_BESIDE // 2**20} MiB are built")
