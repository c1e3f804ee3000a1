"""What is asked before that which cannot be undone: in a dialog, and on a page of its own where scripts do not run."""

from typing import NamedTuple

from app.page import words
from app.record.tables import ApiKey, Dataset, Job, Model


class Question(NamedTuple):
    """A title, what a yes does, both answers, where a yes is sent (and asked for), and where a no leads."""

    title: str
    told: str
    yes: str
    no: str
    address: str
    back: str


def of_cancel(job: Job) -> Question:
    """Before a job is cancelled."""
    return Question(
        f"Cancel the job that forgets {words.forgets(job.spec)}?",
        "What was trained so far is lost, and the job leaves no result. It cannot be taken up again.",
        "Cancel the job",
        "Let it run",
        f"/jobs/{job.id}/cancel",
        f"/jobs/{job.id}",
    )


def of_deletion(row: Dataset | Model) -> Question:
    """Before a data set or a model is deleted."""
    kind, place = ("data set", "datasets") if isinstance(row, Dataset) else ("model", "models")
    return Question(
        f"Delete the {kind} “{row.name}”?",
        "Its files are gone for good. Results of jobs that used it stay.",
        "Delete it",
        "Keep it",
        f"/{place}/{row.id}/delete",
        f"/{place}/{row.id}",
    )


def of_revocation(row: ApiKey, own: bool) -> Question:
    """Before a key is revoked. own: whoever is asked came with this key."""
    mine = " You are signed in with it yourself." if own else ""
    return Question(
        f"Revoke “{row.name}”?",
        f"Whoever uses it is let in no more, at once and for good.{mine}",
        "Revoke it",
        "Keep it",
        f"/admin/keys/{row.id}/revoke",
        "/admin",
    )
