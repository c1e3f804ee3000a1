"""A result's view below any browser: which samples its figures are of, at which scale, and what is whose word."""

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.page import charts
from negmerge.spec.result import MethodRow
from tests.support import page_results, results
from tests.support.api_client import Api
from tests.support.page_results import curve

IDS = [f"seven/{number}.png" for number in range(20)]


def seen(client: TestClient, job_id: str) -> str:
    return re.sub(r"\s+", " ", client.get(f"/jobs/{job_id}").text)


def rows(text: str, section: str) -> list[list[str]]:
    """The cells of the table of a section, as text."""
    part = text[text.index(f'aria-labelledby="{section}"') :]
    body = part[part.index("<tbody>") : part.index("</tbody>")]
    lines = re.findall(r"<tr.*?</tr>", body)
    return [[re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", line)] for line in lines]


def of_samples(api: Api) -> str:
    files = {"result.json": json.dumps(page_results.of_samples(4).as_json()).encode()}
    return api.finished_job(files, forget={"dataset": "ds_1", "select": {"ids": IDS}})


def asked_as(api: Api, **spec: Any) -> str:
    """A job with a result, whose spec says this."""
    return api.finished_job({"result.json": json.dumps(page_results.of_samples(4).as_json()).encode()}, **spec)


def facts(text: str) -> dict[str, str]:
    """What the view says was asked for, by its names."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text)
    return {name: re.sub("<[^>]+>", "", told).strip() for name, told in found}


@pytest.mark.parametrize(
    ("retain", "told"),
    [
        ({"dataset": "ds_1"}, "all else of the same data set"),
        ({"dataset": "ds_1", "select": {"classes": ["two"]}}, "the class “two” of ds_1"),
        ({"dataset": "ds_2"}, "ds_2"),
        ({"dataset": "ds_2", "select": {"classes": ["two"]}}, "the class “two” of ds_2"),
    ],
)
def test_what_was_to_stay_is_told_as_it_was_asked(
    client: TestClient, api: Api, retain: dict[str, Any], told: str
) -> None:
    forget = {"dataset": "ds_1", "select": {"classes": ["seven"]}}
    assert facts(seen(client, asked_as(api, forget=forget, retain=retain)))["Keeps"] == told


def test_a_gates_limit_is_told_as_it_was_written(client: TestClient, api: Api) -> None:
    require = {"forget_max": 0.05555, "retain_min": 0.9}
    told = facts(seen(client, asked_as(api, require=require)))["Requires"]
    assert told == "forget accuracy at most 5.555 %; retain accuracy at least 90 %"


def test_a_class_of_which_samples_were_to_go_is_not_said_to_go_itself(client: TestClient, api: Api) -> None:
    found = {row[0]: row[2:] for row in rows(seen(client, of_samples(api)), "classes")}
    assert found == {
        "seven 20 listed samples of it, to be forgotten": ["100.0 %", "20.0 %"],
        "seven what stays of it": ["100.0 %", "70.0 %"],
        "one": ["100.0 %", "95.0 %"],
    }


def test_a_class_that_was_to_go_is_said_so(client: TestClient, api: Api) -> None:
    found = [row[0] for row in rows(seen(client, page_results.finished(api)), "classes")]
    assert found == ["seven to be forgotten", "one", "two"]


def test_every_model_is_told_on_the_data_that_the_sentence_is_about(client: TestClient, api: Api) -> None:
    found = [[row[0], row[1][:6], row[3]] for row in rows(seen(client, page_results.finished(api)), "models")]
    assert found == [["base model", "100.0 ", "–"], ["NegMerge", "5.0 % ", "0.5"], ["uniform mean", "10.0 %", "1"]]


def test_without_scripts_the_figures_at_the_chosen_scale_are_there(client: TestClient, api: Api) -> None:
    found = rows(seen(client, page_results.finished(api)), "scales")
    assert found == [
        ["NegMerge", "25.0 %", "95.0 %", "0.5"],
        ["uniform mean not measured here", "–", "–", "1"],
    ]


def test_a_method_that_was_not_measured_so_far_says_how_far(client: TestClient, api: Api) -> None:
    methods = page_results.methods() | {
        "uniform": MethodRow(scale=0.25, curve=curve((0.0, 20, 20), (0.25, 2, 18)), **page_results.tested(2, one=20))
    }
    found = rows(seen(client, page_results.finished(api, methods=methods)), "scales")
    assert found[1][0] == "uniform mean not measured beyond λ = 0.25"


def test_the_slider_steps_over_every_scale_that_any_method_was_tried_at() -> None:
    methods = {
        "base": MethodRow(),
        "negmerge": MethodRow(scale=1.0, curve=curve((0.0, 20, 20), (1.0, 0, 20))),
        "uniform": MethodRow(scale=2.0, curve=curve((0.0, 20, 20), (0.5, 9, 20), (2.0, 0, 20))),
    }
    drawn = charts.curves(results.document(methods=methods))
    assert drawn.scales == [0.0, 0.5, 1.0, 2.0]
    assert [line.at(2.0) for line in drawn.lines] == [None, (0.0, 1.0)]


def test_what_somebody_noted_stands_apart_from_the_facts(client: TestClient, api: Api) -> None:
    text = seen(client, page_results.finished(api, metadata={"Forgets": "nothing at all"}))
    facts, notes = re.findall(r'<dl class="facts.*?</dl>', text[text.index("What was asked for") :])[:2]
    assert "nothing at all" not in facts
    assert "<dt>Forgets</dt><dd>nothing at all</dd>" in notes
    assert "Notes of whoever asked" in text


def test_a_sweep_that_the_service_chose_says_so_and_why(client: TestClient, api: Api) -> None:
    chosen: dict[str, Any] = api.post("/v1/jobs", json=api.spec() | {"sweep": "auto"}).json()
    text = seen(client, chosen["id"])
    assert "chosen by the service, as “auto” was asked for." in text
    assert chosen["sweep_chosen"]["why"][:40] in text
    assert "as it was submitted" not in text
