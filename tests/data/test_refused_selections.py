"""Every refusal of a selection in full: what is wrong, what to do, and where."""

from typing import Any

import pytest

from negmerge.data.archives import Index
from tests.support.selections import index_of, measured, plain, refused

NO_TRAIN = index_of(*((f"{part}/{name}/0", name, part) for name in "ab" for part in ("validation", "test")))
NO_VALIDATION = index_of(*((f"a/{i}", "a", None) for i in range(2)))


@pytest.mark.parametrize(
    ("forget", "retain", "index", "other", "pointer", "message"),
    [
        (
            {"classes": ["dog"]},
            None,
            plain(dog1=9, dog2=9, dog3=9, dog4=9),
            None,
            "/forget/select/classes/0",
            "the data set has no class 'dog': it has 4, such as dog4, dog3, dog2",
        ),
        (
            {"classes": ["zebra"]},
            None,
            plain(**{f"c{i:02}": 3 for i in range(12)}),
            None,
            "/forget/select/classes/0",
            "the data set has no class 'zebra': it has 12, such as c00, c01, c02, c03, c04, c05, c06, c07, c08, c09",
        ),
        (
            {"ids": ["/a/1"]},
            None,
            plain(a=9, b=9),
            None,
            "/forget/select/ids/0",
            "1 listed ids are not in the data set, the first is '/a/1': an id is the image's path in the archive",
        ),
        (
            {"classes": ["a"]},
            {"ids": ["b/1", "b/99"]},
            plain(a=9, b=9),
            None,
            "/retain/select/ids/1",
            "1 listed ids are not in the data set, the first is 'b/99': an id is the image's path in the archive",
        ),
        (None, None, NO_TRAIN, plain(x=9), "/forget", "nothing to forget: no training sample is selected"),
        (
            {"classes": ["a"]},
            None,
            NO_TRAIN,
            plain(x=9),
            "/forget/select",
            "nothing to forget: no training sample is selected",
        ),
        (
            None,
            None,
            NO_VALIDATION,
            plain(x=9),
            "/forget",
            "the forget set has no validation samples: put some in val/",
        ),
        (
            {"classes": ["b", "a"]},
            None,
            measured("b"),
            None,
            "/forget/select/classes/1",
            "class 'a' has no training samples",
        ),
        (
            {"classes": ["b", "a"]},
            None,
            plain(a=2, b=9, c=9),
            None,
            "/forget/select/classes/1",
            "class 'a' has no validation samples to choose the scale by: it needs three samples, or some in val/",
        ),
        (
            {"classes": ["a"]},
            {"classes": ["b"]},
            plain(a=9, b=2),
            None,
            "/retain/select",
            "nothing is left to keep on validation data: forget less, or name another data set to retain",
        ),
        (
            {"classes": ["a"]},
            None,
            plain(a=9, b=2),
            None,
            "/retain",
            "nothing is left to keep on validation data: forget less, or name another data set to retain",
        ),
        (
            {"ids": [f"train/{name}/{i}" for name in "ab" for i in range(9)]},
            None,
            measured("ab"),
            None,
            "/forget/select",
            "nothing is left to keep of the training samples: forget fewer, or name another data set to retain",
        ),
        (
            {"classes": ["a"]},
            {"classes": ["a", "b"]},
            plain(a=10, b=10),
            None,
            "/retain/select",
            "10 samples are both forgotten and retained, the first is 'a/0': "
            "leave out retain.select to keep everything that is not forgotten",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(
    forget: dict[str, Any] | None,
    retain: dict[str, Any] | None,
    index: Index,
    other: Index | None,
    pointer: str,
    message: str,
) -> None:
    assert refused(forget, retain, index, other) == (pointer, message)
