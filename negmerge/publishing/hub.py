"""A model to a hub of Hugging Face's, in one commit. Who pushes is said by huggingface_hub's own login alone."""

import sys
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError, of whichever client it has
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from negmerge.errors import PublishError
from negmerge.naming import shown
from negmerge.publishing.folders import README, Publication

_MESSAGE = "Add an unlearned model"


@dataclass(frozen=True)
class Pushed:
    """Where a model lies now. changed: whether this push made a commit; the same files again make none."""

    url: str
    commit: str
    changed: bool


def push(
    model: Publication, repository: str, card: Path | None = None, private: bool = False, revision: str | None = None
) -> Pushed:
    """Commit a model's files to ``owner/name``, which is made where it is missing; the card as its README.md.

    revision: a branch, made where it is missing. The hub is huggingface_hub's own, ``HF_ENDPOINT``; so is the token,
    ``HF_TOKEN`` or what ``hf auth login`` kept. Raises PublishError where the hub refuses, or is not reached.
    """
    if get_token() is None:
        raise PublishError("nobody is logged in to the hub: set HF_TOKEN, or run `hf auth login`")
    files = model.files | ({README: card} if card is not None else {})
    operations = [CommitOperationAdd(name, path) for name, path in sorted(files.items())]
    if not sys.stderr.isatty():
        disable_progress_bars()
    hub = HfApi(library_name="negmerge")
    try:
        hub.create_repo(repository, private=private or None, exist_ok=True)
        if private and not hub.model_info(repository).private:
            raise PublishError(
                f"{shown(repository)} exists and everybody may read it: make it private first, or leave --private out"
            )
        if revision is not None:
            hub.create_branch(repository, branch=revision, exist_ok=True)
        before = _commit_of(hub, repository, revision)
        done = hub.create_commit(
            repository,
            operations,
            commit_message=_MESSAGE,
            commit_description=f"weights {model.digest}",
            revision=revision,
        )
    except HFValidationError as error:
        raise PublishError(f"{shown(repository)} is no name of a repository, such as owner/name: {error}") from None
    except HfHubHTTPError as error:
        raise PublishError(_refused(error, repository)) from error
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        raise PublishError(f"the model was not pushed to {hub.endpoint}: {_short(error)}") from error
    return Pushed(done.commit_url, done.oid, changed=done.oid != before)


def _commit_of(hub: HfApi, repository: str, revision: str | None) -> str | None:
    """The commit that a branch is at; None where it has none yet."""
    try:
        return hub.model_info(repository, revision=revision).sha
    except RevisionNotFoundError:
        return None


def _refused(error: HfHubHTTPError, repository: str) -> str:
    status = error.response.status_code
    if status in (401, 403):
        return f"the hub does not let this token write to {shown(repository)}: take one with write access to it"
    return f"the hub refused the model: {_short(error)}"


def _short(error: BaseException) -> str:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return said if error.__cause__ is None else f"{said} ({_short(error.__cause__)})"
