"""The summary table, the report and the model card of a real result."""

import pytest

from negmerge.evaluation.metrics import Count, Evaluation
from negmerge.report import pages, summary
from negmerge.spec import caveats
from negmerge.spec.job import BaseModelSpec, OpenClipModel, TimmModel
from negmerge.spec.result import SIDES, ResultDocument, load_result
from tests.support import local_job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ResultDocument:
    folder = tmp_path_factory.mktemp("report")
    local_job.run(folder, compare=["task_arithmetic", "uniform"])
    return load_result(folder / "out")


def test_the_table_has_a_row_for_every_model_and_the_jobs_own_last(result: ResultDocument) -> None:
    labels = [row.label for row in summary.rows(result)]
    assert labels == ["base model", "best single", "worst single", "uniform mean", "NegMerge"]


def test_singles_are_ranked_by_the_validation_rule(result: ResultDocument) -> None:
    forget = [figure.correct for point in result.singles() if (figure := point.figure("validation", "forget"))]
    assert len(forget) == 4
    assert forget == sorted(forget)


def test_task_arithmetic_is_the_best_single(result: ResultDocument) -> None:
    best, merged = result.singles()[0], result.methods["task_arithmetic"]
    assert merged.scale == best.scale
    for side in SIDES:
        one, other = merged.figure("test", side), best.figure("test", side)
        assert one is not None
        assert other is not None
        assert one.correct == other.correct


def test_a_name_from_outside_is_escaped_in_the_page(result: ResultDocument) -> None:
    spec = result.spec.model_copy(update={"metadata": {"ticket": "<script>alert(1)</script>"}})
    hostile = result.model_copy(update={"spec": spec})
    assert "<script>" not in pages.html(hostile)


def test_the_same_result_gives_the_same_page(result: ResultDocument) -> None:
    assert pages.html(result) == pages.html(result)


def test_a_scale_of_zero_is_said_aloud(result: ResultDocument) -> None:
    nothing = result.model_copy(update={"nothing_unlearned": True})
    nothing = nothing.model_copy(update={"warnings": caveats.of_result(nothing)})
    assert "nothing was unlearned" in pages.html(nothing)
    assert "nothing was unlearned" in pages.model_card(nothing)


def test_the_report_loads_nothing_from_elsewhere(result: ResultDocument) -> None:
    page = pages.html(result)
    assert "src=" not in page
    assert "<link" not in page
    assert "@import" not in page


def test_a_result_document_says_what_the_design_asks_for(result: ResultDocument) -> None:
    asked = {"job", "spec", "method", "scale", "scale_at_edge", "consensus", "methods", "points", "left_out"}
    assert asked | {"splits", "digests", "environment", "rounded_away"} <= result.as_json().keys()


def test_the_card_names_the_digest_of_the_weights(result: ResultDocument) -> None:
    assert result.digests.unlearned in pages.model_card(result)


@pytest.mark.parametrize(
    ("family", "base_model"),
    [
        ("open_clip", OpenClipModel(family="open_clip", weights="model")),
        ("timm", TimmModel(family="timm", weights="model")),
    ],
)
def test_the_card_says_how_its_own_library_loads_the_folder(
    result: ResultDocument, family: str, base_model: BaseModelSpec
) -> None:
    spec = result.spec.model_copy(update={"base_model": base_model})
    card = pages.model_card(result.model_copy(update={"spec": spec}))
    assert f'`{family}.create_model("local-dir:PATH"' in card


def test_figures_without_samples_are_a_dash_and_not_a_zero() -> None:
    assert pages.percent(None) == "–"


def test_an_accuracy_comes_with_its_interval() -> None:
    """1 of 18 at 95 %: Wilson's interval is 0.0099 to 0.2576 (R's prop.test(1, 18, correct = FALSE))."""
    assert pages.with_interval(Evaluation(Count(1, 18), {}).record()) == "5.6 % (1.0–25.8)"
