"""Progress over several pieces of work, each with a count of its own."""

from negmerge.progress import Stages


def test_pieces_of_work_add_up_to_the_whole() -> None:
    seen: list[tuple[int, int]] = []
    stages = Stages(lambda step, total, loss: seen.append((step, total)), 10)
    first, second = stages.next(4), stages.next(6)
    first(1, 2, None)
    first(2, 2, None)
    second(1, 3, None)
    second(3, 3, None)
    assert seen == [(2, 10), (4, 10), (6, 10), (10, 10)]


def test_a_piece_without_steps_counts_as_not_begun() -> None:
    seen: list[int] = []
    Stages(lambda step, total, loss: seen.append(step), 4).next(4)(0, 0, None)
    assert seen == [0]
