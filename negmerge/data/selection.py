"""Which samples are forgotten, which are kept, and which part each is in. No torch.

Every order here is that of SHA-256 over the UTF-8 bytes of ``"{seed}:{id}"``, compared as bytes; equal archives
therefore give equal parts on every machine, whatever the order of their files.
"""

import difflib
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from negmerge.data.archives import Index, Sample
from negmerge.data.classes import called, why_none
from negmerge.errors import SelectionError
from negmerge.naming import one_form, shown
from negmerge.spec.figures import PartCounts, SplitCounts
from negmerge.spec.references import DatasetRef, Select


@dataclass(frozen=True)
class Parts:
    """The three parts, each sorted by id: trained on, chosen by, reported."""

    train: tuple[Sample, ...] = ()
    validation: tuple[Sample, ...] = ()
    test: tuple[Sample, ...] = ()

    def all(self) -> tuple[Sample, ...]:
        return self.train + self.validation + self.test

    def counts(self) -> PartCounts:
        """How many samples each part has."""
        return PartCounts(train=len(self.train), validation=len(self.validation), test=len(self.test))


@dataclass(frozen=True)
class Splits:
    """What a job works on.

    Forgotten classes (or a whole data set) are measured on their validation and test samples; forgotten training
    samples are measured themselves, and ``forget`` has only a train part.
    unseen: validation samples of the forget set's own data set that are not forgotten: what a model that never saw
    the forgotten samples would do with them, it does with these.
    """

    forget: Parts
    retain: Parts
    unseen: tuple[Sample, ...]

    def counts(self) -> SplitCounts:
        """How many samples each part of each side has."""
        return SplitCounts(forget=self.forget.counts(), retain=self.retain.counts())


def cut(index: Index, seed: int = 0, in_train: frozenset[str] = frozenset()) -> Parts:
    """The data set's parts. A part that it does not have itself is cut from train, class by class.

    In the order of the hash, first validation, then test take 10 % of the class's training samples, rounded
    half up, and at least one where there are three. ``in_train`` (ids) stays in train and is passed over.
    Where that would be more than ``index.most_cut`` in all, each class gives its share of that many instead.
    """
    own = {sample.part for sample in index.samples}
    missing = [part for part in ("validation", "test") if part not in own]
    parts: dict[str, list[Sample]] = {"train": [], "validation": [], "test": []}
    uncut: dict[str, list[Sample]] = defaultdict(list)
    for sample in index.samples:
        if sample.part in ("validation", "test"):
            parts[sample.part].append(sample)
        else:
            uncut[sample.class_name].append(sample)
    sizes = _sizes({name: len(samples) for name, samples in uncut.items()}, index.most_cut)
    for name, samples in uncut.items():
        size = sizes[name]
        free = _ordered((sample for sample in samples if sample.id not in in_train), seed)
        for part in missing:
            parts[part] += free[:size]
            free = free[size:]
        parts["train"] += free
        parts["train"] += [sample for sample in samples if sample.id in in_train]
    return Parts(*(_by_id(parts[name]) for name in ("train", "validation", "test")))


def split(
    forget: DatasetRef, retain: DatasetRef, forget_index: Index, retain_index: Index, rivals: Sequence[str] = ()
) -> Splits:
    """What both references select. The same data set is meant where their ``source`` is the same.

    rivals: what is to be compared besides merges; these need training samples that are kept.

    Classes select from all three parts. Ids and a fraction select training samples: listed ids go to train
    before the cut, a fraction is of the training part (rounded half up, at least one, in the order of the hash
    with the selection's seed; for ``retain`` only of what is not forgotten). A retain set that lists samples
    keeps its validation and test parts whole.

    Raises SelectionError, with the pointer of the wrong field: no classes at all, an unknown class or id, a listed id
    in val/ or test/, nothing to forget or to keep, no validation samples, an overlap. Where samples are listed to
    forget, a training sample of the same data set must stay; beside a forgotten class the others may be there only to
    be measured on.
    """
    _check_has_classes(forget_index, "/forget")
    _check_has_classes(retain_index, "/retain")
    same = forget.source == retain.source
    listed = _listed(forget.select, forget_index, "/forget/select")
    kept = _listed(retain.select, retain_index, "/retain/select")
    forget_parts = cut(forget_index, in_train=listed | kept if same else listed)
    retain_parts = forget_parts if same else cut(retain_index, in_train=kept)

    forgotten = _forgotten(forget.select, forget_parts, forget_index, listed)
    by_class = forget.select is None or forget.select.by_class
    forgotten_ids = frozenset(sample.id for sample in forgotten.all())
    gone = forgotten_ids if same else frozenset()
    remaining = _retained(retain.select, retain_parts, retain_index, kept, gone)
    _check_forget(forget.select, forgotten, by_class)
    _check_overlap(remaining, gone)
    if not remaining.validation:
        raise SelectionError(
            "nothing is left to keep on validation data: forget less, or name another data set to retain",
            "/retain/select" if retain.select else "/retain",
        )
    if same and listed and not remaining.train:
        raise SelectionError(
            "nothing is left to keep of the training samples: forget fewer, or name another data set to retain",
            "/retain/select" if retain.select else "/forget/select",
        )
    if rivals and not remaining.train:
        raise SelectionError(
            f"{rivals[0]} needs training samples that are kept, and none are left: forget less, or drop the rivals",
            "/compare",
        )
    return Splits(forgotten, remaining, _without(forget_parts.validation, forgotten_ids))


def _check_has_classes(index: Index, pointer: str) -> None:
    if not index.classes:
        raise SelectionError(
            f"a job needs classes, and {why_none(index.root)}; or name the data set that the pictures come from, and "
            "list their ids",
            pointer,
        )


def _forgotten(select: Select | None, parts: Parts, index: Index, listed: frozenset[str]) -> Parts:
    if select is None:
        return parts
    if select.classes is not None:
        return _of_classes(parts, _classes(select.classes, index, "/forget/select"))
    if select.fraction is not None:
        return Parts(train=_fraction(parts.train, select))
    return Parts(train=tuple(sample for sample in parts.train if sample.id in listed))


def _retained(
    select: Select | None, parts: Parts, index: Index, listed: frozenset[str], gone: Collection[str]
) -> Parts:
    if select is not None and select.classes is not None:
        return _of_classes(parts, _classes(select.classes, index, "/retain/select"))
    left = Parts(*(_without(samples, gone) for samples in (parts.train, parts.validation, parts.test)))
    if select is None:
        return left
    if select.fraction is not None:
        train = _fraction(left.train, select)
    else:
        train = tuple(sample for sample in parts.train if sample.id in listed)
    return Parts(train, left.validation, left.test)


def _of_classes(parts: Parts, names: Collection[str]) -> Parts:
    taken = (
        tuple(sample for sample in samples if sample.class_name in names)
        for samples in (parts.train, parts.validation, parts.test)
    )
    return Parts(*taken)


def _classes(names: Sequence[str], index: Index, pointer: str) -> frozenset[str]:
    found = [called(name, index.classes) for name in names]
    for number, name in enumerate(found):
        if name not in index.classes:
            near = difflib.get_close_matches(name, index.classes) or index.classes[:10]
            raise SelectionError(
                f"the data set has no class {shown(name)}: it has {len(index.classes)}, such as {', '.join(near)}",
                f"{pointer}/classes/{number}",
            )
    return frozenset(found)


def _listed(select: Select | None, index: Index, pointer: str) -> frozenset[str]:
    """The listed ids, with or without the folder around everything; empty where none are listed."""
    if select is None or select.ids is None:
        return frozenset()
    samples: dict[str, Sample] = {one_form(sample.id): sample for sample in index.samples}
    samples |= {sample.id: sample for sample in index.samples}  # where two differ by form alone, each is its own
    prefix = f"{index.root}/" if index.root else ""
    found, unknown = set(), []
    for number, given in enumerate(select.ids):
        path = given.removeprefix("./")  # as `find .` prints it
        forms = (given, path, path.removeprefix(prefix))
        sample = next((samples[form] for form in (*forms, *map(one_form, forms)) if form in samples), None)
        if sample is None:
            unknown.append((number, given))
        elif sample.part in ("validation", "test"):
            raise SelectionError(
                f"{given!r} is a {sample.part} sample: list training samples only, they are what a model has seen",
                f"{pointer}/ids/{number}",
            )
        else:
            found.add(sample.id)
    if unknown:
        number, first = unknown[0]
        raise SelectionError(
            f"{len(unknown)} listed ids are not in the data set, the first is {first!r}: "
            "an id is the image's path in the archive",
            f"{pointer}/ids/{number}",
        )
    return frozenset(found)


def _fraction(train: Sequence[Sample], select: Select) -> tuple[Sample, ...]:
    size = max(1, int(Decimal(repr(select.fraction)) * len(train) + Decimal("0.5")))
    return _by_id(_ordered(train, select.seed)[:size])


def _check_forget(select: Select | None, forgotten: Parts, by_class: bool) -> None:
    pointer = "/forget/select" if select else "/forget"
    if not forgotten.train:
        raise SelectionError("nothing to forget: no training sample is selected", pointer)
    if not by_class:
        return
    trained = {one_form(sample.class_name) for sample in forgotten.train}
    validated = {one_form(sample.class_name) for sample in forgotten.validation}
    for number, name in enumerate((select.classes if select else None) or ()):
        if one_form(name) not in trained:
            raise SelectionError(f"class {shown(name)} has no training samples", f"{pointer}/classes/{number}")
        if one_form(name) not in validated:
            raise SelectionError(
                f"class {shown(name)} has no validation samples to choose the scale by: it needs three samples, "
                "or some in val/",
                f"{pointer}/classes/{number}",
            )
    if not validated:
        raise SelectionError("the forget set has no validation samples: put some in val/", pointer)


def _check_overlap(remaining: Parts, gone: Collection[str]) -> None:
    both = sorted(sample.id for sample in remaining.all() if sample.id in gone)
    if both:
        raise SelectionError(
            f"{len(both)} samples are both forgotten and retained, the first is {both[0]!r}: "
            "leave out retain.select to keep everything that is not forgotten",
            "/retain/select",
        )


def _sizes(counts: Mapping[str, int], most: int | None) -> dict[str, int]:
    """How many samples of each class are cut for a part. Shares of ``most`` add up to it exactly."""
    tenths = {name: _tenth(count) for name, count in counts.items()}
    if most is None or sum(tenths.values()) <= most:
        return tenths
    total, shares, before = sum(counts.values()), {}, 0
    for name in sorted(counts):
        after = before + counts[name]
        shares[name] = most * after // total - most * before // total
        before = after
    return shares


def _tenth(count: int) -> int:
    """10 %, rounded half up; at least one of three."""
    return max((count + 5) // 10, 1 if count >= 3 else 0)


def _ordered(samples: Iterable[Sample], seed: int) -> list[Sample]:
    return sorted(samples, key=lambda sample: hashlib.sha256(f"{seed}:{sample.id}".encode()).digest())


def _by_id(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.id))


def _without(samples: Iterable[Sample], gone: Collection[str]) -> tuple[Sample, ...]:
    return tuple(sample for sample in samples if sample.id not in gone)
