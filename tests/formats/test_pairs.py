"""Where the elements of tensors of transformers lie in ours."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from negmerge.formats.hugging_face.pairs import Pair, Span, spans


def test_queries_keys_and_values_are_three_thirds_of_one_tensor() -> None:
    pair = Pair(("q", "k", "v"), ("qkv",))
    assert spans(pair, {"qkv": 12}) == {
        "q": [Span(0, "qkv", 0, 4)],
        "k": [Span(0, "qkv", 4, 4)],
        "v": [Span(0, "qkv", 8, 4)],
    }


def test_one_tensor_there_may_be_two_here() -> None:
    assert spans(Pair(("in_proj",), ("q", "kv")), {"q": 2, "kv": 4}) == {
        "in_proj": [Span(0, "q", 0, 2), Span(2, "kv", 0, 4)]
    }


def test_of_a_transposed_pair_all_is_one_span() -> None:
    assert spans(Pair(("a",), ("b",), transposed=True), {"b": 6}) == {"a": [Span(0, "b", 0, 6, transposed=True)]}


@given(st.integers(1, 4), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_the_spans_of_a_pair_are_its_elements_one_after_another(parts: int, sizes: list[int]) -> None:
    """As ``torch.cat`` of ours and ``torch.chunk`` of it, whose parts are equal."""
    ours = {f"ours.{number}": torch.rand(size * parts) for number, size in enumerate(sizes)}
    pair = Pair(tuple(f"theirs.{number}" for number in range(parts)), tuple(ours))
    found = spans(pair, {name: len(tensor) for name, tensor in ours.items()})
    for name, expected in zip(pair.theirs, torch.cat([*ours.values()]).chunk(parts), strict=True):
        pieces = [ours[one.ours][one.ours_start : one.ours_start + one.count] for one in found[name]]
        assert torch.equal(torch.cat(pieces), expected)
        assert [one.start for one in found[name]] == [sum(map(len, pieces[:place])) for place in range(len(pieces))]
