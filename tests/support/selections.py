"""Indexes without files, and what is selected or refused of them."""

import hashlib
from collections.abc import Iterable
from typing import Any

import pytest

from negmerge.data.archives import Index, Sample
from negmerge.data.selection import Splits, split
from negmerge.errors import SelectionError
from negmerge.spec.references import DatasetRef


def index_of(*samples: tuple[str, str, str | None], root: str = "") -> Index:
    made = tuple(sorted((Sample(*sample) for sample in samples), key=lambda sample: sample.id))
    return Index(made, tuple(sorted({sample.class_name for sample in made})), root)


def plain(**sizes: int) -> Index:
    """Classes of the given sizes and no parts: ``a/0`` … of class a."""
    return index_of(*((f"{name}/{i}", name, None) for name, size in sizes.items() for i in range(size)))


def ids(samples: Iterable[Sample]) -> set[str]:
    return {sample.id for sample in samples}


def in_order(names: Iterable[str], seed: int = 0) -> list[str]:
    """The documented order, worked out apart: SHA-256 of "seed:id", as hexadecimal digits."""
    return sorted(names, key=lambda name: hashlib.sha256(str(seed).encode() + b":" + name.encode()).hexdigest())


def chosen(
    forget: dict[str, Any] | None,
    retain: dict[str, Any] | None,
    index: Index,
    other: Index | None = None,
    rivals: tuple[str, ...] = (),
) -> Splits:
    """``split`` with these selections, on one data set, or on two where ``other`` is given."""
    return split(
        DatasetRef.model_validate({"dataset": "ds_1", "select": forget}),
        DatasetRef.model_validate({"dataset": "ds_2" if other else "ds_1", "select": retain}),
        index,
        other or index,
        rivals,
    )


def refused(
    forget: dict[str, Any] | None,
    retain: dict[str, Any] | None,
    index: Index,
    other: Index | None = None,
) -> tuple[str, str]:
    """The refusal's pointer and message."""
    with pytest.raises(SelectionError) as caught:
        chosen(forget, retain, index, other)
    return caught.value.pointer, str(caught.value)


def measured(train: str) -> Index:
    """Nine training samples of each class that ``train`` names; a and b both have validation and test samples."""
    kept = [(f"{part}/{name}/{i}", name, part) for part in ("validation", "test") for name in "ab" for i in range(3)]
    return index_of(*((f"train/{name}/{i}", name, "train") for name in train for i in range(9)), *kept)
