"""The greedy merge: a model soup, one point after the other, as long as it helps (Wortsman et al., ICML 2022).

The recipe of "Model soups" (arXiv 2203.05482, Recipe 1), with task vectors for models and this job's search rule for
validation accuracy: points in the order of their own rank, the best first; each joins if the mean with it, at the
scale chosen for it, ranks no worse than the mean without it.
"""

from collections.abc import Callable, Sequence

from negmerge.evaluation.search import Choice
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import TaskVector
from negmerge.spec.job import Merge
from negmerge.spec.result import PointRow, by_rank


def greedy(
    points: Sequence[PointRow],
    load: Callable[[int], TaskVector],
    search: Callable[[TaskVector], Choice],
) -> tuple[TaskVector, Choice, list[int]]:
    """τ* of the soup, its scale, and which points are in it, in the order in which they joined.

    points: searched as single models, so that each has its rank; at least one. load: index → τ.
    search: chooses λ for a mean. Each mean is the uniform merge, exact, and made anew from its points.
    """
    order = [point.index for point in by_rank(points)]
    chosen = order[:1]
    mean = _mean(chosen, load)
    best = search(mean)
    for index in order[1:]:
        wider = _mean([*chosen, index], load)
        choice = search(wider)
        if choice.rank <= best.rank:
            chosen, mean, best = [*chosen, index], wider, choice
    return mean, best, chosen


def _mean(indices: Sequence[int], load: Callable[[int], TaskVector]) -> TaskVector:
    first = load(indices[0])
    partial = Partial(["uniform"], first, Merge())
    for index in indices:
        partial.add(index, load(index))
    return partial.result("uniform")
