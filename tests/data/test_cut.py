"""The cut of each class into training, validation and test samples."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.data.archives import Index, Sample
from negmerge.data.selection import Parts, cut
from tests.support.selections import ids, in_order, index_of, plain


@pytest.mark.parametrize("seed", [0, 7])
def test_the_first_tenths_in_hash_order_are_validation_and_test(seed: int) -> None:
    order = in_order([f"a/{i}" for i in range(40)], seed)
    parts = cut(plain(a=40, b=10), seed)
    own = [{i for i in ids(part) if i.startswith("a/")} for part in (parts.validation, parts.test, parts.train)]
    assert own == [set(order[:4]), set(order[4:8]), set(order[8:])]


def test_the_cut_of_a_known_class_stays_what_it_is() -> None:
    """Worked with `printf '0:a/N' | sha256sum | sort`: a cut that moved would mix old results with new ones."""
    parts = cut(plain(a=10, b=10))
    assert [sample.id for sample in parts.validation if sample.class_name == "a"] == ["a/2"]
    assert [sample.id for sample in parts.test if sample.class_name == "a"] == ["a/3"]


@pytest.mark.parametrize(
    ("size", "tenth"),
    [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (14, 1), (15, 2), (24, 2), (25, 3), (179, 18), (1000, 100)],
)
def test_a_tenth_is_rounded_half_up_and_one_at_least_of_three(size: int, tenth: int) -> None:
    counts = cut(plain(a=size)).counts().as_json()
    assert counts == {"train": size - 2 * tenth, "validation": tenth, "test": tenth}


def test_a_cut_over_the_bound_is_shared_out_by_the_size_of_the_classes() -> None:
    parts = cut(replace(plain(a=100, b=200, c=300), most_cut=12))
    assert [Counter(s.class_name for s in p) for p in (parts.validation, parts.test)] == [{"a": 2, "b": 4, "c": 6}] * 2
    assert len(parts.train) == 600 - 24


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1), st.integers(1, 30))
def test_a_bounded_cut_is_the_bound_or_the_tenths_where_they_are_fewer(sizes: dict[str, int], most: int) -> None:
    free, bounded = cut(plain(**sizes)), cut(replace(plain(**sizes), most_cut=most))
    assert len(bounded.validation) == min(len(free.validation), most)


def test_a_share_begins_where_the_share_before_it_ended() -> None:
    """2 · 19 / 40 is less than one, so both come from b; had a's share begun one sample later, a would give one."""
    assert Counter(sample.class_name for sample in cut(replace(plain(a=19, b=21), most_cut=2)).validation) == {"b": 2}


def test_tenths_that_add_up_to_the_bound_itself_are_not_shared_out() -> None:
    """Shared out by size, the two small classes would give nothing and the large one three."""
    parts = cut(replace(plain(a=3, b=3, c=14), most_cut=3))
    assert Counter(sample.class_name for sample in parts.validation) == {"a": 1, "b": 1, "c": 1}


def test_parts_that_exist_are_never_cut() -> None:
    index = index_of(
        *((f"train/a/{i}", "a", "train") for i in range(20)),
        *((f"test/a/{i}", "a", "test") for i in range(3)),
    )
    parts = cut(index)
    assert ids(parts.test) == {f"test/a/{i}" for i in range(3)}
    assert ids(parts.validation) == set(in_order(f"train/a/{i}" for i in range(20))[:2])


def test_with_all_three_parts_there_is_nothing_to_cut() -> None:
    index = index_of(*((f"{part}/a/{i}", "a", part) for part in ("train", "validation", "test") for i in range(9)))
    assert cut(index).counts().as_json() == {"train": 9, "validation": 9, "test": 9}


def test_listed_ids_go_to_train_and_the_next_in_order_take_their_places() -> None:
    order = in_order(f"a/{i}" for i in range(20))
    listed = frozenset(order[:3])
    parts = cut(plain(a=20), in_train=listed)
    assert (ids(parts.validation), ids(parts.test)) == (set(order[3:5]), set(order[5:7]))
    assert listed <= ids(parts.train)


def test_a_class_that_is_listed_whole_is_train_whole() -> None:
    assert cut(plain(a=9), in_train=frozenset(f"a/{i}" for i in range(9))).counts().train == 9


sizes = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=2)


@given(sizes=sizes, seed=st.integers(0, 2**63 - 1), random=st.randoms(use_true_random=False))
def test_every_sample_is_in_one_part_whatever_the_order_of_the_files(
    sizes: dict[str, int], seed: int, random: Any
) -> None:
    index = plain(**sizes)
    parts = cut(index, seed)
    assert sorted(parts.all(), key=lambda sample: sample.id) == list(index.samples)
    shuffled = list(index.samples)
    random.shuffle(shuffled)
    assert cut(Index(tuple(shuffled), index.classes), seed) == parts


@given(sizes=sizes, seed=st.integers(0, 2**63 - 1))
def test_another_class_changes_nothing_about_the_others(sizes: dict[str, int], seed: int) -> None:
    def without_z(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
        return tuple(sample for sample in samples if sample.class_name != "z")

    more = cut(plain(**sizes, z=13), seed)
    assert Parts(*map(without_z, (more.train, more.validation, more.test))) == cut(plain(**sizes), seed)
