"""The summary table, the report and the model card of a real result."""

from typing import Any

import pytest

from negmerge.evaluation.metrics import Count, Evaluation
from negmerge.report import pages as report
from negmerge.report import summary
from negmerge.spec import caveats
from tests.support import local_job


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return local_job.run(tmp_path_factory.mktemp("report"), compare=["task_arithmetic", "uniform"])


def test_the_table_has_a_row_for_every_model_and_the_jobs_own_last(result: dict[str, Any]) -> None:
    labels = [row.label for row in summary.rows(result)]
    assert labels == ["base model", "best single", "worst single", "uniform mean", "NegMerge"]


def test_singles_are_ranked_by_the_validation_rule(result: dict[str, Any]) -> None:
    forget = [point["validation"]["forget"]["correct"] for point in summary.singles(result)]
    assert forget == sorted(forget)


def test_task_arithmetic_is_the_best_single(result: dict[str, Any]) -> None:
    best = summary.singles(result)[0]
    merged = result["methods"]["task_arithmetic"]
    assert (merged["scale"], merged["test"]["forget"]["correct"], merged["test"]["retain"]["correct"]) == (
        best["scale"],
        best["test"]["forget"]["correct"],
        best["test"]["retain"]["correct"],
    )


def test_a_name_from_outside_is_escaped_in_the_page(result: dict[str, Any]) -> None:
    hostile = dict(result, spec=dict(result["spec"], metadata={"ticket": "<script>alert(1)</script>"}))
    assert "<script>" not in report.html(hostile)


def test_the_same_result_gives_the_same_page(result: dict[str, Any]) -> None:
    assert report.html(result) == report.html(result)


def test_a_scale_of_zero_is_said_aloud(result: dict[str, Any]) -> None:
    nothing = dict(result, warnings=caveats.of_result(dict(result, nothing_unlearned=True)))
    assert "nothing was unlearned" in report.html(nothing)
    assert "nothing was unlearned" in report.model_card(nothing)


def test_the_report_loads_nothing_from_elsewhere(result: dict[str, Any]) -> None:
    page = report.html(result)
    assert "src=" not in page
    assert "<link" not in page
    assert "@import" not in page


def test_a_result_document_says_what_the_design_asks_for(result: dict[str, Any]) -> None:
    asked = {"job", "spec", "method", "scale", "scale_at_edge", "consensus", "methods", "points", "left_out"}
    assert asked | {"splits", "digests", "environment", "rounded_away"} <= result.keys()


def test_the_card_names_the_digest_of_the_weights(result: dict[str, Any]) -> None:
    assert result["digests"]["unlearned"] in report.model_card(result)


@pytest.mark.parametrize("family", ["open_clip", "timm"])
def test_the_card_says_how_its_own_library_loads_the_folder(result: dict[str, Any], family: str) -> None:
    spec = result["spec"] | {"base_model": result["spec"]["base_model"] | {"family": family}}
    assert f'`{family}.create_model("local-dir:PATH"' in report.model_card(result | {"spec": spec})


def test_figures_without_samples_are_a_dash_and_not_a_zero() -> None:
    assert report.percent(None) == "–"


def test_an_accuracy_comes_with_its_interval() -> None:
    """1 of 18 at 95 %: Wilson's interval is 0.0099 to 0.2576 (R's prop.test(1, 18, correct = FALSE))."""
    count = Evaluation(Count(1, 18), {}).as_json()
    assert report.with_interval(summary.figure({"test": {"forget": count}}, "forget")) == "5.6 % (1.0–25.8)"
