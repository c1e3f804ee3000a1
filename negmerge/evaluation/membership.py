"""Membership inference: do the forgotten samples still look like samples that the model was trained on?

Every attack here learns to tell members (retain samples of the train part) from non-members (test samples) by one
number a sample, and is then asked about the forgotten samples. Its score is the share of them that it takes for
non-members ("MIA efficacy"). **Closer to a retrained model's score is better, not higher and not lower**: a sample
that nobody trained on is taken for a member as often as the model is confident about it anyway.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from negmerge.errors import DataError, DivergedError, ModelError
from negmerge.evaluation.metrics import Count

Values = NDArray[np.float64]
LIMIT = 10_000
"""At most so many samples of each side, as published for CIFAR-10: the fit takes time in their square."""


def true_label_confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """The softmax probability of the true label, float64 [B], on the logits' device.

    logits: any floating type [B, C]. labels: int64 [B], each below C. Worked out in float64 with the largest logit
    subtracted first, so no finite logit overflows; a row with a logit that is not finite gives NaN or 0.
    """
    return logits.double().softmax(dim=1).gather(1, labels[:, None])[:, 0]


def equal_sides(
    trained: Sequence[str], untrained: Sequence[str], seed: int = 0, limit: int = LIMIT
) -> tuple[list[int], list[int]]:
    """Positions, ascending, of equally many samples of each side: all of the smaller side, but at most ``limit``.

    trained, untrained: the samples' ids. Each side keeps the first in the order of SHA-256 over the UTF-8 bytes of
    ``"{seed}:{id}"``, as everywhere (``negmerge/data/selection.py``), so the same samples are chosen in whatever order
    they come. Both lists are empty where a side is.
    """
    size = min(len(trained), len(untrained), limit)
    return _first(trained, seed, size), _first(untrained, seed, size)


def membership_inference(trained: Values, untrained: Values, forgotten: Values) -> Count:
    """How many of the forgotten samples the published attack takes for non-members, out of all of them.

    Each argument holds the samples' ``true_label_confidence``, float64 [n], in [0, 1]; as many members as
    non-members (``equal_sides``). The attack is a support vector machine, SVC(C=3, gamma="auto", kernel="rbf"), on
    that one number. Source: the public code of Fan et al., "SalUn" (ICLR 2024), Classification/evaluation/SVC_MIA.py,
    entry "confidence".

    The solver stops at a tolerance, so its last digits depend on the order of the samples. Both sides are sorted
    first: the score is a function of the values alone. About 7 s for twice 10,000 samples on one core, in which
    other threads run on.

    Raises DataError where a set is empty or the sides differ in number, DivergedError where a value is not finite,
    and ModelError where one is no confidence.
    """
    from sklearn.svm import SVC  # half a second, and only some jobs ask for it

    inside, outside, asked = _checked(trained, untrained, forgotten)
    if len(inside) != len(outside):
        raise DataError(
            f"membership inference compares equally many samples of each side, not {len(inside)} members with "
            f"{len(outside)} non-members: choose them with equal_sides"
        )
    for values in (inside, outside, asked):
        if values.min() < 0 or values.max() > 1:
            raise ModelError("membership inference works on probabilities of the true label, and some lie outside 0…1")
    labels = np.repeat([1, 0], len(inside))
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(np.concatenate([inside, outside])[:, None], labels)
    taken_for_members = int(attack.predict(asked[:, None]).sum())
    return Count(len(asked) - taken_for_members, len(asked))


def _first(ids: Sequence[str], seed: int, size: int) -> list[int]:
    order = sorted(range(len(ids)), key=lambda place: hashlib.sha256(f"{seed}:{ids[place]}".encode()).digest())
    return sorted(order[:size])


def _checked(trained: Values, untrained: Values, forgotten: Values) -> tuple[Values, Values, Values]:
    """The three sets, each sorted, none empty, all finite."""
    if not (len(trained) and len(untrained) and len(forgotten)):
        raise DataError(
            f"membership inference needs members, non-members and forgotten samples, and has {len(trained)}, "
            f"{len(untrained)} and {len(forgotten)}: without all three there is no figure"
        )
    for values, what in ((trained, "members"), (untrained, "non-members"), (forgotten, "forgotten samples")):
        wrong = len(values) - int(np.isfinite(values).sum())
        if wrong:
            raise DivergedError(
                f"{wrong} of {len(values)} values of the {what} are not finite: the model has diverged, "
                "lower the learning rate or train it for fewer epochs"
            )
    return np.sort(trained), np.sort(untrained), np.sort(forgotten)
