"""The errors that Python programs may catch, each with its place in the tree and when it is raised."""

import inspect
from collections.abc import Iterator

from negmerge.client import ClientError
from negmerge.errors import NegmergeError
from tooling.reference.tables import code, table


def of_the_library() -> str:
    """What the library raises, below ``NegmergeError``."""
    return _tree(NegmergeError, "negmerge.errors")


def of_the_client() -> str:
    """What the client raises, below ``ClientError``."""
    return _tree(ClientError, ClientError.__module__)


def _tree(root: type[Exception], module: str) -> str:
    return table(["error", "is a", "when"], _below(root, module))


def _below(error: type[Exception], module: str) -> Iterator[tuple[str, str, str]]:
    """The error and those below it, as far as they are of this module."""
    if error.__module__ == module:
        when = inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0].replace("``", "`")
        yield code(error.__name__), code(error.__bases__[0].__name__), when
    for one in error.__subclasses__():
        yield from _below(one, module)
