"""The OpenAPI document as generators of clients read it: names, links, headers, schemas, examples."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api import openapi
from app.main import create_app
from app.settings import Settings
from negmerge.spec.resources import JOB_ID, JOB_SPEC
from tests.support.api_client import Api
from tests.support.generated_client import check_types, generate

APP = create_app(Settings())
DOCUMENT = APP.openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {operation["operationId"]: operation for _, _, operation in openapi.operations(DOCUMENT)}
NAMED_IN_THE_DESIGN = {
    *("create_dataset", "list_datasets", "get_dataset", "delete_dataset"),
    *("create_model", "list_models", "get_model", "delete_model"),
    *("create_job", "list_jobs", "get_job", "cancel_job", "delete_job"),
    *("list_job_points", "list_job_events", "get_job_result"),
    *("list_job_artifacts", "get_job_artifact", "get_job_weights"),
    *("get_health", "get_readiness", "get_metrics", "get_meta"),
}
OF_A_JOB = {
    *("get_job", "cancel_job", "delete_job", "list_job_points", "list_job_events", "get_job_result"),
    *("list_job_artifacts", "get_job_weights"),
}


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_operations_are_called_as_agreed() -> None:
    assert OPERATIONS.keys() >= NAMED_IN_THE_DESIGN


def test_no_two_operations_are_called_the_same() -> None:
    assert len(OPERATIONS) == len(list(openapi.operations(DOCUMENT)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_all_that_a_reader_needs(name: str) -> None:
    operation = OPERATIONS[name]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
    assert operation["summary"]
    assert operation["description"]
    assert len(operation["tags"]) == 1
    assert [parameter["name"] for parameter in operation.get("parameters", []) if not parameter["description"]] == []
    told = {status: answer["description"] for status, answer in operation["responses"].items()}
    assert [status for status, text in told.items() if text in ("", "Successful Response")] == []


def test_every_tag_is_described_and_used() -> None:
    described = [tag["name"] for tag in DOCUMENT["tags"] if tag["description"]]
    assert sorted(described) == sorted({tag for operation in OPERATIONS.values() for tag in operation["tags"]})


def contents() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Operation, media type and content of every body, sent or answered."""
    for name, operation in OPERATIONS.items():
        for body in [operation.get("requestBody", {}), *operation["responses"].values()]:
            for media, content in body.get("content", {}).items():
                yield name, media, content


def test_no_object_stands_in_line_where_a_generator_would_make_up_its_name() -> None:
    inline = [(name, media) for name, media, content in contents() if "properties" in content.get("schema", {})]
    assert inline == [], "give the schema a title (app/api/openapi.py) or make it a record"


def test_no_made_up_name_is_taken_already() -> None:
    """Generators call an object in line by its parent and its property: ``spec`` of ``Job`` would be ``JobSpec``."""
    made_up = {
        f"{parent}{''.join(word.title() for word in name.split('_'))}"
        for parent, schema in SCHEMAS.items()
        for name, of in schema.get("properties", {}).items()
        if of.get("type") == "object"
    }
    assert "JobMetadata" in made_up
    assert made_up & SCHEMAS.keys() == set()


def test_no_field_is_called_as_its_schema() -> None:
    """A generator of Python calls a new ``Matches`` ``matches``, and then its field, which a type checker minds."""
    called = {name: re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in SCHEMAS}
    assert [name for name, schema in SCHEMAS.items() if called[name] in schema.get("properties", {})] == []


def sent() -> set[str]:
    """The schemas that bodies of requests lead to."""
    found: set[str] = set()
    waiting = [json.dumps(operation.get("requestBody", {})) for operation in OPERATIONS.values()]
    while waiting:
        new = set(re.findall(r'"#/components/schemas/(\w+)"', waiting.pop())) - found
        found |= new
        waiting += [json.dumps(SCHEMAS[name]) for name in new]
    return found


def test_what_is_answered_may_have_more_fields_in_a_later_version() -> None:
    closed = {name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is False}
    assert "JobSpec" in closed
    assert closed - sent() == set()


@pytest.mark.slow
def test_a_client_made_of_it_passes_a_strict_type_checker(tmp_path: Path) -> None:
    generate(DOCUMENT, tmp_path)
    check_types(tmp_path)


def test_a_schema_is_called_by_its_title() -> None:
    assert [name for name, schema in SCHEMAS.items() if schema.get("title", name) != name] == []
    assert "JobPage" in SCHEMAS


def test_a_spec_is_the_same_schema_wherever_it_stands() -> None:
    wanted = "#/components/schemas/JobSpec"
    assert {SCHEMAS[name]["properties"]["spec"]["$ref"] for name in ("Job", "DryRun", "Result")} == {wanted}


def whole_numbers(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "integer":
            yield node
        for value in node.values():
            yield from whole_numbers(value)
    elif isinstance(node, list):
        for value in node:
            yield from whole_numbers(value)


def test_whole_numbers_have_64_bits() -> None:
    """Sizes pass 2³¹, and without a word many generators take 32."""
    found = list(whole_numbers(SCHEMAS))
    assert len(found) > 20
    assert {number["format"] for number in found} == {"int64"}


def test_a_file_of_any_kind_is_told_as_octets_too() -> None:
    """Generators leave an answer out whose kind they do not know, such as a picture's."""
    files = [
        (name, answer["content"])
        for name, operation in OPERATIONS.items()
        for answer in operation["responses"].values()
        if any(of.get("schema", {}).get("format") == "binary" for of in answer.get("content", {}).values())
    ]
    assert "get_sample_thumbnail" in [name for name, _ in files]
    assert [name for name, content in files if "application/octet-stream" not in content] == []


def test_an_operation_says_aloud_whether_it_needs_a_key() -> None:
    public = {name for name, operation in OPERATIONS.items() if operation["security"] == []}
    assert public == {"get_health", "get_readiness", "get_meta"}


def links(operation: str, status: str) -> set[str]:
    """The operations that an answer links to."""
    return {link["operationId"] for link in OPERATIONS[operation]["responses"][status]["links"].values()}


def test_a_new_job_links_to_all_that_takes_its_id() -> None:
    assert links("create_job", "202") >= OF_A_JOB
    assert "links" not in OPERATIONS["create_job"]["responses"]["200"]  # a dry run has no id


def test_a_job_links_to_what_is_known_of_it() -> None:
    assert links("get_job", "200") >= OF_A_JOB - {"get_job"}


@pytest.mark.parametrize("noun", ["dataset", "model"])
def test_a_new_entry_links_to_looking_and_deleting(noun: str) -> None:
    assert links(f"create_{noun}", "201") >= {f"get_{noun}", f"delete_{noun}"}


def test_a_link_gives_each_parameter_of_its_path_and_leads_somewhere() -> None:
    paths = {operation["operationId"]: path for path, _, operation in openapi.operations(DOCUMENT)}
    found = [
        link
        for one in OPERATIONS.values()
        for answer in one["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(found) > 20
    for link in found:
        assert link["parameters"].keys() == set(re.findall(r"\{(\w+)\}", paths[link["operationId"]]))


def told_headers(operation: str, answer: Response) -> set[str]:
    """The headers that the document tells of this answer, in lower case."""
    return {name.lower() for name in OPERATIONS[operation]["responses"][str(answer.status_code)].get("headers", {})}


CONTRACTUAL = {
    *("location", "retry-after", "etag", "www-authenticate", "repr-digest", "content-range", "accept-ranges"),
    "content-disposition",
}


def answers(api: Api) -> Iterator[tuple[str, Response]]:
    """One answer of each kind that has headers of its own, by its operation."""
    yield "create_dataset", api.upload_dataset()
    yield "create_model", api.upload_model()
    yield "get_job", api.client.get("/v1/jobs/job_1")
    job = api.finished_job({"result.json": b"{}", "unlearned/model.safetensors": b"0123456789"})
    yield "create_job", api.post("/v1/jobs", json=api.spec())
    for name, path in (
        ("get_job_result", "result"),
        ("get_job_artifact", "artifacts/result.json"),
        ("get_job_weights", "weights"),
    ):
        whole = api.get(f"/v1/jobs/{job}/{path}")
        yield name, whole
        yield name, api.get(f"/v1/jobs/{job}/{path}", headers={"Range": "bytes=0-1"})
        yield name, api.get(f"/v1/jobs/{job}/{path}", headers={"Range": "bytes=99-"})
        yield name, api.get(f"/v1/jobs/{job}/{path}", headers={"If-None-Match": whole.headers["etag"]})


def test_the_headers_that_are_sent_are_those_that_are_told(api: Api) -> None:
    statuses = set()
    for operation, answer in answers(api):
        sent = {name.lower() for name in answer.headers} & CONTRACTUAL
        assert sent == told_headers(operation, answer), (operation, answer.status_code)
        statuses.add(answer.status_code)
    assert statuses == {200, 201, 202, 206, 304, 401, 416}


def test_a_query_by_metadata_is_told_as_it_is_sent(api: Api) -> None:
    """An exploded object is one parameter for each key."""
    [told] = [parameter for parameter in OPERATIONS["list_jobs"]["parameters"] if parameter["name"] == "metadata"]
    job = api.job(metadata={"ticket": "told-1"})
    filters = {"metadata.ticket": "told-1"}

    Draft202012Validator(told["schema"]).validate(filters)
    assert not Draft202012Validator(told["schema"]).is_valid({"ticket": "told-1"})
    assert (told["style"], told["explode"]) == ("form", True)
    assert [one["id"] for one in api.get("/v1/jobs", params=filters).json()["data"]] == [job]


def judge(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator for a schema of the document, which its references lead into."""
    return Draft202012Validator({"components": DOCUMENT["components"]} | schema, format_checker=FormatChecker())


def told(validator: Draft202012Validator, value: object) -> list[str]:
    """What is wrong with a value, without the whole document around it."""
    return [f"{wrong.json_path}: {wrong.message}" for wrong in validator.iter_errors(value)]


def examples() -> Iterator[tuple[str, dict[str, Any], object]]:
    """Where it stands, its schema, the example: of schemas, wherever they are nested, and of contents."""
    for name, media, content in contents():
        if "example" in content and "schema" in content:
            yield f"{name} {media}", content["schema"], content["example"]
    waiting: list[tuple[str, Any]] = list(SCHEMAS.items())
    for name, schema in waiting:
        if isinstance(schema, dict):
            if "example" in schema and "properties" in schema:
                yield name, schema, schema["example"]
            waiting += [(f"{name}/{key}", value) for key, value in schema.items() if key != "example"]


@pytest.mark.parametrize(("schema", "example"), [pytest.param(*found, id=where) for where, *found in examples()])
def test_an_example_is_valid_against_its_own_schema(schema: dict[str, Any], example: object) -> None:
    assert told(judge(schema), example) == []


def test_every_body_of_json_and_every_form_has_an_example() -> None:
    without = [
        (name, media)
        for name, media, content in contents()
        if media in ("application/json", "multipart/form-data") and "example" not in content
        if "example" not in SCHEMAS[content["schema"]["$ref"].rpartition("/")[2]]
    ]
    assert without == []


def test_every_body_has_an_example_and_the_test_above_sees_them() -> None:
    assert {where for where, _, _ in examples()} >= {
        "Job",
        "Result",
        "Problem",
        "DatasetIn",
        "DerivedJobSpec",
        "create_job application/json",
    }


@pytest.mark.parametrize("body", [JOB_SPEC, {"from_job": JOB_ID}, {"from_job": JOB_ID, "merge": {"method": "uniform"}}])
def test_a_new_job_is_a_whole_spec_or_one_from_another_job(body: dict[str, Any]) -> None:
    schema = OPERATIONS["create_job"]["requestBody"]["content"]["application/json"]["schema"]
    assert told(judge(schema), body) == []
    assert told(judge(schema), body | {"no": 1}) != []
    assert told(judge(schema), {"merge": {"method": "uniform"}}) != []


def test_what_the_service_answers_is_what_its_schemas_say(api: Api) -> None:
    job = api.job()
    for operation, path in (
        ("list_datasets", "datasets"),
        ("list_models", "models"),
        ("list_jobs", "jobs"),
        ("get_job", f"jobs/{job}"),
        ("list_job_points", f"jobs/{job}/points"),
        ("list_job_events", f"jobs/{job}/events"),
        ("get_meta", "meta"),
    ):
        schema = OPERATIONS[operation]["responses"]["200"]["content"]["application/json"]["schema"]
        assert told(judge(schema), api.get(f"/v1/{path}").json()) == [], operation
