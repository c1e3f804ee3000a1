"""What people are told about a job's figures, in words: the API, the page, the reports and the terminal say it alike.

No torch. Everything here is plain text; names from outside are shown by ``naming.visible``.
"""

from decimal import Decimal
from fractions import Fraction

from negmerge.naming import quoted, visible
from negmerge.spec.figures import FigureRecord, Part, SplitCounts
from negmerge.spec.references import Select
from negmerge.spec.result import Gate, Named, ResultDocument

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


GATES = {"forget_max": ("forget accuracy", "at most"), "retain_min": ("retain accuracy", "at least")}
"""What each gate of ``require`` is about, and on which side its limit bounds that."""

_HEADINGS = {
    "unlearned": "Unlearned",
    "below_target": "Below target",
    "nothing_unlearned": "Nothing unlearned",
}


def percent(accuracy: float | None) -> str:
    """An accuracy in [0, 1] with one decimal, or a dash where there is none."""
    return "–" if accuracy is None else f"{100 * accuracy:.1f} %"


def exactly(share: float) -> str:
    """A share that somebody wrote, in percent with all its decimals and no more: 5 %, 96.35 %, 0.001 %."""
    return f"{(Decimal(str(share)) * 100).normalize():f} %"


def beside(figure: FigureRecord, limit: float) -> str:
    """An accuracy with its interval, in as many decimals as tell it from a limit: 96.27 % (92.1–98.3), not 96.3 %."""
    share, bound = Fraction(figure.correct, figure.count), Fraction(str(limit))
    for decimals in range(1, 16):
        shown = f"{100 * figure.accuracy:.{decimals}f}"
        if (Fraction(shown) / 100 > bound) == (share > bound) and (Fraction(shown) / 100 < bound) == (share < bound):
            break
    return f"{shown} % ({_ends(figure)})"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number and its word: 1 job, 2 jobs."""
    return f"{count:,} {one if count == 1 else many or one + 's'}".replace(",", "\u202f")


def gate_asked(gate: str, limit: float) -> str:
    """What a gate asks for, as it was written: forget accuracy at most 5 %."""
    return f"{' '.join(GATES[gate])} {exactly(limit)}"


def gate_measured(gate: Gate) -> str:
    """The figure that a gate was judged on."""
    return "–" if gate.figure is None else beside(gate.figure, gate.limit)


def gate_verdict(gate: Gate) -> str:
    """Whether a gate is met, and how sure that is."""
    sure = ": no samples to judge it by" if gate.figure is None else "" if gate.sure else ", not sure: too few samples"
    return f"{'met' if gate.passed else 'missed'}{sure}"


def with_interval(figure: FigureRecord | None) -> str:
    """An accuracy with its 95 % interval, in percent: 5.6 % (1.0–25.8)."""
    return "–" if figure is None else f"{percent(figure.accuracy)} ({_ends(figure)})"


def forgotten(select: Select | None, found: int | None = None) -> str:
    """What is to be forgotten, by the spec's ``forget.select``: the class “seven”; 12 listed samples.

    found: how many samples a list turned out to name, where that is known.
    """
    if select is None:
        return "a whole data set"
    if select.classes is not None:
        named = ", ".join(map(quoted, select.classes[:MAX_NAMED]))
        more = len(select.classes) - MAX_NAMED
        return f"the class{'es' if len(select.classes) > 1 else ''} {named}" + (f" and {more} more" if more > 0 else "")
    if select.ids is not None:
        return plural(found or len(select.ids), "listed sample")
    if select.fraction is None:
        return "samples that are selected in a way of a newer version"
    return f"a random {100 * select.fraction:g} % of the training samples"


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
    known = _HEADINGS.get(document.outcome) or visible(document.outcome.replace("_", " ").capitalize())
    return f"{known}: {asked_to_forget(document)}"


def asked_to_forget(document: ResultDocument) -> str:
    """What was to be forgotten, counted as it was found."""
    return forgotten(document.spec.forget.select, document.splits.forget.train)


def asked_to_keep(document: ResultDocument) -> str:
    """What was to stay: all else of the same data set, a part of it, or (of) a data set of its own."""
    select = document.spec.retain.select
    if _all_else(document):
        return "all else of the same data set"
    whole = "the same data set" if document.spec.one_data_set else called(document.asked.retain)
    return whole if select is None else f"{forgotten(select)}, of {whole}"


def called(named: Named) -> str:
    """A data set, a model or a key by its owner's name, with its id."""
    return named.name if named.id in (None, named.name) else f"{named.name} ({named.id})"


def chosen(document: ResultDocument) -> str:
    """How λ was chosen, and the single models that are shown, where there are any; a sentence without its end."""
    on, ranked = searched_on(document.splits), "which single model is the best or the worst"
    if document.rule == "fixed":
        fixed = f"λ is {document.scale:g}, as the spec fixes it"
        return f"{fixed}; {ranked} was ranked on {on}" if document.singles() else fixed
    what = f"λ, and {ranked}, were" if document.singles() else "λ was"
    return f"{what} chosen on {on}, by {RULES[document.rule]}"


def sentence(document: ResultDocument) -> str:
    """The result in one sentence: what is still recognised of what was to go, what is still right of what stays."""
    splits = document.splits
    before, after = (document.methods[name].reported(splits) for name in ("base", document.method))
    clauses = []
    if before.forget is not None and after.forget is not None:
        still = _still(document.spec.forget.select, splits.forget_part, after.forget)
        clauses.append(f"{still} ({before.forget.correct} before)")
    if before.retain is not None and after.retain is not None:
        kept, of_before = percent(after.retain.accuracy), percent(before.retain.accuracy)
        stays = "the rest" if _all_else(document) else "what was to stay"
        clauses.append(f"{kept} of {stays} is still right ({of_before} before)")
    return f"The model {'; '.join(clauses)}." if clauses else "There were no samples to measure the model on."


def _all_else(document: ResultDocument) -> bool:
    return document.spec.one_data_set and document.spec.retain.select is None


def _still(select: Select | None, part: Part, after: FigureRecord) -> str:
    right = f"{after.correct} of"
    if part == "train":
        return f"is right on {right} {plural(after.count, 'forgotten sample')}"
    images = f"{right} {plural(after.count, 'test image')}"
    if select is None or select.classes is None:
        return f"is right on {images} of what was to be forgotten"
    names = list(map(quoted, select.classes[:MAX_NAMED]))
    more = len(select.classes) - len(names)
    names += ["1 more class" if more == 1 else f"{more} more classes"] * (more > 0)
    alternatives = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"recognises {alternatives} in {images}"


def _ends(figure: FigureRecord) -> str:
    low, high = figure.interval
    return f"{100 * low:.1f}–{100 * high:.1f}"
