"""Which samples are forgotten, kept, trained on, chosen by and reported."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.data.archives import Index, Sample, index_archive
from negmerge.data.selection import cut, split
from negmerge.errors import SelectionError
from negmerge.spec.references import DatasetRef, Select
from tests.support.archive_files import Files, folders, write_zip
from tests.support.selections import chosen, ids, in_order, index_of, measured, plain, refused

# Forgetting classes


def test_a_forgotten_class_is_measured_by_its_own_parts() -> None:
    splits = chosen({"classes": ["a"]}, None, plain(a=30, b=20))
    assert splits.counts().as_json() == {
        "forget": {"train": 24, "validation": 3, "test": 3},
        "retain": {"train": 16, "validation": 2, "test": 2},
    }


def test_retain_without_a_selection_is_everything_that_is_not_forgotten() -> None:
    index = plain(a=30, b=20, c=10)
    splits = chosen({"classes": ["a", "c"]}, None, index)
    parts = cut(index)
    for part in ("train", "validation", "test"):
        both = getattr(splits.forget, part) + getattr(splits.retain, part)
        assert ids(both) == ids(getattr(parts, part))


def test_another_data_set_is_retained_whole_even_with_the_same_ids() -> None:
    splits = chosen({"classes": ["a"]}, None, plain(a=10, b=10), plain(a=10, b=10))
    assert len(splits.retain.all()) == 20


def test_another_data_set_is_retained_as_selected() -> None:
    splits = chosen(None, {"classes": ["x"]}, plain(a=10, b=10), plain(x=10, y=10))
    assert (len(splits.forget.all()), len(splits.retain.all())) == (20, 10)


def test_an_unknown_class_is_named_with_its_place_and_what_is_near() -> None:
    pointer, message = refused({"classes": ["cat", "dgo"]}, None, plain(cat=9, dog=9, cow=9))
    assert pointer == "/forget/select/classes/1"
    assert "no class 'dgo'" in message
    assert "dog" in message


def test_an_unknown_class_of_retain_is_named_there() -> None:
    assert refused({"classes": ["a"]}, {"classes": ["q"]}, plain(a=9, b=9))[0] == "/retain/select/classes/0"


def test_a_class_too_small_to_validate_is_refused_by_name() -> None:
    pointer, message = refused({"classes": ["b", "a"]}, None, plain(a=2, b=9, c=9))
    assert (pointer, "class 'a' has no validation samples" in message) == ("/forget/select/classes/1", True)


def test_a_class_without_training_samples_is_refused_by_name() -> None:
    index = index_of(
        *((f"{part}/b/{i}", "b", part) for part in ("train", "validation", "test") for i in range(3)),
        ("validation/a/0", "a", "validation"),
    )
    assert "class 'a' has no training samples" in refused({"classes": ["b", "a"]}, None, index)[1]
    assert "nothing to forget" in refused({"classes": ["a"]}, None, index)[1]


def test_forgetting_every_class_leaves_nothing_to_keep() -> None:
    pointer, message = refused({"classes": ["a", "b"]}, None, plain(a=9, b=9))
    assert (pointer, "nothing is left to keep" in message) == ("/retain", True)


def test_a_retain_set_without_validation_samples_is_refused() -> None:
    assert refused({"classes": ["a"]}, None, plain(a=9, b=2))[0] == "/retain"


def test_an_overlap_is_counted_and_its_first_sample_named() -> None:
    pointer, message = refused({"classes": ["a"]}, {"classes": ["a", "b"]}, plain(a=10, b=10))
    assert pointer == "/retain/select"
    assert "10 samples are both forgotten and retained, the first is 'a/0'" in message


def test_listed_samples_that_are_forgotten_too_overlap() -> None:
    _, message = refused({"ids": ["a/1", "a/2"]}, {"ids": ["a/2", "b/1"]}, plain(a=10, b=10))
    assert "1 samples are both forgotten and retained, the first is 'a/2'" in message


# Forgetting samples


def test_listed_ids_are_forgotten_as_training_samples_all_of_them() -> None:
    index = plain(a=20, b=20)
    listed = in_order(f"a/{i}" for i in range(20))[:5]  # the cut alone would put four of them elsewhere
    splits = chosen({"ids": listed}, None, index)
    assert splits.counts().as_json() == {
        "forget": {"train": 5, "validation": 0, "test": 0},
        "retain": {"train": 27, "validation": 4, "test": 4},
    }
    assert ids(splits.forget.train) == set(listed)
    assert not ids(splits.retain.all()) & set(listed)


def test_ids_may_be_given_with_the_folder_around_everything() -> None:
    index = index_of(*((f"a/{i}", "a", None) for i in range(9)), *((f"b/{i}", "b", None) for i in range(9)), root="top")
    splits = chosen({"ids": ["top/a/1", "a/2"]}, None, index)
    assert ids(splits.forget.train) == {"a/1", "a/2"}


def test_unknown_ids_are_counted_and_the_first_is_named() -> None:
    pointer, message = refused({"ids": ["a/1", "a/99", "c/1"]}, None, plain(a=9, b=9))
    assert pointer == "/forget/select/ids/1"
    assert "2 listed ids are not in the data set, the first is 'a/99'" in message


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_listed_id_that_no_model_was_trained_on_is_an_error_that_names_it(part: str) -> None:
    index = index_of(*((f"train/a/{i}", "a", "train") for i in range(9)), (f"{part}/a/0", "a", part))
    pointer, message = refused({"ids": ["train/a/1", f"{part}/a/0"]}, None, index)
    assert (pointer, f"'{part}/a/0' is a {part} sample" in message) == ("/forget/select/ids/1", True)


@pytest.mark.parametrize(("fraction", "size"), [(0.1, 3), (0.01, 1), (0.078125, 3), (0.99, 32)])
def test_a_fraction_is_of_the_training_part_rounded_half_up_one_at_least(fraction: float, size: int) -> None:
    index = plain(a=20, b=20)  # of 40 samples 32 are trained on; 0.078125 × 32 is 2.5
    train = ids(cut(index).train)
    forgotten = chosen({"fraction": fraction, "seed": 5}, None, index).forget
    assert ids(forgotten.all()) == set(in_order(train, 5)[:size])


def test_a_fraction_is_taken_as_it_is_written_in_decimals() -> None:
    """0.29 × 50 is 14.5 on paper and 14.499… in binary."""
    index = index_of(
        *((f"train/a/{i}", "a", "train") for i in range(50)), ("val/a/0", "a", "validation"), ("test/a/0", "a", "test")
    )
    assert chosen({"fraction": 0.29}, None, index).counts().forget.train == 15


def test_a_fraction_to_retain_is_of_what_is_not_forgotten() -> None:
    splits = chosen({"classes": ["a"]}, {"fraction": 0.5}, plain(a=20, b=20))
    assert splits.counts().retain.as_json() == {"train": 8, "validation": 2, "test": 2}


@given(listed=st.sets(st.integers(0, 29), min_size=1, max_size=29))
def test_no_listed_id_is_ever_dropped(listed: set[int]) -> None:
    splits = chosen({"ids": [f"a/{i}" for i in listed]}, None, plain(a=30, b=30))
    assert ids(splits.forget.train) == {f"a/{i}" for i in listed}
    assert len(splits.forget.all()) + len(splits.retain.all()) == 60


def test_listing_every_training_sample_leaves_none_to_keep() -> None:
    """The archive's own val/ part alone is nothing that a model could be trained on."""
    listed = [f"train/{name}/{i}" for name in "ab" for i in range(9)]
    pointer, message = refused({"ids": listed}, None, measured("ab"))
    assert (pointer, "nothing is left to keep of the training samples" in message) == ("/forget/select", True)
    assert chosen({"ids": listed[1:]}, None, measured("ab")).counts().retain.train == 1


def test_a_retain_set_of_classes_without_training_samples_leaves_none_to_keep() -> None:
    pointer, _ = refused({"ids": ["train/a/0"]}, {"classes": ["b"]}, measured("a"))
    assert pointer == "/retain/select"


def test_rivals_are_refused_where_no_training_sample_is_kept() -> None:
    with pytest.raises(SelectionError, match="salun needs training samples that are kept") as caught:
        chosen({"classes": ["a"]}, None, measured("a"), rivals=("salun", "fine_tune"))
    assert caught.value.pointer == "/compare"


def test_every_training_sample_may_be_forgotten_where_another_data_set_is_retained() -> None:
    splits = chosen({"ids": [f"train/a/{i}" for i in range(9)]}, None, measured("a"), plain(x=10))
    assert splits.counts().retain.train == 8


def test_beside_a_forgotten_class_the_others_may_be_there_only_to_be_measured_on() -> None:
    """So it is with a zero-shot model's control classes, which no merge trains on."""
    assert chosen({"classes": ["a"]}, None, measured("a")).counts().as_json() == {
        "forget": {"train": 9, "validation": 3, "test": 3},
        "retain": {"train": 0, "validation": 3, "test": 3},
    }


# What the model has not seen


def test_a_forgotten_class_is_not_among_the_unseen() -> None:
    index = plain(a=30, b=20, c=10)
    unseen = ids(chosen({"classes": ["a"]}, None, index).unseen)
    assert unseen == {sample.id for sample in cut(index).validation if sample.class_name != "a"}


def test_beside_listed_samples_all_validation_samples_of_their_data_set_are_unseen() -> None:
    index = plain(a=20, b=20)
    assert (
        chosen({"ids": ["a/1"]}, {"classes": ["x"]}, index, plain(x=30)).unseen
        == cut(index, in_train=frozenset({"a/1"})).validation
    )


def test_samples_that_another_data_set_keeps_are_unseen_though_they_have_the_same_names() -> None:
    index = plain(a=20, b=20)
    kept = in_order(f"a/{i}" for i in range(20))[:2]  # the first in order are validation samples
    unseen = chosen({"ids": ["a/0", "a/1"]}, {"ids": kept}, index, plain(a=20, b=20)).unseen
    assert unseen == cut(index, in_train=frozenset({"a/0", "a/1"})).validation
    assert ids(unseen) & set(kept)


# Keeping listed samples


@pytest.mark.parametrize("other", [None, plain(a=20, b=20)], ids=["the same data set", "another"])
def test_listed_samples_are_kept_as_training_samples_all_of_them(other: Index | None) -> None:
    kept = in_order(f"b/{i}" for i in range(20))[:5]  # the cut alone would put four of them elsewhere
    splits = chosen({"ids": ["a/0"]}, {"ids": kept}, plain(a=20, b=20), other)
    assert ids(splits.retain.train) == set(kept)


def test_an_id_that_begins_with_the_archives_own_folder_is_taken_as_it_is() -> None:
    index = index_of(*((f"{name}/{i}", name, None) for name in ("top", "b") for i in range(9)), root="top")
    assert ids(chosen({"ids": ["top/1", "top/top/2"]}, None, index).forget.train) == {"top/1", "top/2"}


# Names and ids as people have them.

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def indexed(tmp_path: Path, files: Files) -> Index:
    return index_archive(write_zip(tmp_path / "a.zip", files))


def trained(index: Index, select: Select) -> list[str]:
    ref = DatasetRef(uri="x")
    splits = split(ref.model_copy(update={"select": select}), ref, index, index)
    return [sample.id for sample in splits.forget.train]


@pytest.mark.parametrize("asked", [COMPOSED, DECOMPOSED])
def test_a_class_is_found_in_either_form(tmp_path: Path, asked: str) -> None:
    index = indexed(
        tmp_path, folders(*(f"{DECOMPOSED}/{n}.png" for n in range(5)), *(f"dog/{n}.png" for n in range(5)))
    )
    assert len(trained(index, Select(classes=[asked]))) == 3


@pytest.mark.parametrize("asked", ["./cat/1.png", "cat/1.png", "./set/cat/1.png", "set/cat/1.png"])
def test_an_id_is_found_as_find_prints_it(tmp_path: Path, asked: str) -> None:
    files = folders(*(f"set/{name}/{n}.png" for name in ("cat", "dog") for n in range(5)))
    assert trained(indexed(tmp_path, files), Select(ids=[asked])) == ["cat/1.png"]


def test_an_id_is_found_in_either_form(tmp_path: Path) -> None:
    files = folders(*(f"cat/{DECOMPOSED}{n}.png" for n in range(5)), *(f"dog/{n}.png" for n in range(5)))
    assert trained(indexed(tmp_path, files), Select(ids=[f"cat/{COMPOSED}1.png"])) == [f"cat/{DECOMPOSED}1.png"]


def test_of_two_ids_that_differ_by_form_alone_each_is_its_own() -> None:
    """No archive may hold two such files any more; an index of one that was registered before may."""
    names = [f"cat/{form}{n}.png" for form in (COMPOSED, DECOMPOSED) for n in range(3)]
    samples = [*(Sample(name, "cat", None) for name in names), *(Sample(f"dog/{n}.png", "dog", None) for n in range(5))]
    index = Index(tuple(sorted(samples, key=lambda sample: sample.id)), ("cat", "dog"))
    for name in names:
        assert trained(index, Select(ids=[name])) == [name]


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_a_set_without_classes_is_for_no_job(side: str) -> None:
    flat = Index((Sample("1.png", "", None),), ())
    other = Index(tuple(Sample(f"{name}/{n}.png", name, None) for name in "ab" for n in range(9)), ("a", "b"))
    refs = DatasetRef(uri="forget.zip"), DatasetRef(uri="retain.zip")
    with pytest.raises(SelectionError, match="a job needs classes") as caught:
        split(*refs, flat if side == "forget" else other, flat if side == "retain" else other)
    assert caught.value.pointer == f"/{side}"
