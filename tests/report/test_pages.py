"""The summary table, the report and the model card of a real result."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.evaluation.metrics import Count, Evaluation
from negmerge.report import pages, plots, summary
from negmerge.spec import words
from negmerge.spec.figures import SIDES
from negmerge.spec.references import BaseModelSpec, OpenClipModel, TimmModel
from negmerge.spec.result import Gate, ResultDocument, load_result
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
    reason = "λ = 0 was chosen, so the weights are as they were."
    nothing = result.model_copy(update={"outcome": "nothing_unlearned", "outcome_reason": reason})
    for page in (pages.html(nothing), pages.model_card(nothing)):
        assert "Nothing unlearned" in page
        assert reason in page


def test_a_report_begins_with_its_outcome_and_one_sentence(result: ResultDocument) -> None:
    page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", pages.html(result), flags=re.DOTALL)
    said = [" ".join(text.split()) for text in page.splitlines() if text.strip()]
    at = said.index(f"Unlearned : {words.forgotten(result.spec.forget.select)}")
    assert said[at + 1 : at + 3] == [words.sentence(result), result.outcome_reason]


def test_gates_are_told_one_by_one_with_what_the_samples_can_show(result: ResultDocument) -> None:
    figure = Evaluation(Count(1, 18), {}).record()
    gates = [
        Gate(gate="forget_max", limit=0.1, figure=figure, passed=True, sure=False),
        Gate(gate="retain_min", limit=0.9, figure=None, passed=False, sure=False),
    ]
    page = pages.html(result.model_copy(update={"gates": gates}))
    rows = re.findall(r'<tr><th scope="row">((?:forget|retain).*?)</th>.*?<td class="left">(.*?)</td></tr>', page)
    assert rows == [
        ("forget accuracy at most 10 %", "met, not sure: too few samples"),
        ("retain accuracy at least 90 %", "missed: no samples to judge it by"),
    ]


def test_all_figures_stand_in_one_table(result: ResultDocument) -> None:
    table = summary.comparison(result)
    assert [column.heading for column in table.columns][:3] == [
        "scale λ",
        "forget accuracy, test",
        "retain accuracy, test",
    ]
    assert [line.label for line in table.lines] == [
        "base model",
        "best single",
        "uniform mean",
        "worst single",
        "NegMerge",
    ]


def test_the_cells_of_the_table_are_the_figures_with_their_intervals(result: ResultDocument) -> None:
    table, own = summary.comparison(result), result.methods["negmerge"]
    assert table.lines[-1].cells[1:3] == [
        words.with_interval(own.figure("test", "forget")),
        words.with_interval(own.figure("test", "retain")),
    ]


def test_what_all_points_share_is_said_once_and_stands_in_no_row(result: ResultDocument) -> None:
    assert "The same in all 4 points: " in pages.html(result)
    assert pages.html(result).count("batch size") == 1


def test_tables_and_pictures_can_be_read_aloud(result: ResultDocument) -> None:
    page = pages.html(result)
    headings = re.findall(r"<th\b[^>]*>", page)
    assert headings
    assert [tag for tag in headings if "scope=" not in tag] == []
    pictures = re.findall(r"<svg\b[^>]*>\n?(?:<title>([^<]+)</title>)?", re.sub(r"<svg class.*?</svg>", "", page))
    assert len(pictures) == 3
    assert all(pictures)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_dots_of_one_layer_are_never_drawn_over_each_other(shares: list[float]) -> None:
    placed = list(plots.apart(shares))
    assert sorted(share for share, _ in placed) == sorted(shares)
    for lane in {lane for _, lane in placed}:
        along = [share for share, other in placed if other == lane]
        assert all(b - a >= plots.NEAR for a, b in itertools.pairwise(along))


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
    assert words.percent(None) == "–"


def test_an_accuracy_comes_with_its_interval() -> None:
    """1 of 18 at 95 %: Wilson's interval is 0.0099 to 0.2576 (R's prop.test(1, 18, correct = FALSE))."""
    assert words.with_interval(Evaluation(Count(1, 18), {}).record()) == "5.6 % (1.0–25.8)"
