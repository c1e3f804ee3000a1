"""The sweep ``auto``: a pool chosen by the model's family and size and by the forget set. No torch.

The rule is ``choose``. What stands behind its numbers, and what of it was measured, is in docs/decisions/auto-sweep.md.
The API and the command line give it the same facts, so that a job has the same points on both.
"""

from collections.abc import Mapping, Sequence
from math import ceil, sqrt
from typing import Any

from pydantic import ValidationError

from negmerge.errors import FieldError, SpecError
from negmerge.spec.job import JobSpec
from negmerge.spec.presets import PRESETS
from negmerge.spec.references import DatasetRef
from negmerge.spec.result import SweepChosen
from negmerge.spec.sweep import ChosenFor, Grid, HyperParameters, Sweep, expand
from negmerge.spec.words import plural

MAX_SAMPLES = 100_000
"""Of a forget set: twelve points over as many see 2.4 million images in all, which is the most that ``auto`` costs."""

STEPS = (25, 75)
"""Of a point, a short one and a long one, where the forget set is not seen once in as many."""
MAX_BATCH = 128
MIN_BATCH = 8

CLIP_RATE = 1e-5
"""As published, for AdamW, for towers of ViT-B/32's size and above."""
CLIP_PARAMETERS = 87_849_216
"""Of ViT-B/32's image tower."""
MAX_CLIP_RATE = 5e-4
CLIP_FACTORS = (0.5, 1.0, 2.0)
CLIP_VARIED: Mapping[bool, dict[str, Sequence[Any]]] = {
    True: {"weight_decay": [0.1], "label_smoothing": [0.0, 0.05]},
    False: {"weight_decay": [0.0, 0.1], "label_smoothing": [0.0]},
}
"""By whether classes are forgotten. Without smoothing a model that is sure of a class has nothing to learn of it, and
with much it forgets little; where single samples are forgotten, smoothing costs what should stay."""

CLASSIFIER_RATES = (0.01, 0.02, 0.05)
"""For SGD: from SalUn's for unlearning to that of the paper's pool."""
CLASSIFIER_DECAYS = (1e-5, 1e-4)
"""The ends of the paper's pool."""

PUBLISHED_FROM = 20_000_000
"""Parameters of an image tower to which the published pools are given: none was published for a smaller one."""

_NAMES = {"StanfordCars": "cars"}
"""Of published data sets, where the preset's is not the same in small letters."""
_BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked"})


def tower_parameters(sizes: Mapping[str, int]) -> int:
    """How many parameters the image tower of a CLIP has. sizes: floating-point tensor's name → number of elements."""
    tower = {name: size for name, size in sizes.items() if name.startswith("visual.")}
    return sum(size for name, size in tower.items() if name.rpartition(".")[2] not in _BUFFERS)


def resolved(spec: JobSpec, samples: int | None, parameters: int | None) -> JobSpec:
    """The spec with the points of its sweep ``auto`` chosen; any other spec as it is.

    samples: training samples that are forgotten. parameters: ``tower_parameters`` of a CLIP, not needed of a
    classifier. None: nobody knows yet. Raises SpecError where that decides, and where a spec brings points that were
    chosen for something else.
    """
    sweep = spec.sweep
    if sweep.auto is None:
        return spec
    facts = _facts(spec, samples, parameters)
    points = choose(facts, spec.base_model.is_classifier)
    if isinstance(sweep.auto, ChosenFor) and (sweep.auto, sweep.points) != (facts, points):
        told = "the points are not those that auto chooses here: leave auto away to train these, or choose anew"
        raise SpecError([FieldError("/sweep/auto", f'{told} with "sweep": "auto"')])
    return spec.model_copy(update={"sweep": sweep.model_copy(update={"auto": facts, "points": points})})


def _facts(spec: JobSpec, samples: int | None, parameters: int | None) -> ChosenFor:
    """What the rule goes by. Raises SpecError where it is not known, or where the forget set is too large."""
    if spec.base_model.is_classifier:
        parameters = None
    elif parameters is None:
        raise _unknown("how large the model is, whose weights nobody has read yet: upload it")
    preset = None if parameters is None or parameters < PUBLISHED_FROM else _published(spec.forget)
    if samples is None and preset is None:
        raise _unknown("how many samples are forgotten, which nobody has counted yet: upload the data set")
    if samples is not None and samples > MAX_SAMPLES and preset is None:
        told = f'{samples} training samples are forgotten, and "auto" is for {MAX_SAMPLES} at most'
        raise SpecError([FieldError("/sweep", f"{told}: give a grid or a preset")])
    return ChosenFor(samples=samples, selected=_selected(spec.forget), parameters=parameters, preset=preset)


def _unknown(what: str) -> SpecError:
    return SpecError([FieldError("/sweep", f'"auto" goes by {what}, or give a grid or a preset')])


def _selected(forget: DatasetRef) -> Any:
    select = forget.select
    if select is None:
        return "all"
    return next(name for name in ("classes", "ids", "fraction") if getattr(select, name) is not None)


def _published(forget: DatasetRef) -> str | None:
    """The preset that was published for this very forget set: a published data set, and all of it."""
    if forget.torchvision is None or forget.select is not None:
        return None
    name = f"clip-{_NAMES.get(forget.torchvision, forget.torchvision.lower())}"
    return name if name in PRESETS else None


def choose(facts: ChosenFor, classifier: bool) -> list[HyperParameters]:
    """The pool: the published one of the data set, or twelve points that suit the model and the forget set."""
    if facts.preset is not None:
        return _points(PRESETS[facts.preset])
    assert facts.samples is not None  # one of the two is known
    batch = batch_size(facts.samples)
    an_epoch = ceil(facts.samples / batch)
    axes: dict[str, Sequence[Any]] = {"batch_size": [batch], "epochs": [ceil(steps / an_epoch) for steps in STEPS]}
    if STEPS[0] <= an_epoch:  # once is enough for the short ones, and three times for the long
        axes["epochs"] = [1, STEPS[1] // STEPS[0]]
    if not classifier:
        rates = [_rounded(factor * clip_rate(facts.parameters or CLIP_PARAMETERS)) for factor in CLIP_FACTORS]
        varied = CLIP_VARIED[_by_class(facts)]
        return _points({**axes, **varied, "learning_rate": rates, "optimizer": ["adamw"]})
    return _points(axes | {"learning_rate": CLASSIFIER_RATES, "weight_decay": CLASSIFIER_DECAYS, "optimizer": ["sgd"]})


def _by_class(facts: ChosenFor) -> bool:
    return facts.selected in ("all", "classes")


def _points(axes: Mapping[str, Sequence[Any]]) -> list[HyperParameters]:
    grid = Grid.model_validate({name: list(values) for name, values in axes.items()})
    return [point.hyper_parameters for point in expand(Sweep(grid=grid))]


def batch_size(samples: int) -> int:
    """The largest power of two up to a quarter of the samples, from 8 to 128, and never more than there are."""
    size = MAX_BATCH
    while size > max(MIN_BATCH, samples / 4):
        size //= 2
    return min(size, samples)


def clip_rate(parameters: int) -> float:
    """AdamW's rate for an image tower of so many parameters, two digits of it.

    Its step is as long whatever the gradient, so that a rate goes with a layer's width, of which the parameters are
    the square: the published rate times the root of how much smaller the tower is, from that rate to 5e-4.
    """
    return _rounded(min(max(CLIP_RATE * sqrt(CLIP_PARAMETERS / parameters), CLIP_RATE), MAX_CLIP_RATE))


def _rounded(rate: float) -> float:
    return float(f"{rate:.1e}")


def chosen(sweep: Mapping[str, Any] | Sweep, classifier: bool) -> SweepChosen | None:
    """What was chosen, what it costs and why, for a sweep whose points ``auto`` has chosen; None for any other.

    sweep: also as a stored spec has it, which an older version may have written. What that chose by another rule is
    not explained by this one's.
    """
    try:
        sweep = Sweep.model_validate(sweep)
    except ValidationError:
        return None
    facts, points = sweep.auto, sweep.points
    if not isinstance(facts, ChosenFor) or points is None or points != choose(facts, classifier):
        return None
    images = steps = None
    if facts.samples is not None:
        images = sum(point.epochs for point in points) * facts.samples
        steps = sum(point.epochs * ceil(facts.samples / point.batch_size) for point in points)
    return SweepChosen(points=len(points), steps=steps, images=images, why=_why(facts, points, classifier))


_FORGOTTEN = {
    "all": ("training sample", ", a whole data set"),
    "classes": ("training sample", " of whole classes"),
    "ids": ("listed training sample", ""),
    "fraction": ("training sample", ", a share of them"),
}


def _why(facts: ChosenFor, points: Sequence[HyperParameters], classifier: bool) -> str:
    if facts.preset is not None:
        return f"A pool was published for this data set, all of which is forgotten: the preset {facts.preset}."
    batch, epochs = points[0].batch_size, sorted({point.epochs for point in points})
    rates = ", ".join(f"{rate:g}" for rate in sorted({point.learning_rate for point in points}))
    steps = " and ".join(str(each * ceil((facts.samples or 0) / batch)) for each in epochs)
    if classifier:
        rule = f"A classifier: SGD at {rates}, from SalUn's rate for unlearning to that of the paper's pool"
    else:
        size = facts.parameters or CLIP_PARAMETERS
        rule = (
            f"A CLIP with {_millions(size)} parameters in its image tower: AdamW at {rates}, which are half, once and "
            f"twice {_rate_for(size)}"
        )
    sample, of_what = _FORGOTTEN[facts.selected]
    return (
        f"{rule}. {plural(facts.samples or 0, sample)}{of_what}: batches of {batch}, "
        f"{' and '.join(map(str, epochs))} epochs, which are {steps} steps; "
        f"{_varied(points, 'weight_decay')}, {_varied(points, 'label_smoothing')}."
    )


def _varied(points: Sequence[HyperParameters], name: str) -> str:
    values = " and ".join(f"{value:g}" for value in sorted({getattr(point, name) for point in points}))
    return f"{name.replace('_', ' ')} {values}"


def _rate_for(parameters: int) -> str:
    rate = clip_rate(parameters)
    if rate == CLIP_RATE:
        return "the published rate"
    if rate == MAX_CLIP_RATE:
        return "the highest rate for small towers"
    return f"the published {CLIP_RATE:g} times the root of how much smaller that is than ViT-B/32's 88 million"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.3g} million"
