"""The sweep: its spec, its expansion into points, and each point's seed. No torch. ``presets`` has sweeps by name.

Grids expand with keys sorted and the last varying fastest; a point's seed is the SHA-256 of the sweep's seed
and the point's canonical hyper-parameters, so a point keeps its seed wherever it stands in a sweep.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, prod
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from negmerge.errors import FieldError, SpecError
from negmerge.spec.fields import Seed, Spec, field_error, kind, listed
from negmerge.spec.presets import PRESETS, is_for_classifier

MAX_POINTS = 1023
"""Most points of one sweep: with |τ| < 8 no int64 sum of 1023 task vectors in steps of 2⁻⁵⁰ overflows."""

AUTO = "auto"
"""The sweep of one word."""

Item = TypeVar("Item")
Value = TypeVar("Value")
Values = Annotated[list[Value], Field(min_length=1, max_length=MAX_POINTS)]
"""The values that a hyper-parameter takes, or is drawn from."""

MAX_FACTOR = 1e30
"""Of what multiplies weights: where one step with more has no float32 result, torch refuses the step itself."""

LearningRate = Annotated[float, Field(gt=0, le=MAX_FACTOR)]
WeightDecay = Annotated[float, Field(ge=0, le=MAX_FACTOR)]
Epochs = Annotated[int, Field(ge=1, le=10_000)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
WarmupSteps = Annotated[int, Field(ge=0, le=10**9)]
LabelSmoothing = Annotated[float, Field(ge=0, lt=1)]
Optimizer = Literal["adamw", "sgd"]


class RandAugment(Spec):
    """RandAugment as timm's ``rand-m{magnitude}-n{operations}-mstd0.5`` means it."""

    magnitude: Annotated[int, Field(ge=0, le=10)]
    operations: Annotated[int, Field(ge=1, le=16)]


class HyperParameters(Spec):
    """One point's hyper-parameters. Defaults are the published CLIP ones; ``completed`` has a classifier's."""

    learning_rate: LearningRate = 1e-5
    weight_decay: WeightDecay = 0.1
    epochs: Epochs = 1
    batch_size: BatchSize = 128
    warmup_steps: WarmupSteps | None = Field(
        None, description="Steps of linear warm-up; by default min(500, 10 % of all steps)."
    )
    label_smoothing: LabelSmoothing = 0.0
    optimizer: Optimizer = Field("adamw", description="`adamw`, or `sgd` with momentum 0.9.")
    crop_flip: bool = Field(False, description="Random crops from a padded image (an eighth a side), random flips.")
    randaugment: RandAugment | None = None
    seed: Seed | None = Field(None, description="By default derived from the sweep's seed and this point.")


CLASSIFIER_DEFAULTS: dict[str, Any] = {
    "learning_rate": 0.05,
    "weight_decay": 5e-5,
    "epochs": 10,
    "batch_size": 256,
    "optimizer": "sgd",
}
"""A classifier's, where they are others than a CLIP's: rate and middle weight decay of the paper's pool, epochs and
batch of SalUn's public code. There is no augmentation, since a flip may change what an image is."""


_OF_OPTIMIZER = ("learning_rate", "weight_decay")
"""Hyper-parameters of which a default is one optimizer's, and says nothing for another."""


def completed(given: Mapping[str, Any], classifier: bool) -> HyperParameters:
    """A point with defaults for what was not given: a CLIP's or a classifier's."""
    return HyperParameters.model_validate((CLASSIFIER_DEFAULTS if classifier else {}) | dict(given))


def _missing(given: Collection[str], optimizers: Collection[str | None], classifier: bool) -> str:
    """The first hyper-parameter that is not given and has no default with one of the optimizers; "" if none."""
    own = "sgd" if classifier else "adamw"
    if all(optimizer in (None, own) for optimizer in optimizers):
        return ""
    return next((name for name in _OF_OPTIMIZER if name not in given), "")


def _no_default(name: str, classifier: bool) -> str:
    whose, own, other = ("a classifier", "SGD", "AdamW") if classifier else ("a CLIP", "AdamW", "SGD")
    return f"{whose} has defaults for {own} alone, none that is known for {other}: give {name}"


class Grid(Spec):
    """Values to combine, each with each. Keys are sorted and the last varies fastest."""

    learning_rate: Values[LearningRate] | None = None
    weight_decay: Values[WeightDecay] | None = None
    epochs: Values[Epochs] | None = None
    batch_size: Values[BatchSize] | None = None
    warmup_steps: Values[WarmupSteps | None] | None = None
    label_smoothing: Values[LabelSmoothing] | None = None
    optimizer: Values[Optimizer] | None = None
    crop_flip: Values[bool] | None = None
    randaugment: Values[RandAugment | None] | None = None
    seed: Values[Seed] | None = None

    @model_validator(mode="after")
    def _expandable(self) -> Self:
        if not self.axes():
            raise ValueError("the grid is empty: give at least one hyper-parameter with its values")
        if (size := self.size()) > MAX_POINTS:
            raise ValueError(f"the grid has {size} points; at most {MAX_POINTS} can be merged exactly")
        return self

    def size(self) -> int:
        """How many points the grid has, without making them."""
        return prod(len(values) for values in self.axes().values())

    def axes(self) -> dict[str, list[Any]]:
        """The given hyper-parameters with their values, by sorted name."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set) if getattr(self, name)}


class Interval(Spec):
    """Real values between ``low`` and ``high``, uniform, or uniform in the logarithm."""

    low: Annotated[float, Field(ge=0, le=MAX_FACTOR)]
    high: Annotated[float, Field(ge=0, le=MAX_FACTOR)]
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise field_error("high", "must be above low")
        if self.log and self.low == 0:
            raise field_error("low", "a logarithmic interval cannot begin at 0")
        return self


Drawn = Annotated[Annotated[Values[Value], Tag("other")] | Annotated[Interval, Tag("object")], Discriminator(kind)]
"""What a hyper-parameter is drawn from: a list of values, or an interval."""


class RandomSweep(Spec):
    """``count`` points drawn at random: each hyper-parameter from a list of values or an interval."""

    count: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    learning_rate: Drawn[LearningRate] | None = None
    weight_decay: Drawn[WeightDecay] | None = None
    label_smoothing: Drawn[LabelSmoothing] | None = None
    epochs: Values[Epochs] | None = None
    batch_size: Values[BatchSize] | None = None
    warmup_steps: Values[WarmupSteps | None] | None = None
    optimizer: Values[Optimizer] | None = None
    crop_flip: Values[bool] | None = None
    randaugment: Values[RandAugment | None] | None = None

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if not self.axes():
            raise ValueError("nothing to draw: give at least one hyper-parameter")
        for name, values in self.axes().items():
            if isinstance(values, Interval):  # both ends must be values that a point may take
                HyperParameters.model_validate({name: values.low})
                HyperParameters.model_validate({name: values.high})
        return self

    def axes(self) -> dict[str, Any]:
        """The given hyper-parameters with their lists or intervals, by sorted name."""
        names = sorted(self.model_fields_set - {"count"})
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class ChosenFor(Spec):
    """What the points of a sweep ``auto`` were chosen for (``negmerge.spec.auto``).

    A spec has it when the choice is made: it stands beside the points, so that the same spec trains the same again.
    """

    samples: Annotated[int, Field(ge=1)] | None = Field(None, description="Training samples that are forgotten.")
    selected: Literal["all", "classes", "ids", "fraction"] = Field(description="How they are selected.")
    parameters: Annotated[int, Field(ge=1)] | None = Field(None, description="Of the image tower of a CLIP.")
    preset: str | None = Field(None, description="The published pool of this very data set.")


Auto = Annotated[Annotated[Literal[True], Tag("other")] | Annotated[ChosenFor, Tag("object")], Discriminator(kind)]


def spelled_out(sweep: Any) -> Any:
    """A sweep as an object, where it was given as the one word ``"auto"``."""
    if sweep == AUTO:
        return {"auto": True}
    if isinstance(sweep, str):
        raise ValueError(f'should be an object, or the word "{AUTO}"')
    return sweep


class Sweep(Spec):
    """The points to train: exactly one of ``grid``, ``points``, ``random``, ``preset`` and ``auto``.

    ``auto`` is open until its points are chosen; then both stand there, and it says what they were chosen for.
    """

    grid: Grid | None = None
    points: Annotated[list[HyperParameters], Field(fail_fast=True)] | None = Field(
        None, min_length=1, max_length=MAX_POINTS
    )
    random: RandomSweep | None = None
    preset: str | None = Field(None, description=f"A grid by name: {listed(PRESETS)}.")
    auto: Auto | None = Field(None, description="Points chosen by the model and the forget set.")
    seed: Seed = 0
    on_diverged: Literal["leave_out", "fail"] = "leave_out"

    @field_validator("preset")
    @classmethod
    def _published(cls, name: str | None) -> str | None:
        if name is not None and name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; known are {listed(PRESETS)}")
        return name

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        kinds = ("grid", "points", "random", "preset", "auto")
        given = [name for name in kinds if getattr(self, name) is not None]
        if isinstance(self.auto, ChosenFor):
            if given != ["points", "auto"]:
                raise field_error("auto", "says what points were chosen for: give these points too, or write true")
        elif len(given) != 1:
            raise ValueError(f"give exactly one of {listed(kinds)}, not {listed(given)}")
        return self

    @property
    def is_open(self) -> bool:
        """Whether its points are still to be chosen."""
        return self.auto is True

    def of_family(self, classifier: bool) -> Self:
        """The sweep with each of ``points`` completed by the family's defaults.

        Raises a field's error for a preset of the other family, and for what has no default with the optimizer named.
        """
        if self.preset is not None and is_for_classifier(self.preset) != classifier:
            made, base = ("classifiers", "a CLIP") if not classifier else ("CLIPs", "a classifier")
            remedy = 'name the points, or write "sweep": "auto"'
            raise field_error("preset", f"{self.preset} is a pool for {made}, and the base model is {base}: {remedy}")
        for kind_of, axes in (("grid", self.grid), ("random", self.random)):
            values: dict[str, Any] = {} if axes is None else axes.axes()
            if name := _missing(values, values.get("optimizer", [None]), classifier):
                raise field_error(kind_of, _no_default(name, classifier), name)
        for number, point in enumerate(self.points or ()):
            said = point.model_fields_set
            if name := _missing(said, [point.optimizer if "optimizer" in said else None], classifier):
                raise field_error("points", _no_default(name, classifier), str(number), name)
        if self.points is None or not classifier:
            return self
        given = [{name: getattr(point, name) for name in point.model_fields_set} for point in self.points]
        return self.model_copy(update={"points": [completed(each, classifier=True) for each in given]})


_LATER = {"optimizer": "adamw", "crop_flip": False}
"""Hyper-parameters that came later count only where they are not the default: older points keep their seeds."""


@dataclass(frozen=True)
class Point:
    """One hyper-parameter combination: where it stands, what it is, its 63-bit seed, and in which repeat it is."""

    index: int
    hyper_parameters: HyperParameters
    seed: int
    repeat: int = 0


def count(sweep: Sweep) -> int:
    """How many points the sweep has, without making them. None of those that are still to be chosen."""
    if sweep.is_open:
        return 0
    if sweep.points is not None:
        return len(sweep.points)
    if sweep.random is not None:
        return sweep.random.count
    return _grid(sweep).size()


def expand(sweep: Sweep, repeats: int = 1, classifier: bool = False) -> list[Point]:
    """All points of the sweep, in order, and all of them again in each repeat, with other seeds.

    classifier: whose defaults complete what a grid or a draw leaves out. A preset is taken as it is.
    Raises SpecError while they are still to be chosen.
    """
    if sweep.is_open:
        raise SpecError([FieldError("/sweep/auto", "the points are not chosen yet")])
    if sweep.points is not None:
        combinations = list(sweep.points)
    elif sweep.random is not None:
        combinations = [completed(given, classifier) for given in _drawn(sweep.random, sweep.seed)]
    else:
        axes = _grid(sweep).axes()
        own = classifier and sweep.preset is None
        combinations = [
            completed(dict(zip(axes, values, strict=True)), own) for values in itertools.product(*axes.values())
        ]
    size = len(combinations)
    return [
        Point(repeat * size + i, h, repeat_seed(point_seed(sweep.seed, h), repeat), repeat)
        for repeat in range(repeats)
        for i, h in enumerate(combinations)
    ]


def of_repeat(points: Sequence[Item], repeat: int, repeats: int) -> Sequence[Item]:
    """Those of one repeat out of ``expand``'s points, or of anything that has one for each of them, in their order."""
    size = len(points) // repeats
    return points[repeat * size : (repeat + 1) * size]


def repeat_seed(seed: int, repeat: int) -> int:
    """The seed itself in repeat 0, else 63 bits of SHA-256 over both."""
    return seed if repeat == 0 else _seed_of(f"repeat {repeat}:{seed}")


def point_seed(sweep_seed: int, hyper_parameters: HyperParameters) -> int:
    """The point's own seed if it has one, else 63 bits of SHA-256 over the sweep's seed and the point."""
    if hyper_parameters.seed is not None:
        return hyper_parameters.seed
    given = hyper_parameters.model_dump()
    same = {name for name, default in _LATER.items() if given[name] == default}
    canonical = json.dumps({k: v for k, v in given.items() if k not in same}, sort_keys=True, separators=(",", ":"))
    return _seed_of(f"{sweep_seed}:{canonical}")


def _seed_of(text: str) -> int:
    """63 bits of the text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _grid(sweep: Sweep) -> Grid:
    if sweep.grid is not None:
        return sweep.grid
    assert sweep.preset is not None  # the spec holds exactly one of them
    return Grid.model_validate(PRESETS[sweep.preset])


def _drawn(sweep: RandomSweep, seed: int) -> list[dict[str, Any]]:
    generator = random.Random(seed)
    axes = sweep.axes()
    return [{name: _draw(generator, values) for name, values in axes.items()} for _ in range(sweep.count)]


def _draw(generator: random.Random, values: Any) -> Any:
    if not isinstance(values, Interval):
        return generator.choice(values)
    if not values.log:
        return generator.uniform(values.low, values.high)
    drawn = exp(generator.uniform(log(values.low), log(values.high)))
    return min(max(drawn, values.low), values.high)  # exp(log(x)) may miss x by a rounding
