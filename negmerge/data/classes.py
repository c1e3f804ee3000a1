"""Classes as they are called in files: one form of each name, and no two that a person would take for one. No torch."""

from collections.abc import Iterable, Mapping

from negmerge.errors import ArchiveError
from negmerge.naming import NAME_RULE, alike, is_name, one_form, shown


def check_classes(names: Iterable[str]) -> None:
    """Raise ArchiveError for a name that cannot be seen or is in spaces, or two that nobody can tell apart."""
    first: dict[str, str] = {}
    for name in sorted(set(names)):
        if not is_name(name):
            raise ArchiveError(f"the class {shown(name[:300])} needs another name: {NAME_RULE}")
        other = first.setdefault(alike(name), name)
        if other != name:
            raise ArchiveError(
                f"the classes {shown(other)} and {shown(name)} differ only in case, spaces or the form of a letter: "
                "give them one name, or two that a person can tell apart"
            )
    for name in first.values():
        if name != name.strip():
            raise ArchiveError(f"the class {shown(name)} begins or ends with a space: take it out of the folder's name")


def why_none(folder: str) -> str:
    """What pictures without classes were taken for, and how to give them some. ``folder``: where all lie, or ""."""
    held = (
        f"all pictures lie in one folder, {shown(folder)}, which was taken for no class"
        if folder
        else ("all pictures lie in no folder")
    )
    return (
        f"{held}: they are a data set without classes, in which others can be looked for; for a job, give them "
        "classes: put the pictures of each class in a folder of its own, of two classes at least"
    )


def called(name: str, classes: Mapping[str, object] | Iterable[str]) -> str:
    """A name that a person gave, in the form that the classes have it; as it came where none is called so.

    What was indexed before names had one form may have another.
    """
    known = classes if isinstance(classes, Mapping) else list(classes)
    if name in known:
        return name
    return next((one for one in known if one_form(one) == one_form(name)), name)
