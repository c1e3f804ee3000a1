"""The rivals of a job: which runs there are, and one run with its figures. The rivals themselves are in ``rivals``."""

import time

from negmerge.errors import DivergedError, ModelError
from negmerge.evaluation.assessment import assess
from negmerge.evaluation.prepared import Prepared
from negmerge.models.determinism import refusing_what_cannot_repeat
from negmerge.models.network import Network
from negmerge.progress import OnStep, frozen_at, ignore
from negmerge.rivals._base import settings_of, train_rival
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Precision
from negmerge.spec.result import RivalRow
from negmerge.spec.rivals import RivalOptions, RivalRun


def check(spec: JobSpec) -> None:
    """Raise SpecError for a value that a rival of the job has no use for (``rivals._base.settings_of``)."""
    for name in spec.rivals_compared():
        settings_of(name, spec.rivals.get(name, RivalOptions()))


def run_rival(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    due: RivalRun,
    on_step: OnStep = ignore,
    precision: Precision = "float32",
) -> RivalRow:
    """Train one rival from θ₀ on the train parts and measure it; the model is back at θ₀ afterwards.

    precision: of its training, the same as the points', so that nobody wins by it. One that diverged has its cause in
    place of figures. Raises what on_step raises.
    """
    identity = {"rival": due.name, "repeat": due.repeat, "seed": due.seed}
    options = spec.rivals.get(due.name, RivalOptions())
    train = prepared.forget.parts["train"], prepared.retain.parts["train"]
    started = time.monotonic()
    try:
        with refusing_what_cannot_repeat():
            state = train_rival(due.name, options, model, prepared.forget.head, *train, due.seed, on_step, precision)
        seconds = round(time.monotonic() - started, 3)
        model.load_state(state)
        assessment = assess(model, prepared, frozen_at(on_step, 0, 1))
    except (DivergedError, ModelError) as error:
        return RivalRow(**identity, state="diverged", cause=str(error))
    finally:
        model.restore()
    return RivalRow(**identity, state="done", seconds=seconds, **assessment.record().given())
