"""A job's spec as somebody would send it without the page: curl, Python, plain JSON."""

import json
import shlex
from collections.abc import Mapping
from pprint import pformat
from typing import Any

WAYS = ("curl", "Python", "JSON")
"""How the page calls them, in its order."""


def ways(document: Mapping[str, Any], origin: str) -> dict[str, str]:
    """The request by each of ``WAYS``; all signs that are no printable ASCII are escaped, so that it can be pasted."""
    text = json.dumps(document, indent=2)
    return dict(zip(WAYS, (_curl(text, origin), _python(document, origin), text), strict=True))


def _curl(text: str, origin: str) -> str:
    lines = [
        f"curl -sS {shlex.quote(f'{origin}/v1/jobs')} \\",
        '  -H "Authorization: Bearer $NEGMERGE_API_KEY" \\',
        "  -H 'Content-Type: application/json' \\",
        "  --data @- <<'SPEC'",
        text,
        "SPEC",  # no line of JSON as it is indented here is this word
    ]
    return "\n".join(lines)


def _python(document: Mapping[str, Any], origin: str) -> str:
    spec = pformat(json.loads(json.dumps(document)), width=100, sort_dicts=False)
    lines = [
        "from negmerge.client import Client",
        "",
        f"spec = {spec}",
        f"with Client({origin!r}) as client:  # the key is NEGMERGE_API_KEY, or that of `negmerge login`",
        "    job = client.jobs.submit(spec)",
        "    print(job.id)",
    ]
    return "\n".join(lines)
