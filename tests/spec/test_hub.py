"""References to models on a hub: a repository and one commit, and nothing else."""

import pytest

from negmerge.errors import ModelError
from negmerge.spec.hub import HubReference, parsed
from negmerge.spec.sources import HubModel, called, model_source, stored_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_reference_says_the_repository_and_the_commit() -> None:
    assert parsed(f"hf-hub:google/vit-base-patch16-224@{COMMIT}") == HubReference("google/vit-base-patch16-224", COMMIT)


@pytest.mark.parametrize("read", [model_source, stored_source])
def test_it_is_told_from_tags_and_uris(read: object) -> None:
    assert callable(read)
    assert read(f"hf-hub:google/vit@{COMMIT}") == HubModel(f"hf-hub:google/vit@{COMMIT}")


def test_it_is_called_by_its_name() -> None:
    assert called(HubModel(f"hf-hub:google/vit@{COMMIT}")) == "vit"


@pytest.mark.parametrize(
    "text",
    [
        "hf-hub:google/vit",
        "hf-hub:google/vit@main",
        f"hf-hub:google/vit@{COMMIT[:12]}",
        f"hf-hub:google/vit@{COMMIT.upper()}",
        f"hf-hub:google/vit@{COMMIT}\n",
        f"hf-hub:../vit@{COMMIT}",
        f"hf-hub:google/../x@{COMMIT}",
        f"hf-hub:a/b/c@{COMMIT}",
        f"hf-hub:google/v..t@{COMMIT}",
        f"hf-hub:google/vit?x@{COMMIT}",
        f"hf-hub:go\0gle/vit@{COMMIT}",
        f"hf-hub:{'a' * 100}/vit@{COMMIT}",
        f"hf-hub:@{COMMIT}",
    ],
)
def test_what_names_no_one_commit_is_refused_with_how_to_find_it(text: str) -> None:
    with pytest.raises(ModelError, match=r"with the 40 hex digits of a commit.*git ls-remote"):
        parsed(text)
