"""What a repository has for strangers: licence, changelog, citation, hooks, templates. Each says what is so."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from negmerge import __version__

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
APACHE_2 = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"
"""SHA-256 of the Apache License 2.0 with its appendix, as packages of others have it beside their code."""


def recipe(target: str) -> list[str]:
    """The commands of a target, as a shell in the repository's root would be given them."""
    [lines] = re.findall(rf"^{target}:.*\n((?:\t.+\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip().replace("$(RUN)", ".venv/bin/") for line in lines.splitlines()]


def test_the_licence_is_the_whole_unchanged_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_the_citation_is_of_this_version() -> None:
    assert str(CITATION["version"]) == __version__


def test_the_citation_has_what_the_format_wants() -> None:
    """Citation File Format 1.2.0: four fields are required, of a reference three."""
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert all({"type", "title", "authors"} <= set(reference) for reference in CITATION["references"])


def test_the_paper_is_cited_as_the_readme_names_it() -> None:
    [paper] = CITATION["references"]
    names = ", ".join(author["family-names"] for author in paper["authors"])
    arxiv = paper["url"].rpartition("/")[2]
    assert f"({names}, ICML {paper['year']}, [arXiv {arxiv}]({paper['url']}))" in (ROOT / "README.md").read_text()


def test_the_changelog_begins_with_what_is_not_released_and_has_this_version() -> None:
    first, *versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first == "Unreleased"
    assert versions[0] == __version__


def test_every_target_of_make_that_contributors_are_told_is_there() -> None:
    told = re.findall(r"(?:^ {4}|`)make ([a-z-]+(?: [a-z-]+)*)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert {"setup", "test"} <= {name for names in told for name in names.split()} <= targets


def test_the_hooks_run_what_make_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("lint") + recipe("types")


def test_no_hook_is_fetched() -> None:
    assert {repo["repo"] for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]} == {
        "local"
    }


@pytest.mark.parametrize("name", ["bug", "feature", "wrong-figure"])
def test_an_issue_template_says_what_it_is_for(name: str) -> None:
    _, head, body = (ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.md").read_text().split("---\n", 2)
    assert {"name", "about", "labels"} == set(yaml.safe_load(head))
    assert "**" in body
