"""``python -m experiments.choosing NAME``: the rivals' values for a small experiment, chosen as λ is chosen.

Every rival is trained with each of its values, with the seed of a repeat that the experiment itself does not have.
Chosen is the value whose forget accuracy is nearest to the goal of the spec's rule, among those that keep enough
retain accuracy on validation data; where none does, the one that keeps most. No test figure is measured. The table
goes to ``docs/results``; the values are the spec's to take.
"""

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import torch

from experiments.catalog import EXPERIMENTS
from experiments.data import data_root
from experiments.results import PAGE
from negmerge.evaluation.prepared import Prepared, measure
from negmerge.models.network import Network
from negmerge.pipeline import local
from negmerge.pipeline import prepare as preparing
from negmerge.progress import ignore
from negmerge.rivals._base import train_rival
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.rivals import RivalOptions
from negmerge.spec.sweep import repeat_seed

PROCESSES = 2
VALUES: dict[str, tuple[str, Sequence[float]]] = {
    "fine_tune": ("learning_rate", (0.003, 0.01, 0.03, 0.1)),
    "random_label": ("learning_rate", (0.003, 0.01, 0.03, 0.1)),
    "salun": ("learning_rate", (0.004, 0.013, 0.04, 0.13)),
    "l1_sparse": ("strength", (1.5e-4, 5e-4, 1.5e-3, 5e-3)),
    "gradient_ascent": ("learning_rate", (3e-4, 1e-3, 3e-3, 0.01)),
    "boundary_shrink": ("learning_rate", (3e-4, 1e-3, 3e-3, 0.01)),
    "influence": ("strength", (1, 3, 10, 30)),
}
"""The option that is varied, and four values, each about three times the last. The default is among them: the
largest where a first trial had shown it to break the model, the smallest where it had changed nothing, else the
second."""


@dataclass(frozen=True)
class Trial:
    """A rival with one value of its option.

    forget, retain: its accuracies in [0, 1], where the search for λ measures them. base: the base model's retain
    accuracy there. goal: the forget accuracy that the spec's rule would like best.
    """

    rival: str
    value: float
    forget: float
    retain: float
    base: float
    goal: float


@cache
def _opened(experiment: str) -> tuple[JobSpec, Network, Prepared]:
    """What all trials of one process work on."""
    torch.set_num_threads(1)
    data = data_root()
    assert data is not None  # main has looked
    spec, material = parse(EXPERIMENTS[experiment].spec()), EXPERIMENTS[experiment].make(data, ignore)
    model = local.open_model(spec, "cpu")
    return spec, model, preparing.prepare(spec, model, *material.datasets)


def attempt(experiment: str, name: str, value: float) -> Trial:
    """Train the rival with this value, and measure it."""
    spec, model, prepared = _opened(experiment)
    options = spec.rivals.get(name, RivalOptions()).model_copy(update={VALUES[name][0]: value})
    train, part = (prepared.forget.parts["train"], prepared.retain.parts["train"]), prepared.forget_search_part
    seed = repeat_seed(spec.sweep.seed, spec.repeats)
    model.load_state(train_rival(name, options, model, prepared.forget.head, *train, seed))
    forget = measure(model, {"forget": prepared.forget}, [part])[part]["forget"].total.accuracy
    retain = measure(model, {"retain": prepared.retain}, ["validation"])["validation"]["retain"].total.accuracy
    model.restore()
    goal = prepared.reference.accuracy if prepared.reference else 0.0
    return Trial(name, value, forget, retain, prepared.base["validation"]["retain"].total.accuracy, goal)


def choose(trials: Sequence[Trial], keep: float) -> Trial:
    """The best of one rival's trials. keep: the share of the base model's retain accuracy that must remain.

    Of two as near to the goal the first is taken.
    """
    enough = [trial for trial in trials if trial.retain >= keep * trial.base]
    if not enough:
        return max(trials, key=lambda trial: trial.retain)
    return min(enough, key=lambda trial: abs(trial.forget - trial.goal))


def main(experiment: str) -> None:
    """Try all values on two processes, and write down what each gave."""
    data = data_root()
    if data is None:
        raise SystemExit("the experiments need CIFAR-10 as cifar10-jpeg.zip: say in NEGMERGE_DATA where it is")
    EXPERIMENTS[experiment].make(data, ignore)  # before the processes, which would both make it
    keep = parse(EXPERIMENTS[experiment].spec()).scale_search.keep
    todo = [(experiment, name, value) for name, (_, values) in VALUES.items() for value in values]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        trials = list(pool.map(attempt, *zip(*todo, strict=True)))
    rows = ["| rival | option | value | forget % | retain % | |", "| --- | --- | ---: | ---: | ---: | --- |"]
    for _, group in groupby(trials, key=lambda trial: trial.rival):
        tried = list(group)
        chosen = choose(tried, keep)
        rows += [_row(trial, "chosen" if trial is chosen else "") for trial in tried]
    goal, floor = 100 * trials[0].goal, 100 * keep * trials[0].base
    aim = f"Goal: {goal:.1f} % forget accuracy, with at least {floor:.2f} % retain accuracy."
    head = f"# {experiment}: the rivals' values\n\n{aim}\n\n"
    (PAGE.parent / "results" / f"{experiment}-values.md").write_text(head + "\n".join(rows) + "\n")


def _row(trial: Trial, mark: str) -> str:
    name = f"{trial.rival} | {VALUES[trial.rival][0]} | {trial.value:g}"
    return f"| {name} | {100 * trial.forget:.1f} | {100 * trial.retain:.1f} | {mark} |"


if __name__ == "__main__":
    main(sys.argv[1])
