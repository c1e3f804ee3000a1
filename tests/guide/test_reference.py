"""The pages that are made of the code: nothing of it is left out, and what they say is what it does."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import negmerge
from app import errors
from app.settings import Settings
from negmerge import client
from negmerge.cli.statuses import MEANINGS, OF_OUTCOME
from tooling.guide_hooks import MAKERS, on_page_markdown
from tooling.reference import commands, http, schemas, settings
from tooling.reference.tables import table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHON = (ROOT / "docs/reference/python.md").read_text()


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or a higher one."""
    level = heading.partition(" ")[0]
    return re.split(rf"^#{{2,{len(level)}}} ", page.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def headings(page: str, level: str) -> list[str]:
    return re.findall(rf"^{level} (.+?)(?: \{{.+\}})?$", page, re.MULTILINE)


def test_every_setting_has_a_section_in_the_codes_order() -> None:
    assert headings(settings.page(), "##") == [f"NEGMERGE_{name.upper()}" for name in Settings.model_fields]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_sentence(name: str) -> None:
    *_, told = section(settings.page(), f"## NEGMERGE_{name.upper()}").strip().splitlines()
    assert told.endswith(".")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PORT", "Default: `8000` · Takes: a whole number (≥ 0, ≤ 65\u202f535)"),
        ("MAX_UPLOAD_BYTES", "Default: `21474836480` (20 GiB) · Takes: a whole number (> 0)"),
        ("LEASE_SECONDS", "Default: `15` · Takes: a number (> 0)"),
        ("DEVICE", "Default: `auto` · Takes: `auto`, `cpu`, `cuda`"),
        ("QUEUE", "Default: `default` · Takes: text (not empty, at most 64 characters)"),
        ("DATABASE_URL", "Default: `sqlite:////DATA_DIR/record.sqlite` · Takes: text"),
        ("ALLOWED_HOSTS", "Default: `[]` · Takes: a list of text, as JSON"),
        ("HUB_ENDPOINT", "Default: empty · Takes: text"),
    ],
)
def test_a_setting_says_its_default_and_its_bounds(name: str, told: str) -> None:
    assert told in section(settings.page(), f"## NEGMERGE_{name}")


def registered(app: typer.Typer, program: str) -> Iterator[str]:
    """The commands as typer was told of them."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield f"`{program} {command.name or command.callback.__name__.replace('_', '-')}`"
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from registered(group.typer_instance, f"{program} {group.name}")


@pytest.mark.parametrize("program", commands.PROGRAMS)
def test_every_command_has_a_section(program: str) -> None:
    found = headings(commands.page(program), "###")
    assert sorted(found) == sorted(registered(commands.PROGRAMS[program], program))


def test_a_command_says_what_it_takes() -> None:
    merge = section(commands.page("negmerge"), "### `negmerge merge`")
    assert "negmerge merge --base PATH --tuned PATH… --out PATH [OPTIONS]" in merge
    assert "| `--scale NUMBER` | default: 1.0 | λ, 0 to 1000; 0 gives the base model back. |" in merge
    assert "| `--base PATH` | required |" in merge
    jobs = section(commands.page("negmerge"), "### `negmerge jobs list`")
    assert "| `--limit NUMBER` | default: 20; x ≥ 1 | At most so many, the newest. |" in jobs


def test_an_argument_is_called_as_the_help_calls_it() -> None:
    run = section(commands.page("negmerge"), "### `negmerge run`")
    assert "negmerge run SPEC.json --out DIR [OPTIONS]" in run


def test_every_exit_status_is_told() -> None:
    assert {*OF_OUTCOME.values(), 128 + signal.SIGTERM, 128 + signal.SIGHUP, 128 + signal.SIGINT} < MEANINGS.keys()
    assert [int(row) for row in re.findall(r"^\| (\d+) \|", commands.statuses(), re.MULTILINE)] == sorted(MEANINGS)


def test_every_operation_has_a_section() -> None:
    methods = ("get", "post", "put", "patch", "delete")
    paths = http.document()["paths"].items()
    there = [f"{name.upper()} {path}" for path, item in paths for name in item if name in methods]
    assert sorted(headings(http.tags(), "###")) == sorted(there)


def test_an_operation_says_what_it_takes_and_answers() -> None:
    job = section(http.tags(), "### POST /v1/jobs { #create_job }")
    assert "| `dry_run` | query | true or false (default `false`) |" in job
    assert "**Body**: [NewJob](schemas.md#newjob) as `application/json`." in job
    assert re.search(r"^\| 202 \| \[Job\]\(schemas.md#job\) \| .+ Headers: `Location`\. \|$", job, re.MULTILINE)
    assert "`idempotency-key-reused`" in job
    assert "no key" not in job


def test_what_needs_no_key_says_so() -> None:
    assert "`get_health` · no key" in section(http.tags(), "### GET /healthz { #get_health }")


def test_the_problems_of_every_operation_are_told_once() -> None:
    assert "`unauthorized`" in http.everywhere()
    assert "`unauthorized`" not in http.tags()


def test_every_kind_of_problem_is_told_with_its_status() -> None:
    rows = re.findall(r"^\| `urn:negmerge:problem:([a-z-]+)` \| (\d+) \| .+ \|$", http.problems(), re.MULTILINE)
    assert rows == [(error.type, str(error.status)) for error in errors.every()]


def test_our_own_fault_is_told_in_the_words_of_its_class() -> None:
    assert "| `urn:negmerge:problem:internal-error` | 500 | Our fault; the log has the cause. |" in http.problems()


def test_every_schema_has_a_section_and_every_reference_leads_to_one() -> None:
    page = schemas.sections(http.document())
    anchors = {name.lower() for name in headings(page, "##")}
    assert anchors == {name.lower() for name in http.document()["components"]["schemas"]}
    assert set(re.findall(r"schemas\.md#(\w+)", page + http.tags())) <= anchors


def test_a_field_says_what_it_takes() -> None:
    spec = section(schemas.sections(http.document()), "## JobSpec { #jobspec }")
    assert '| `sweep`, required | [Sweep](schemas.md#sweep) or `"auto"` |' in spec
    assert "| `repeats` | a whole number (≥ 1, ≤ 10, default `1`) |" in spec
    assert "| `compare` | a list of text (at most 20 entries) |" in spec


def test_what_is_answered_is_not_called_required() -> None:
    assert "required" not in section(schemas.sections(http.document()), "## Job { #job }")


@pytest.mark.parametrize("package", [negmerge, client], ids=lambda package: package.__name__)
def test_every_public_name_is_on_the_page_of_python(package: object) -> None:
    named = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)", PYTHON, re.MULTILINE)}
    made = MAKERS["errors of the library"]() + MAKERS["errors of the client"]()
    named |= set(re.findall(r"^\| `(\w+)`", made, re.MULTILINE))
    assert set(vars(package)["__all__"]) - named <= {"__version__"}


def test_an_error_says_where_in_the_tree_it_stands() -> None:
    assert "| `JobFailed` | `JobEnded` |" in MAKERS["errors of the client"]()


def test_a_line_that_nobody_makes_ends_the_build() -> None:
    with pytest.raises(KeyError, match="nothing"):
        on_page_markdown("<!-- made: nothing -->")


def test_a_bar_in_a_cell_is_no_end_of_it() -> None:
    assert table(["a"], [["x|y\nz"]]) == "| a |\n| --- |\n| x\\|y z |\n"
