"""What people are told about a job's figures, in words: the API, the page, the reports and the terminal say it alike.

No torch. Everything here is plain text; names from outside are shown by ``naming.visible``.
"""

from negmerge.naming import visible
from negmerge.spec.figures import FigureRecord, Part, SplitCounts
from negmerge.spec.references import Select
from negmerge.spec.result import ResultDocument

MAX_NAMED = 5
"""Of a long list of classes so many are named in a sentence."""

RULES = {
    "lowest_forget": "the lowest forget accuracy",
    "match_unseen": "the forget accuracy nearest to that on unseen samples",
    "match_retrained": "the forget accuracy nearest to the retrained model's",
    "target": "the forget accuracy nearest to the target",
    "fixed": "as the spec fixes it",
}
"""What each rule of the scale search looks for."""


_HEADINGS = {
    "unlearned": "Unlearned",
    "below_target": "Below target",
    "nothing_unlearned": "Nothing unlearned",
}


def percent(accuracy: float | None) -> str:
    """An accuracy in [0, 1] with one decimal, or a dash where there is none."""
    return "–" if accuracy is None else f"{100 * accuracy:.1f} %"


def with_interval(figure: FigureRecord | None) -> str:
    """An accuracy with its 95 % interval, in percent: 5.6 % (1.0–25.8)."""
    return "–" if figure is None else f"{percent(figure.accuracy)} ({_ends(figure)})"


def forgotten(select: Select | None) -> str:
    """What is to be forgotten, by the spec's ``forget.select``: the class “seven”; 12 listed samples."""
    if select is None:
        return "a whole data set"
    if select.classes is not None:
        named = ", ".join(f"“{visible(name)}”" for name in select.classes[:MAX_NAMED])
        more = len(select.classes) - MAX_NAMED
        return f"the class{'es' if len(select.classes) > 1 else ''} {named}" + (f" and {more} more" if more > 0 else "")
    if select.ids is not None:
        return "1 listed sample" if len(select.ids) == 1 else f"{len(select.ids)} listed samples"
    return f"a random {100 * (select.fraction or 0):g} % of the training samples"


def measured_on(part: Part) -> str:
    """What the forget accuracy was measured on, for the middle of a sentence."""
    return "test images of what was to be forgotten" if part == "test" else "the forgotten training samples themselves"


def searched_on(splits: SplitCounts) -> str:
    """What λ was chosen on."""
    if splits.forget.validation:
        return "validation data"
    return "the forgotten samples themselves and validation data of what stays"


def heading(document: ResultDocument) -> str:
    """What became of what was asked, and what that was: Unlearned: the class “seven”."""
    return f"{_HEADINGS[document.outcome]}: {forgotten(document.spec.forget.select)}"


def sentence(document: ResultDocument) -> str:
    """The result in one sentence: what is still recognised of what was to go, what is still right of what stays."""
    splits = document.splits
    before, after = (document.methods[name].reported(splits) for name in ("base", document.method))
    clauses = []
    if before.forget is not None and after.forget is not None:
        counted = f"{after.forget.correct} of {after.forget.count}"
        still = _still(document.spec.forget.select, splits.forget_part, counted)
        clauses.append(f"{still} ({before.forget.correct} before)")
    if before.retain is not None and after.retain is not None:
        kept, of_before = percent(after.retain.accuracy), percent(before.retain.accuracy)
        clauses.append(f"{kept} of the rest is still right ({of_before} before)")
    return f"The model {'; '.join(clauses)}." if clauses else "There were no samples to measure the model on."


def _still(select: Select | None, part: Part, counted: str) -> str:
    if part == "train":
        return f"is right on {counted} forgotten samples"
    if select is None or select.classes is None:
        return f"is right on {counted} test images of what was to be forgotten"
    names = [f"“{visible(name)}”" for name in select.classes[:MAX_NAMED]]
    more = len(select.classes) - len(names)
    names += [f"{more} more classes"] * (more > 0)
    alternatives = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"recognises {alternatives} in {counted} test images"


def _ends(figure: FigureRecord) -> str:
    low, high = figure.interval
    return f"{100 * low:.1f}–{100 * high:.1f}"
