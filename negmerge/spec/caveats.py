"""What a reader must know before a job's figures: the ``warnings`` of a dry run and of a result. No torch."""

from negmerge.spec.job import JobSpec
from negmerge.spec.result import Duplicates, ResultDocument
from negmerge.spec.sweep import count

ONE_POINT = (
    "The pool is a single point: there are no signs to agree on, and the merge is that one fine-tuned model. "
    "Sweep over more hyper-parameters."
)


def of_spec(spec: JobSpec) -> list[str]:
    """What can be said before any work."""
    return [ONE_POINT] if count(spec.sweep) == 1 else []


def of_result(document: ResultDocument) -> list[str]:
    """What the outcome calls for."""
    found = []
    classes = document.data.retain.classes
    known = document.methods["base"].figure("validation", "retain")
    if known is not None and known.interval[0] <= 1 / classes:
        found.append(
            f"The base model is right on {known.correct} of {known.count} kept validation samples, which is not "
            f"clearly more than guessing among {classes} classes gives: see that it is the right model, and that it "
            "means these classes (a classifier's label_names, a zero-shot model's class words), or take more samples."
        )
    if document.nothing_unlearned:
        found.append(
            "λ = 0 was chosen: no scale both forgot more and kept the retain accuracy that the job asked for, so "
            "nothing was unlearned. The weights are the base model's."
        )
    elif document.scale_at_edge:
        found.append("The chosen λ is the upper edge of the search: a larger one might forget more.")
    if document.left_out:
        gone, points = document.left_out, document.points
        found.append(f"{len(gone)} of {len(points)} points diverged and were left out: {', '.join(map(str, gone))}.")
    if document.duplicates.count:
        found.append(_duplicates(document.duplicates))
    repeats = len(document.repeats)
    if 1 in (len([p for p in document.points_of(repeat) if p.state == "folded"]) for repeat in range(repeats)):
        found.append(ONE_POINT)
    for number, repeat in enumerate(document.repeats, start=1):
        for method, figures in repeat.items():
            if isinstance(figures, str):
                where = f" in repeat {number} of {repeats}" if repeats > 1 else ""
                found.append(f"{method} has no figures{where}: {figures}")
    return found


def _duplicates(duplicates: Duplicates) -> str:
    count, first = duplicates.count, duplicates.examples[0]
    kept = "1 kept image is" if count == 1 else f"{count} kept images are"
    return (
        f"{kept} pixel for pixel also among the forgotten ones, first {first.retain} as {first.forget}: such a "
        "picture is counted on both sides. Take it out of one, or name one data set on both sides."
    )
