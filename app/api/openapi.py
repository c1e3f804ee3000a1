"""The OpenAPI document: the framework's, with what generators of clients need besides.

Operations are called as their functions are. What an id of one answer is good for is told as links, derived from the
paths, so that a new route below a resource is linked by being there. Headers that go with a status are told at every
answer of that status.
"""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_fields_from_routes, get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

DESCRIPTION = """Machine unlearning as a service: upload a model and a data set, say what must be forgotten,
get the unlearned weights with the figures that show it (NegMerge, arXiv 2410.05583).

Requests carry `Authorization: Bearer KEY`. Every error is an RFC 9457 problem with a stable `type`."""

TAGS = {
    "system": "The process and its parts: alive, ready, measured, and what it is.",
    "datasets": "What is forgotten and what stays: archives of images, uploaded or registered by URI.",
    "models": "The networks that forget: weights with their config, uploaded or registered by URI or tag.",
    "jobs": "Unlearning jobs: submit one or estimate it, look how far it is, cancel, delete.",
    "evidence": "What is known of a job: the points of its sweep, its events, its result.",
    "artifacts": "The files that a job leaves: reports, task vectors, the unlearned weights.",
}
"""What each tag is about; a route with another tag fails a test."""

HEADERS = {
    "Accept-Ranges": "`bytes`: a part of the file can be asked for by `Range`; `none` for a zip.",
    "Content-Disposition": "The file's name.",
    "Content-Range": "Which bytes these are, and of how many; with 416 how many there are.",
    "ETag": "Strong; made of the file's SHA-256, or, at another scale, of those that it is made of.",
    "Location": "Where the new resource is.",
    "Repr-Digest": "SHA-256 of the whole file (RFC 9530); at another scale only where `Want-Repr-Digest` asks.",
    "Retry-After": "Seconds after which to try again.",
    "WWW-Authenticate": "`Bearer`: which kind of key is wanted.",
}
"""Headers of answers, described once."""

_WITH_STATUS = {
    "401": ["WWW-Authenticate"],
    "416": ["Content-Range"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
    "507": ["Retry-After"],
}
_METHODS = ("get", "post", "put", "patch", "delete")

Document = dict[str, Any]


def operation_id(route: APIRoute) -> str:
    """What generators call the operation: the name of its function, which is a verb and a noun."""
    return route.name


def headers(*names: str) -> Document:
    """OpenAPI's ``headers`` of an answer, by the names of ``HEADERS``."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def document(app: FastAPI, bodies: list[type[BaseModel]]) -> Document:
    """The document of all routes. bodies: what requests carry that handlers read themselves, and problems."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": told} for name, told in TAGS.items()],
        servers=[{"url": "/", "description": "This service."}],
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    )
    components = made["components"]
    components["schemas"] |= _schemas(_answers(app), "serialization") | _schemas(bodies, "validation")
    components["headers"] = {
        name: {"description": told, "schema": {"type": "string"}} for name, told in HEADERS.items()
    }
    for _, _, operation in operations(made):
        _name_forms(operation, components["schemas"])
        operation.setdefault("security", [])  # said aloud: no key is needed
        _tell_headers(operation)
        _tell_bytes(operation)
        _tell_answers(operation, components["schemas"])
    _link(made)
    _say_width(components["schemas"])
    return _by_title(made)


def operations(made: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method in lower case, operation."""
    for path, item in made["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, method, item[method]


def _answers(app: FastAPI) -> list[type[BaseModel]]:
    """What the routes answer with. The framework's schemas of them have lost each null in an example."""
    found = {field.field_info.annotation for field in get_fields_from_routes(app.routes)}
    return [one for one in found if isinstance(one, type) and issubclass(one, BaseModel)]


def _schemas(models: list[type[BaseModel]], mode: JsonSchemaMode) -> Document:
    wanted = [(model, mode) for model in models]
    _, schemas = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    found: Document = schemas["$defs"]
    return found


def _by_title(made: Document) -> Document:
    """The document with each schema under its title: the framework calls ``JobPage`` ``Page_Job_``."""
    titles = {name: schema.get("title", name) for name, schema in made["components"]["schemas"].items()}
    text = json.dumps(made)
    for name, title in titles.items():
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{title}"')
    renamed: Document = json.loads(text)
    schemas = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {titles[name]: schema for name, schema in schemas.items()}
    return renamed


def _name_forms(operation: Document, schemas: Document) -> None:
    """Give the form of a request its title as its name: generators make up names for schemas that stand in line."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "title" in content["schema"]:
            name = content["schema"]["title"]
            schemas[name] = content["schema"]
            content["schema"] = {"$ref": f"#/components/schemas/{name}"}


def _tell_headers(operation: Document) -> None:
    for status, answer in operation["responses"].items():
        if names := _WITH_STATUS.get(status):
            answer["headers"] = answer.get("headers", {}) | headers(*names)


def _tell_bytes(operation: Document) -> None:
    """A picture is octets, too: generators that know no kind of picture leave the answer out otherwise."""
    for answer in operation["responses"].values():
        content = answer.get("content", {})
        if content and all(of.get("schema", {}).get("format") == "binary" for of in content.values()):
            content.setdefault("application/octet-stream", {"schema": {"type": "string", "format": "binary"}})


def _tell_answers(operation: Document, schemas: Document) -> None:
    """What the framework calls a successful response is what its schema is."""
    for status, answer in operation["responses"].items():
        if answer["description"] == "Successful Response" and (schema := _schema_of(operation, status)):
            answer["description"] = schemas[schema["$ref"].rpartition("/")[2]]["description"]


def _link(made: Document) -> None:
    """From every answer that is a resource to all that takes its id, and ``Location`` where the resource is new."""
    for path, item in made["paths"].items():
        if not path.endswith("/{id}") or "get" not in item:
            continue
        collection, resource = path.removesuffix("/{id}"), _schema_of(item["get"], "200")
        links = dict(_links_below(made, path))
        for of, method, operation in operations(made):
            for status, answer in operation["responses"].items():
                if of.startswith(collection) and status[0] == "2" and _schema_of(operation, status) == resource:
                    me = operation["operationId"]
                    answer["links"] = {name: link for name, link in links.items() if name != me}
                    if (of, method) == (collection, "post"):
                        answer["headers"] = answer.get("headers", {}) | headers("Location")


def _links_below(made: Document, resource: str) -> Iterator[tuple[str, Document]]:
    for path, _, operation in operations(made):
        if (path == resource or path.startswith(f"{resource}/")) and path.count("{") == 1:
            name = operation["operationId"]
            yield name, {"operationId": name, "parameters": {"id": "$response.body#/id"}}


def _schema_of(operation: Document, status: str) -> Document | None:
    answer = operation["responses"].get(status, {})
    schema: Document | None = answer.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _say_width(node: object) -> None:
    """Whole numbers have 64 bits: sizes pass 2³¹, and without a word many generators take 32."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            node.setdefault("format", "int64")
        for value in node.values():
            _say_width(value)
    elif isinstance(node, list):
        for value in node:
            _say_width(value)
