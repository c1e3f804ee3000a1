"""The job spec: what it takes, and that each wrong field is named by the right JSON pointer."""

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.errors import SpecError
from negmerge.spec.fields import listed
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.numbers import MAX_SCALE
from negmerge.spec.references import Select

VALID: dict[str, Any] = {
    "base_model": {"family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"},
    "forget": {"dataset": "ds_1", "select": {"classes": ["seven"]}},
    "retain": {"dataset": "ds_1"},
    "sweep": {
        "grid": {"learning_rate": [1e-5, 3e-6], "weight_decay": [0.0, 0.1], "epochs": [1, 2, 3]},
        "seed": 0,
    },
    "merge": {"method": "negmerge"},
    "scale_search": {"keep": 0.95},
    "compare": ["task_arithmetic", "uniform", "ties", "magmax"],
    "keep_task_vectors": False,
    "metadata": {"ticket": "DSR-1234"},
}
INTERVAL = {"low": 1e-6, "high": 1e-4, "log": True}


def changed(pointer: str, value: Any) -> dict[str, Any]:
    """VALID with ``value`` at the place (a pointer without escapes); each step but the last exists there."""
    document = copy.deepcopy(VALID)
    *way, last = pointer.split("/")[1:]
    node: Any = document
    for part in way:
        node = node[int(part)] if isinstance(node, list) else node[part]
    node[int(last) if isinstance(node, list) else last] = value
    return document


def pointers(document: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(document)
    assert caught.value.errors
    assert all(error.detail for error in caught.value.errors)
    return [error.pointer for error in caught.value.errors]


def of_a_rival(name: str, options: dict[str, Any]) -> dict[str, Any]:
    classifier = {"family": "timm", "architecture": "resnet18", "weights": "a1_in1k"}
    return {"base_model": classifier, "compare": [name], "rivals": {name: options}}


@pytest.mark.parametrize(
    ("pointer", "most", "part"),
    [
        ("/sweep/grid/learning_rate/0", 1e30, lambda most: {"sweep": {"grid": {"learning_rate": [most]}}}),
        ("/sweep/grid/weight_decay/0", 1e30, lambda most: {"sweep": {"grid": {"weight_decay": [most]}}}),
        ("/sweep/points/0/learning_rate", 1e30, lambda most: {"sweep": {"points": [{"learning_rate": most}]}}),
        ("/sweep/points/0/weight_decay", 1e30, lambda most: {"sweep": {"points": [{"weight_decay": most}]}}),
        (
            "/sweep/random/learning_rate/high",
            1e30,
            lambda most: {"sweep": {"random": {"count": 1, "learning_rate": {"low": 1.0, "high": most}}}},
        ),
        ("/rivals/retrain/learning_rate", 1e30, lambda most: of_a_rival("retrain", {"learning_rate": most})),
        ("/rivals/retrain/weight_decay", 1e30, lambda most: of_a_rival("retrain", {"weight_decay": most})),
        ("/rivals/l1_sparse/strength", 1e38, lambda most: of_a_rival("l1_sparse", {"strength": most})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_multiplies_weights_is_within_what_float32_can_tell(
    pointer: str, most: float, part: Callable[[float], dict[str, Any]]
) -> None:
    parse(VALID | part(most))
    assert pointers(VALID | part(most * 1.01)) == [pointer]


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_linearised_model_is_trained_in_float32_alone(precision: str) -> None:
    linearised = {"base_model": VALID["base_model"] | {"linearised": True}}
    assert parse(VALID | linearised | {"precision": precision}).precision == precision
    assert pointers(VALID | linearised | {"precision": "bfloat16"}) == ["/precision"]


def test_the_spec_of_the_design_is_taken_as_it_stands() -> None:
    spec = parse(VALID)
    assert spec.sweep.grid is not None
    assert spec.sweep.grid.epochs == [1, 2, 3]
    assert spec.methods() == ["negmerge", "task_arithmetic", "uniform", "ties", "magmax"]


def test_defaults_are_the_published_ones() -> None:
    spec = parse({key: VALID[key] for key in ("base_model", "forget", "retain", "sweep")})
    assert (spec.merge.method, spec.merge.agreement, spec.scale_search.keep) == ("negmerge", 1.0, 0.95)
    assert (spec.scale_search.extend, spec.sweep.on_diverged, spec.compare) == (True, "leave_out", [])


def test_a_spec_survives_json_and_back() -> None:
    spec = parse(VALID)
    assert parse(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


WRONG: list[tuple[str, Any, str]] = [
    # (where it is put, what, the pointer that must come back)
    ("/colour", "red", "/colour"),
    ("/precision", "float16", "/precision"),
    ("/precision", None, "/precision"),
    ("/sweep/grid/learning_rates", [1e-5], "/sweep/grid/learning_rates"),
    ("/base_model/revision", "x", "/base_model/revision"),
    ("/base_model/family", "resnet", "/base_model/family"),
    ("/base_model/family", ["open_clip"], "/base_model/family"),
    ("/base_model", {"weights": "openai"}, "/base_model/family"),
    ("/base_model", {"family": "open_clip"}, "/base_model/weights"),
    ("/base_model", "ViT-B-32", "/base_model"),
    ("/base_model/weights", "", "/base_model/weights"),
    ("/base_model/weights", "open\x00ai", "/base_model/weights"),
    ("/base_model/architecture", 3, "/base_model/architecture"),
    ("/base_model/architecture", {"embed_dim": math.nan}, "/base_model/architecture/embed_dim"),
    ("/forget/uri", "https://example.org/a.zip", "/forget"),
    ("/forget", {"select": {"classes": ["seven"]}}, "/forget"),
    ("/forget", {"dataset": "ds_1"}, "/forget"),
    ("/forget/select/fraction", 0.1, "/forget/select"),
    ("/forget/select", {}, "/forget/select"),
    ("/forget/select", {"classes": []}, "/forget/select/classes"),
    ("/forget/select", {"ids": ["a", ""]}, "/forget/select/ids/1"),
    ("/forget/select", {"fraction": 1.0}, "/forget/select/fraction"),
    ("/forget/select", {"fraction": math.nan}, "/forget/select/fraction"),
    ("/forget/select/seed", -1, "/forget/select/seed"),
    ("/retain", {"torchvision": "MNIST"}, "/retain/root"),
    ("/retain", {"torchvision": "FakeData", "root": "/data"}, "/retain/torchvision"),
    ("/forget", {"torchvision": "mnist", "root": "/data"}, "/forget/torchvision"),
    ("/sweep", {}, "/sweep"),
    ("/sweep/preset", "clip-cars", "/sweep"),
    ("/sweep", {"preset": "clip-horses"}, "/sweep/preset"),
    ("/sweep/seed", 2**63, "/sweep/seed"),
    ("/sweep/on_diverged", "ignore", "/sweep/on_diverged"),
    ("/sweep/grid", {}, "/sweep/grid"),
    ("/sweep/grid", {"learning_rate": None}, "/sweep/grid"),
    ("/sweep/grid", [], "/sweep/grid"),
    ("/sweep/grid/epochs", [], "/sweep/grid/epochs"),
    ("/sweep/grid/epochs/2", 0, "/sweep/grid/epochs/2"),
    ("/sweep/grid/epochs/2", 1.5, "/sweep/grid/epochs/2"),
    ("/sweep/grid/epochs/2", True, "/sweep/grid/epochs/2"),
    ("/sweep/grid/learning_rate/1", -1e-5, "/sweep/grid/learning_rate/1"),
    ("/sweep/grid/learning_rate/1", 0, "/sweep/grid/learning_rate/1"),
    ("/sweep/grid/learning_rate/1", math.nan, "/sweep/grid/learning_rate/1"),
    ("/sweep/grid/learning_rate/1", math.inf, "/sweep/grid/learning_rate/1"),
    ("/sweep/grid/learning_rate/1", "1e-5", "/sweep/grid/learning_rate/1"),
    ("/sweep/grid/learning_rate/1", 10**400, "/sweep/grid/learning_rate/1"),
    ("/sweep/grid/weight_decay/0", -0.1, "/sweep/grid/weight_decay/0"),
    ("/sweep/grid/label_smoothing", [1.0], "/sweep/grid/label_smoothing/0"),
    ("/sweep/grid/randaugment", [{"magnitude": 11, "operations": 1}], "/sweep/grid/randaugment/0/magnitude"),
    ("/sweep/grid/randaugment", [None, {"magnitude": 1}], "/sweep/grid/randaugment/1/operations"),
    ("/sweep", {"points": []}, "/sweep/points"),
    ("/sweep", {"points": [{}, {"batch_size": 0}]}, "/sweep/points/1/batch_size"),
    ("/sweep", {"random": {"count": 0, "epochs": [1]}}, "/sweep/random/count"),
    ("/sweep", {"random": {"count": 3}}, "/sweep/random"),
    ("/sweep", {"random": {"count": 3, "learning_rate": []}}, "/sweep/random/learning_rate"),
    ("/sweep", {"random": {"count": 3, "learning_rate": [1e-5, -1]}}, "/sweep/random/learning_rate/1"),
    ("/sweep", {"random": {"count": 3, "learning_rate": "1e-5"}}, "/sweep/random/learning_rate"),
    (
        "/sweep",
        {"random": {"count": 3, "learning_rate": INTERVAL | {"high": 1e-7}}},
        "/sweep/random/learning_rate/high",
    ),
    (
        "/sweep",
        {"random": {"count": 3, "weight_decay": INTERVAL | {"low": 0}}},
        "/sweep/random/weight_decay/low",
    ),
    (
        "/sweep",
        {"random": {"count": 3, "label_smoothing": {"low": 0, "high": 1}}},
        "/sweep/random/label_smoothing",
    ),
    (
        "/sweep",
        {"random": {"count": 3, "learning_rate": INTERVAL | {"step": 1}}},
        "/sweep/random/learning_rate/step",
    ),
    ("/merge/method", "average", "/merge/method"),
    ("/merge/agreement", 0, "/merge/agreement"),
    ("/merge/density", 1.01, "/merge/density"),
    ("/scale_search/keep", 1.01, "/scale_search/keep"),
    ("/scale_search/keep", math.nan, "/scale_search/keep"),
    ("/scale_search/rule", "target", "/scale_search/target"),
    ("/scale_search/scale", 1.0, "/scale_search/scale"),
    ("/scale_search", {"rule": "fixed", "scale": MAX_SCALE + 1}, "/scale_search/scale"),
    ("/scale_search", {"rule": "match_retrained"}, "/compare"),
    ("/compare/1", "average", "/compare/1"),
    ("/compare/1", "ties", "/compare"),
    ("/compare", ["greedy"], "/keep_task_vectors"),
    ("/keep_task_vectors", 1, "/keep_task_vectors"),
    ("/metadata/ticket", 1234, "/metadata/ticket"),
    ("/metadata/str", 1234, "/metadata/str"),
    ("/metadata/list[a]", 1234, "/metadata/list[a]"),
    ("/metadata", {"a/b~c": 1}, "/metadata/a~1b~0c"),
    ("/metadata", {"": "x"}, "/metadata/"),
    ("/metadata", {"k" * 65: "x"}, "/metadata/" + "k" * 65),
    ("/metadata", {"k": "x" * 513}, "/metadata/k"),
    ("/metadata", {"k": "a\x00b"}, "/metadata/k"),
    ("/metadata", {str(i): "x" for i in range(17)}, "/metadata"),
]


@pytest.mark.parametrize(("place", "value", "pointer"), WRONG)
def test_each_wrong_field_is_named_by_its_pointer(place: str, value: Any, pointer: str) -> None:
    assert pointers(changed(place, value)) == [pointer]


@pytest.mark.parametrize("key", ["base_model", "forget", "retain", "sweep"])
def test_a_missing_part_is_named(key: str) -> None:
    assert pointers({name: part for name, part in VALID.items() if name != key}) == [f"/{key}"]


@pytest.mark.parametrize("document", [None, [], "spec", 3])
def test_a_document_that_is_no_object_is_an_error_of_the_whole(document: Any) -> None:
    assert pointers(document) == [""]


def test_all_wrong_fields_come_at_once_in_document_order() -> None:
    document = changed("/scale_search/keep", 2)
    document["sweep"]["grid"]["learning_rate"] = [-1, 1e-5, -2]
    document["colour"] = "red"
    assert pointers(document) == [
        "/sweep/grid/learning_rate/0",
        "/sweep/grid/learning_rate/2",
        "/scale_search/keep",
        "/colour",
    ]


def test_the_message_names_every_wrong_field() -> None:
    with pytest.raises(SpecError, match=r"^/scale_search/keep: .* less than or equal to 1$"):
        parse(changed("/scale_search/keep", 1.5))


def test_a_field_named_like_a_union_branch_keeps_its_place() -> None:
    assert pointers(changed("/base_model/open_clip", 1)) == ["/base_model/open_clip"]


def test_an_architecture_too_deep_to_store_is_refused() -> None:
    config: Any = 1
    for _ in range(300):
        config = {"layer": config}
    [pointer] = pointers(changed("/base_model/architecture", config))
    assert pointer.startswith("/base_model/architecture/layer/")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(node: Any, pointer: str = "") -> list[str]:
    """The pointer of every value below ``node``."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    below = [(f"{pointer}/{key}", value) for key, value in items]
    return [place for place, _ in below] + [p for place, value in below for p in places(value, place)]


@given(st.sampled_from(places(VALID)), JSON)
def test_whatever_stands_in_a_field_the_answer_is_a_spec_or_errors_about_that_place(place: str, value: Any) -> None:
    try:
        spec = parse(changed(place, value))
    except SpecError as error:
        found = [one.pointer for one in error.errors]
    else:
        assert isinstance(spec, JobSpec)
        return
    assert found
    for pointer in found:  # at the place, below it, or above it
        assert pointer.startswith(place) or place.startswith(pointer)


@pytest.mark.parametrize(
    ("select", "rule"),
    [
        ({"classes": ["seven"]}, "lowest_forget"),
        (None, "lowest_forget"),
        ({"ids": ["seven/1.png"]}, "match_unseen"),
        ({"fraction": 0.1, "seed": 1}, "match_unseen"),
    ],
)
def test_the_rule_for_the_scale_follows_what_is_forgotten(select: Any, rule: str) -> None:
    assert parse(changed("/forget", {"dataset": "ds_2", "select": select})).scale_rule == rule


def test_a_rule_that_is_given_stands() -> None:
    assert parse(changed("/scale_search", {"rule": "target", "target": 0.1})).scale_rule == "target"


def test_the_jobs_method_stands_first_and_once() -> None:
    document = changed("/compare", ["uniform", "ties"]) | {"merge": {"method": "ties"}}
    assert parse(document).methods() == ["ties", "uniform"]


def test_data_sets_are_the_same_whatever_is_selected_from_them() -> None:
    spec = parse(VALID)
    assert spec.forget.source == spec.retain.source
    assert spec.forget.source != parse(changed("/forget/dataset", "ds_2")).forget.source


def test_a_spec_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(VALID).keep_task_vectors = True  # type: ignore[misc]


def test_no_names_are_listed_as_none() -> None:
    assert (listed(["a", "b"]), listed([])) == ("a, b", "none")


@pytest.mark.slow
def test_the_spec_loads_neither_torch_nor_numpy() -> None:
    script = "import sys, negmerge.spec.job; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_of_a_very_long_list_only_the_first_wrong_item_is_told() -> None:
    document = VALID | {"forget": {"dataset": "ds_1", "select": {"ids": [0] * 1000}}}
    with pytest.raises(SpecError) as raised:
        parse(document)
    assert [error.pointer for error in raised.value.errors] == ["/forget/select/ids/0"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("/retain/uri", {"uri": "file:///" + 2048 * "a/"}),
        ("/retain/dataset", {"dataset": 4097 * "d"}),
        ("/retain/root", {"torchvision": "MNIST", "root": "/" + 4096 * "a"}),
    ],
)
def test_a_place_is_no_longer_than_a_path_may_be(place: str, value: dict[str, Any]) -> None:
    """Resolving a path takes time as the square of its parts: a body of 4 MB kept the API busy for minutes."""
    assert pointers(changed("/retain", value)) == [place]


def test_what_is_listed_twice_is_selected_once_in_its_first_place() -> None:
    select = Select.model_validate({"ids": ["b", "a", "b"]})
    assert select.ids == ["b", "a"]
    assert Select.model_validate({"classes": ["x", "x"]}).classes == ["x"]
