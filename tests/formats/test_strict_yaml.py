"""YAML by the rules of YAML 1.2, and none of what a spec has no need of."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.formats import strict_json, strict_yaml
from negmerge.formats.strict_json import NotStrict

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(min_codepoint=32, max_codepoint=126)), inner),
    max_leaves=10,
)  # fmt: skip


@given(VALUES)
def test_json_is_yaml_and_means_the_same(value: Any) -> None:
    text = json.dumps(value).encode()
    assert strict_yaml.loads(text) == strict_json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("3.", 3.0),
        (".5", 0.5),
        ("-0.1", -0.1),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1e-5'", "1e-5"),
        ('"true"', "true"),
        ("2026-11-27", "2026-11-27"),
        ("=", "="),
        ("|\n  10\n", "10\n"),
        ("{a: [1, 2], b: }", {"a": [1, 2], "b": None}),
        ("a: 1 # why\nb:\n  - x\n", {"a": 1, "b": ["x"]}),
    ],
)
def test_a_plain_scalar_is_what_the_core_schema_says(text: str, value: Any) -> None:
    """YAML 1.2.2, §10.3.2; in YAML 1.1 half of them are something else."""
    found = strict_yaml.loads(text.encode())
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "line 2: the key 'a' is there twice"),
        ("a: &x 1\nb: *x", "line 1 has an anchor or an alias"),
        ("a: &a [x]\n<<: *a", "anchor"),
        ("!!python/object/apply:os.system [x]", "line 1 has a tag"),
        ("a: !!str 1", "has a tag"),
        ("1: x", "line 1 has a key that is no text"),
        ("{[a]: 1}", "no text"),
        ("a: .inf", "infinity and NaN"),
        ("a: -.Inf", "infinity and NaN"),
        ("a: .nan", "infinity and NaN"),
        ("a: 1e999", "infinity and NaN"),
        ("---\na: 1\n---\nb: 2", "not YAML"),
        ("a: [1", "not YAML"),
        ("\t- a", "not YAML"),
        ("a: " + "9" * 400, "300 digits"),
        ("[" * 40 + "]" * 40, "32 deep"),
        ("[" * 5000 + "]" * 5000, "deep"),
        ('a: "\\0"', "NUL"),
        ('a: "\\Uffffffff"', "not YAML"),
        ('a: "\\U00110000"', "not YAML"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1", "not YAML"),
    ],
)
def test_what_a_spec_has_no_need_of_is_refused(text: str, said: str) -> None:
    with pytest.raises(NotStrict, match=said):
        strict_yaml.loads(text.encode())


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(NotStrict, match="UTF-8"):
        strict_yaml.loads(b"a: \xff")
