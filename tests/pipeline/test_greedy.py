"""The greedy soup, on cases worked by hand and beside a plain restatement."""

from collections.abc import Callable

import torch
from hypothesis import given
from hypothesis import strategies as st

from negmerge.evaluation.search import Choice
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.greedy import greedy
from negmerge.spec.result import PointRow
from tests.support import results


def points(*ranks: int) -> list[PointRow]:
    return [results.point(index).model_copy(update={"rank": (rank, 0.5)}) for index, rank in enumerate(ranks)]


def vectors(*values: float) -> Callable[[int], TaskVector]:
    return lambda index: {"w": torch.tensor([values[index]])}


def nearest_to(goal: float) -> Callable[[TaskVector], Choice]:
    """A search that likes a mean the better the nearer it is to the goal."""
    return lambda mean: Choice(1.0, False, [], (round(1000 * abs(float(mean["w"][0]) - goal)), 1.0))


def test_the_best_point_comes_first_and_each_next_joins_if_it_helps() -> None:
    """By rank 2, 0, 1. Goal 0.5: 0.25 is 0.25 off; with 0.5 the mean 0.375 is nearer; with 0 it would be 0.25 again."""
    merged, choice, chosen = greedy(points(5, 9, 1), vectors(0.5, 0.0, 0.25), nearest_to(0.5))
    assert chosen == [2, 0]
    assert merged["w"].item() == 0.375
    assert choice.rank == (125, 1.0)


def test_a_point_that_changes_nothing_joins() -> None:
    _, _, chosen = greedy(points(1, 2), vectors(0.5, 0.5), nearest_to(0.5))
    assert chosen == [0, 1]


def test_of_equal_ranks_the_smaller_index_comes_first() -> None:
    _, _, chosen = greedy(points(3, 3), vectors(0.5, 4.0), nearest_to(0.5))
    assert chosen == [0]


def test_a_point_alone_is_the_soup() -> None:
    merged, _, chosen = greedy(points(3), vectors(0.5), nearest_to(4.0))
    assert chosen == [0]
    assert merged["w"].item() == 0.5


@given(st.lists(st.integers(-63, 63), min_size=1, max_size=6), st.integers(-64, 64))
def test_the_soup_is_that_of_the_recipe(eighths: list[int], goal: int) -> None:
    """Wortsman et al.'s Recipe 1: for each model in order, keep it if the average's accuracy is no worse."""
    values = [eighth / 8 for eighth in eighths]
    search = nearest_to(goal / 8)
    ranked = points(*(search(vectors(*values)(i)).rank[0] for i in range(len(values))))
    soup: list[int] = []
    for index in sorted(range(len(values)), key=lambda i: (abs(round(1000 * abs(values[i] - goal / 8))), i)):
        wider = [values[i] for i in [*soup, index]]

        def off(members: list[float]) -> int:
            mean = torch.tensor(sum(members) / len(members), dtype=torch.float32).item()
            return round(1000 * abs(mean - goal / 8))

        if not soup or off(wider) <= off([values[i] for i in soup]):
            soup.append(index)
    assert greedy(ranked, vectors(*values), search)[2] == soup
