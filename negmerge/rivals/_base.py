"""What every rival has: its task, its settings, and how it is run. The rivals are in ``rivals``, one file each.

A rival's file has ``DEFAULTS`` (Settings), ``READS``, the names of the settings that it reads, and ``unlearn(task)``,
which changes ``task.model.module`` in place. Its name in a job is the file's, as soon as ``make names`` has listed it;
nothing else has to know of it.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor

from negmerge.decoding.dataset import Decoded
from negmerge.errors import DivergedError, FieldError, SpecError
from negmerge.models.network import Network
from negmerge.progress import OnStep, ignore
from negmerge.spec.fields import listed
from negmerge.spec.precision import Precision
from negmerge.spec.rivals import RivalOptions, rival_names
from negmerge.training.fine_tune import seeded

State = dict[str, Tensor]
"""Every tensor of a module's state dict, parameters and buffers, on the CPU."""


@dataclass(frozen=True)
class Settings:
    """A rival's options, all decided. strength: the one number that it has besides (its file says what it is)."""

    learning_rate: float = 0.01
    epochs: int = 10
    batch_size: int = 256
    weight_decay: float = 5e-4
    momentum: float = 0.9
    strength: float = 0.0
    crop_flip: bool = True


@dataclass(frozen=True)
class Task:
    """What a rival works on. model: at θ₀. forget, retain: the train parts. generator: all that is random.

    precision: of its steps of training (``descend``); what it computes besides, such as a saliency, is float32.
    """

    model: Network
    head: Tensor
    forget: Decoded
    retain: Decoded
    settings: Settings
    generator: torch.Generator
    on_step: OnStep
    precision: Precision = "float32"


class Rival(Protocol):
    """A rival's module."""

    DEFAULTS: Settings
    READS: frozenset[str]
    unlearn: Callable[[Task], None]


def find(name: str) -> Rival:
    """The rival of this name. Raises SpecError for one that ``rivals`` has no file of."""
    if name not in rival_names():
        raise SpecError([FieldError("/compare", f"there is no rival {name!r}: known are {listed(rival_names())}")])
    return cast(Rival, importlib.import_module(f"negmerge.rivals.{name}"))


def settings_of(name: str, options: RivalOptions) -> Settings:
    """The rival's settings, with what a job says in their place.

    Raises SpecError: no such rival, or a value that its file has no use for.
    """
    return replace(find(name).DEFAULTS, **options.model_dump(exclude_none=True))


def train_rival(
    name: str,
    options: RivalOptions,
    model: Network,
    head: Tensor,
    forget: Decoded,
    retain: Decoded,
    seed: int,
    on_step: OnStep = ignore,
    precision: Precision = "float32",
) -> State:
    """Train a rival from θ₀ and return its state; the model is back at θ₀ afterwards, whatever happened.

    forget, retain: uint8 [N, 3, S, S] with int64 labels, the train parts. Everything random comes from the seed, and
    the process's own random state is left as it was. precision: of its steps of training. Raises what ``settings_of``
    raises, DivergedError where a weight is not finite, and what on_step raises.
    """
    rival, settings = find(name), settings_of(name, options)
    model.restore()
    try:
        with seeded(model.device, seed) as generator:
            rival.unlearn(Task(model, head, forget, retain, settings, generator, on_step, precision))
        state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.module.state_dict().items()}
    finally:
        model.module.zero_grad(set_to_none=True)
        model.module.eval()
        model.restore()
    for tensor, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            step = "learning rate" if "learning_rate" in rival.READS else "strength"
            raise DivergedError(f"{name}: {tensor} is not finite; lower the {step}")
    return state
