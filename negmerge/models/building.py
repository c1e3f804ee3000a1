"""A model is built only once its shape has been seen: a config alone must not be able to fill or to stop a machine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from negmerge.errors import ModelError
from negmerge.models.network import UNBUILDABLE, Network, check_fit

MAX_TABLES = 256
"""MiB of what a model has beside its weights: masks, tables of places. ViT-B/32 has 24 KB, and the most of timm's is
193 MiB (beit_large_patch16_512)."""
MAX_MODULES = 10_000
"""Each takes a while to build. The most of timm's is 2,541 (resnetrs420), and ViT-B/32 has 263."""
MAX_PARAMETERS = 10_000
"""The most of timm's is 1,853 (mvitv2_huge_cls). An LSTM of many layers is one module, and slow to make."""


def filled(
    tensors: Mapping[str, Tensor],
    build: Callable[[], torch.nn.Module],
    judge: Callable[[torch.nn.Module], object] = lambda shape: None,
) -> torch.nn.Module:
    """The module that ``build`` makes, with these weights.

    judge: raises ModelError if the module, which has no memory yet, is not to be had. Raises ModelError where the
    module would be out of all proportion too, TensorError as ``check_fit``.
    """
    shape = skeleton(build)
    check_fit(tensors, shape.state_dict())
    judge(shape)
    module = build()
    module.load_state_dict(tensors)
    return module


def skeleton(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The module that ``build`` makes, with shapes and no memory behind them. Raises ModelError."""
    with torch.device("meta"), _bounded():
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
def _bounded() -> Iterator[None]:
    """Raise ModelError once more is made in here than a real model has.

    Tables are counted when their shape is known, because some are filled in Python then, number by number.
    """
    tables = _at_most(MAX_TABLES * 2**20, f"{MAX_TABLES} MiB of tables and masks: look at its windows", _bytes)
    modules = _at_most(MAX_MODULES, f"{MAX_MODULES} modules: look at its depths")
    parameters = _at_most(MAX_PARAMETERS, f"{MAX_PARAMETERS} tensors: look at its layers")
    hooks = [
        register_module_buffer_registration_hook(tables),
        register_module_module_registration_hook(modules),
        register_module_parameter_registration_hook(parameters),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _at_most(most: int, what: str, size: Callable[[Any], int] = lambda part: 1) -> Callable[..., None]:
    """A hook for what modules register. Raises ModelError for the part with which it becomes too much."""
    made = 0

    def count(module: torch.nn.Module, name: str, part: Any) -> None:
        nonlocal made
        made += size(part)
        if made > most:
            raise ModelError(f"the config asks for more than {what}")

    return count


def _bytes(table: Tensor | None) -> int:
    return 0 if table is None else table.nbytes


def _check_elements(shape: torch.nn.Module) -> None:
    """Raise ModelError for a tensor without elements: such a model may run, and means nothing."""
    for name, parameter in shape.named_parameters():
        if parameter.numel() == 0:
            raise ModelError(
                f"the config leaves the tensor {name!r} without elements, {list(parameter.shape)}: look at its sizes"
            )
