"""Where the page's header leads. A view has an entry once it is there."""

from typing import NamedTuple

from app.auth import Scope
from app.page.guard import Visitor


class Entry(NamedTuple):
    """One link of the header, the scope that whoever sees it needs, and where the pages below it lie."""

    label: str
    path: str
    scope: Scope
    below: str

    def holds(self, path: str) -> bool:
        """Whether a page lies below this entry."""
        return path.startswith(f"{self.below}/")


ENTRIES = (
    Entry("Jobs", "/", Scope.READ, "/jobs"),
    Entry("New request", "/new", Scope.WRITE, "/new"),
    Entry("Data sets", "/datasets", Scope.READ, "/datasets"),
    Entry("Models", "/models", Scope.READ, "/models"),
    Entry("Admin", "/admin", Scope.ADMIN, "/admin"),
)


def entries(visitor: Visitor | None) -> list[Entry]:
    """The links that this visitor may follow; none for whoever is not signed in."""
    return [] if visitor is None else [entry for entry in ENTRIES if visitor.principal.may(entry.scope)]
