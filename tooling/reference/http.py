"""HTTP, of the service's OpenAPI document: operations by tag, problems, and the schemas of bodies and answers."""

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from app.api.openapi import operations
from app.errors import every
from app.main import create_app
from app.settings import Settings
from tooling.reference.schemas import kind_of, limits_of, linked
from tooling.reference.tables import code, table

Document = dict[str, Any]

PROBLEM = "urn:negmerge:problem:"


@cache
def document() -> Document:
    """The OpenAPI document. The app is made and never started, so that nothing is opened or written."""
    made: Document = create_app(Settings()).openapi()
    return made


def tags() -> str:
    """All operations, by their tags."""
    made = document()
    return "\n".join(
        f"## {tag['name']}\n\n{tag['description']}\n\n{_of_tag(made, tag['name'])}" for tag in made["tags"]
    )


def problems() -> str:
    """Every kind of problem by its status and its type."""
    rows = ((code(PROBLEM + one.type), str(one.status), _meaning(one.__doc__)) for one in every())
    return table(["type", "status", "meaning"], rows)


def everywhere() -> str:
    """The problems that each operation with a key may answer with, which no operation lists again."""
    answers = _everywhere(document())
    return table(["status", "problem"], [(status, answers[status]) for status in sorted(answers)])


def _of_tag(made: Document, tag: str) -> str:
    shared = _everywhere(made)
    found = (one for one in operations(made) if tag in one[2]["tags"])
    return "\n".join(_operation(made, path, method, operation, shared) for path, method, operation in found)


def _operation(made: Document, path: str, method: str, operation: Document, shared: Mapping[str, str]) -> str:
    """One operation: what it does, what it takes, what it answers."""
    name = operation["operationId"]
    parts = [
        f"### {method.upper()} {path} {{ #{name} }}\n",
        f"`{name}`{'' if operation['security'] else ' · no key'}\n",
    ]
    parts += [inspect.cleandoc(operation.get("description", "")) + "\n"]
    parts += [table(["parameter", "in", "takes", "meaning"], map(_parameter, operation.get("parameters", [])))]
    if body := operation.get("requestBody"):
        of = ", or ".join(f"{linked(content['schema'])} as `{kind}`" for kind, content in body["content"].items())
        parts += [f"**Body**: {of}.\n"]
    parts += [table(["answer", "body", "meaning"], _answers(made, operation, shared))]
    return "\n".join(part for part in parts if part.strip())


def _parameter(one: Document) -> tuple[str, str, str, str]:
    schema = one["schema"] | {"anyOf": [kind for kind in one["schema"].get("anyOf", []) if kind.get("type") != "null"]}
    taken = " ".join(filter(None, (kind_of(schema), limits_of(schema))))
    name = code(one["name"]) + (", required" if one.get("required") and one["in"] != "path" else "")
    return name, one["in"], taken, one.get("description", "")


def _answers(made: Document, operation: Document, shared: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Status, body, meaning with headers; in order, without the problems that all operations have."""
    for status, answer in sorted(operation["responses"].items()):
        told = answer["description"]
        if operation["security"] and status in shared:
            told = told.replace(shared[status], "").strip()
            if not told:
                continue
        headers = ", ".join(code(name) for name in answer.get("headers", {}))
        yield status, _body(answer), " ".join(filter(None, (told, f"Headers: {headers}." if headers else "")))


def _body(answer: Document) -> str:
    """What an answer's body is; of problems no word, since all are one."""
    found = {kind: of.get("schema", {}) for kind, of in answer.get("content", {}).items()}
    return ", ".join(
        linked(schema) if "$ref" in schema else code(kind)
        for kind, schema in found.items()
        if kind != "application/problem+json"
    )


def _everywhere(made: Document) -> dict[str, str]:
    """Status → the problem that every operation with a key may have."""
    sets = [
        {(status, sentence) for status, answer in one["responses"].items() for sentence in _sentences(answer)}
        for _, _, one in operations(made)
        if one["security"]
    ]
    return dict(set.intersection(*sets))


def _sentences(answer: Document) -> list[str]:
    """The problems that an answer tells of, each as one sentence: ```in-use`: A job still needs it.``"""
    found: list[str] = re.findall(r"`[a-z-]+`: .+?\.(?= `|$)", answer["description"])
    return found if "application/problem+json" in answer.get("content", {}) else []


def _meaning(docstring: str | None) -> str:
    """The first sentence or two of a docstring, before any blank line."""
    return inspect.cleandoc(docstring or "").partition("\n\n")[0].replace("``", "`")
