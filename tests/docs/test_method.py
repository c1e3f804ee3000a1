"""The page on the method: its methods, components and figures are the code's."""

import re
from pathlib import Path

import pytest

from negmerge.evaluation.search import EDGES, STEPS
from negmerge.merging.accumulators import COMPONENTS, STEP, WIDE
from negmerge.merging.methods import METHODS, Summed, summed
from negmerge.merging.vectors import LIMIT
from negmerge.spec.job import Merge, ScaleSearch
from negmerge.spec.sweep import MAX_POINTS
from negmerge.training.fine_tune import MAX_GRADIENT_NORM, MAX_WARMUP_STEPS, MOMENTUM

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "method.md").read_text().split())
ROWS = dict(re.findall(r"\| `(\w+)` \| ([^|]+) \| [^|]+ ", PAGE.split("| method |")[1].split("Shares such as")[0]))


def test_every_method_has_a_row() -> None:
    assert sorted(ROWS) == sorted(METHODS)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if issubclass(method, Summed)])
def test_a_methods_components_are_the_codes(method: str) -> None:
    told = ROWS["negmerge"] if ROWS[method] == "the same" else ROWS[method]
    assert set(re.findall(r"`(\w+)`", told)) == set(summed(method, Merge()).components)


def test_every_component_is_on_the_page() -> None:
    assert {name for told in ROWS.values() for name in re.findall(r"`(\w+)`", told)} == set(COMPONENTS)


@pytest.mark.parametrize(
    "told",
    [
        f"when |τ| ≥ {LIMIT:g} anywhere",
        f"at most {MAX_POINTS} points",
        f"uint8 up to {WIDE - 1} points and uint16 from {WIDE} on",
        f"0, 1/{STEPS}, … up to {EDGES[0]}",
        f"goes on in the same steps to {EDGES[1]}, and then to {EDGES[2]}",
        f"`keep` ({ScaleSearch().keep:g})",
        f"its own share, {Merge().relaxed:g} unless",
        f"`agreement` is {Merge().agreement:g} as published",
        f"SGD with momentum {MOMENTUM:g}",
        f"gradient norm clipped at {MAX_GRADIENT_NORM:g}",
        f"and at most {MAX_WARMUP_STEPS}, then half a cosine",
    ],
)
def test_a_figure_on_the_page_is_the_codes(told: str) -> None:
    assert told in PAGE


def test_no_sum_overflows_at_the_limits_that_the_page_gives() -> None:
    """2⁵⁰ steps to one, |τ| below 8: as the page reckons, worked out in whole numbers."""
    assert STEP == 2.0**-50
    assert int(LIMIT / STEP) == 2**53
    assert MAX_POINTS * 2**53 < 2**63 <= (MAX_POINTS + 1) * 2**53
