"""What the form of a new request offers and tells, below any browser: what it shows is what it asks for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.page import asking, lists
from app.page.rendering import environment
from tests.support import records
from tests.support.api_client import Api, png, weights, zipped
from tests.support.page_visits import HERE, enter, key_of, token_of

TEXT_FIELD = re.compile(
    r'<(?:input(?![^>]*type="(?:radio|range|checkbox)")[^>]* value="|textarea[^>]*>)\{\{ (?P<held>.*?) \}\}'
)


@dataclass(frozen=True)
class Kept:
    """Ids of what a tenant has: of data sets and models the older and the newest, and pictures without classes."""

    old: str
    new: str
    flat: str
    old_model: str
    new_model: str


@pytest.fixture(scope="module")
def kept(api: Api) -> Kept:
    """Two data sets, two models, and a data set without classes, which came last."""
    archive = zipped({f"{name}/{n}.png": png(n) for name in ("a", "b") for n in range(10)})
    flat = zipped({f"{n}.png": png(n) for n in range(3)})
    old, new, loose = (
        str(api.upload_dataset(content, name=name).json()["id"])
        for name, content in (("nightly 1", archive), ("nightly 2", archive), ("loose", flat))
    )
    models = [str(api.upload_model(weights(), name=name).json()["id"]) for name in ("first", "second")]
    return Kept(old, new, loose, *models)


@pytest.fixture
def form(api: Api, kept: Kept) -> Iterator[TestClient]:
    """A browser without any script, signed in."""
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    yield api.client
    api.client.cookies.clear()


@pytest.fixture
def newest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of data sets and models one each is offered without a search."""
    monkeypatch.setattr(lists, "MOST", 1)


def options(answer: Response, name: str) -> dict[str, str]:
    """What a field offers, by value, with the attributes of each."""
    [held] = re.findall(rf'<select id="{name}".*?</select>', answer.text, re.DOTALL)
    return dict(re.findall(r'<option value="([^"]*)"([^>]*)>', held))


def selected(answer: Response, name: str) -> str:
    """What a browser shows and sends: what is marked, else the first."""
    offered = options(answer, name)
    return next((value for value, marks in offered.items() if "selected" in marks), next(iter(offered)))


def send(form: TestClient, fields: dict[str, str], **headers: str) -> Response:
    given = {"token": token_of(form), "once": "0" * 32, "sweep": "own", "epochs": "1, 2"} | fields
    return form.post("/new", data=given, headers=HERE | headers)


def told(answer: Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<.*?>", "", answer.text))


@pytest.mark.usefixtures("newest_only")
def test_what_an_address_names_is_selected_however_old_it_is(form: TestClient, kept: Kept) -> None:
    answer = form.get(f"/new?dataset={kept.old}&retain={kept.old}&model={kept.old_model}")
    shown = [selected(answer, name) for name in ("dataset", "retain", "model")]
    assert shown == [kept.old, kept.old, kept.old_model]


@pytest.mark.usefixtures("newest_only")
def test_what_was_chosen_is_selected_again_however_old_it_is(form: TestClient, kept: Kept) -> None:
    given = {"dataset": kept.old, "retain": kept.old, "model": kept.old_model}
    answer = send(form, given | {"epochs": "many", "do": "begin"})
    assert answer.status_code == 422
    assert {name: selected(answer, name) for name in given} == given


@pytest.mark.usefixtures("newest_only")
@pytest.mark.parametrize("text", ["NIGHTLY 1", "{old}"])
def test_an_older_data_set_is_found_by_its_name_and_by_its_id(form: TestClient, kept: Kept, text: str) -> None:
    assert kept.old not in options(form.get(f"/new?dataset={kept.new}"), "retain")
    answer = form.get("/new", params={"dataset": kept.new, "find_retain": text.format(old=kept.old)})
    assert kept.old in options(answer, "retain")
    assert (selected(answer, "retain"), selected(answer, "dataset")) == ("", kept.new)


@pytest.mark.usefixtures("newest_only")
def test_an_older_model_is_found_and_none_is_chosen_by_that(form: TestClient, kept: Kept) -> None:
    answer = form.get("/new?find_model=first")
    assert (list(options(answer, "model")), selected(answer, "model")) == (["", kept.old_model], "")


def test_without_older_ones_nothing_is_searched_for(form: TestClient) -> None:
    assert 'name="find_' not in form.get("/new").text


@pytest.mark.parametrize("name", ["dataset", "retain", "model"])
def test_what_is_gone_is_still_what_the_form_asks_for(form: TestClient, name: str) -> None:
    assert selected(form.get(f"/new?{name}=gone"), name) == "gone"


def test_another_tenants_data_sets_are_not_found(form: TestClient, api: Api) -> None:
    files = {"file": ("theirs.zip", zipped({f"{name}/{n}.png": png(n) for name in ("a", "b") for n in range(3)}))}
    theirs = api.post("/v1/datasets", files=files, headers=api.key("rival"))
    assert theirs.status_code == 201, theirs.text
    answer = form.get(f"/new?find_dataset=theirs&dataset={theirs.json()['id']}")
    assert "theirs.zip" not in answer.text


@pytest.mark.usefixtures("newest_only")
def test_the_list_of_jobs_names_data_sets_however_old_they_are(form: TestClient, kept: Kept, api: Api) -> None:
    records.make_job(api.database, forget={"dataset": kept.old}, retain={"dataset": kept.new})
    answer = form.get(f"/?dataset={kept.old}")
    assert selected(answer, "dataset") == kept.old
    assert answer.text.count("nightly 1") == 2  # where it is searched for, and beside the job


def test_a_data_set_that_is_gone_is_still_what_the_list_is_narrowed_to(form: TestClient) -> None:
    assert selected(form.get("/?dataset=ds_gone"), "dataset") == "ds_gone"


def test_pictures_without_classes_are_offered_for_no_job(form: TestClient, kept: Kept) -> None:
    answer = form.get("/new")
    assert kept.flat not in options(answer, "dataset") | options(answer, "retain")
    assert selected(answer, "dataset") == kept.new


def test_pictures_without_classes_say_what_they_are_good_for(form: TestClient, kept: Kept) -> None:
    about = form.get(f"/datasets/{kept.flat}").text
    assert "Forget some of it" not in about
    assert "Look for pictures in it" in about
    assert "has no classes, and a job needs them" in form.get(f"/new?dataset={kept.flat}").text


def test_enter_in_a_field_presses_what_only_judges(form: TestClient) -> None:
    """A browser takes the form's first button for it."""
    [asked] = re.findall(r'<form id="request".*?</form>', form.get("/new").text, re.DOTALL)
    [first, *_] = re.findall(r"<button[^>]*>", re.sub(r'<button type="button".*?>', "", asked))
    assert 'value="check"' in first


def test_what_is_wrong_names_its_field_wherever_it_is_told(form: TestClient) -> None:
    answer = send(form, {"forget_max": "x", "retain_min": "y", "epochs": "z"}, **{"HX-Request": "true"})
    for name in ("forget_max", "retain_min", "epochs"):
        assert f"{asking.LABELS[name]}: Give" in told(answer)


def test_every_place_of_the_form_has_a_name(form: TestClient) -> None:
    notes = set(re.findall(r'id="wrong-(\w+)"', form.get("/new").text))
    assert notes == set(asking.LABELS)


@pytest.mark.parametrize("template", environment().list_templates())
def test_what_a_field_holds_is_written_as_it_is_and_not_as_it_is_shown(template: str) -> None:
    """What is shown has its line breaks and unseen characters escaped; a field that held that would send it."""
    loader = environment().loader
    assert loader is not None
    held = [match["held"] for match in TEXT_FIELD.finditer(loader.get_source(environment(), template)[0])]
    assert [expression for expression in held if not expression.endswith("| e")] == []


def test_a_form_that_a_script_sends_after_the_session_is_told_so_and_stays(form: TestClient) -> None:
    form.cookies.clear()
    for header in ("HX-Request", "X-Form-Token"):
        answer = form.post("/new", data={}, headers=HERE | {header: "true"}, follow_redirects=False)
        assert (answer.status_code, "hx-redirect" in answer.headers) == (401, False)
        assert "your session has ended: sign in again in another tab" in answer.text


@pytest.mark.parametrize(
    ("view", "place"),
    [
        ("http://testserver/jobs/job_1?a=b", "%2Fjobs%2Fjob_1%3Fa%3Db"),
        ("http://evil.example/jobs", "%2F"),
        ("http://[", "%2F"),
        ("", "%2F"),
    ],
)
def test_after_the_session_one_comes_back_to_the_view_from_which_something_was_sent(
    form: TestClient, view: str, place: str
) -> None:
    form.cookies.clear()
    sent = form.post("/jobs/job_1/cancel", headers=HERE | {"Referer": view}, follow_redirects=False)
    assert sent.headers["location"] == f"/sign-in?next={place}&ended=true"
    renewed = form.get("/", headers=HERE | {"HX-Request": "true", "HX-Current-URL": view})
    assert renewed.headers["hx-redirect"] == f"/sign-in?next={place}&ended=true"


def test_the_sign_in_says_that_a_session_ended(form: TestClient) -> None:
    assert "Your session has ended" in form.get("/sign-in?ended=true").text
    assert "Your session has ended" not in form.get("/sign-in").text
