"""Images whose classes, and maybe parts, stand in tables beside them. Names and rows only, no torch."""

from collections.abc import Collection, Mapping

from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.members import suffix
from negmerge.data.parts import split_part
from negmerge.data.tables import Rows, Told
from negmerge.errors import ArchiveError
from negmerge.naming import one_form, shown


def rows_of_tables(
    names: Collection[str], tables: Mapping[str, Rows], unreadable: Collection[str]
) -> tuple[list[tuple[str, str, str | None]], str]:
    """Samples (id, class, part) whose classes stand in tables, and what is wrong with a row whose image is not there.

    No samples where no table names an image. Raises ArchiveError where one does, for an image that no table names, a
    row without its image, and where two tables, or a table and the folders, differ in a class or a part.
    """
    images = {name for name in names if suffix(name) in IMAGE_SUFFIXES}
    known = {one_form(name): name for name in (*unreadable, *images)}
    told: dict[str, Told] = {}
    missing = ""
    for table, rows in sorted(tables.items()):
        where = _where(table, rows, known)
        for file, row in rows.items():
            name = where[file]
            if not name:
                missing = missing or _not_there(table, file, images)
            elif told.setdefault(name, row) != row:
                what = "classes" if told[name].class_name != row.class_name else "parts"
                raise ArchiveError(f"{shown(name)} has two {what}, in {shown(table)} and in another table: keep one")
    if not told:
        return [], missing
    if missing:
        raise ArchiveError(missing)
    for name in sorted(images - told.keys()):
        raise ArchiveError(f"{shown(name)} is in none of the tables, such as {shown(min(tables))}: add its row")
    _check_folders(images, told)
    return [(name, str(told[name].class_name), _part(name, told[name])) for name in images], ""


def _where(table: str, rows: Rows, known: Mapping[str, str]) -> dict[str, str]:
    """The image of each row's file, "" where it is not there: from the table's folder, with / or Windows' backslash.

    Where no image is found so, and all lie in one folder below the table's, bare names are looked up in that one.
    """
    folder = table.rpartition("/")[0]
    files = {file: file.replace("\\", "/").removeprefix("./") for file in rows}

    def found(inside: str) -> dict[str, str]:
        prefix = f"{inside}/" if inside else ""
        return {file: known.get(one_form(prefix + path), "") for file, path in files.items()}

    where = found(folder)
    if any(where.values()):
        return where
    holders = {name.rpartition("/")[0] for name in known.values() if not folder or name.startswith(f"{folder}/")}
    return found(holders.pop()) if len(holders) == 1 else where


def _not_there(table: str, file: str, images: Collection[str]) -> str:
    """What is said of a row without its image, with the image that it seems to mean."""
    base = file.replace("\\", "/").rpartition("/")[2].casefold()
    near = [name for name in sorted(images) if base in _bases(name)]
    if near:
        remedy = "write its path from the table's own folder, with its ending and in its case"
        return f"{shown(table)} names {shown(file)}, which is not there, and {shown(near[0])} is: {remedy}"
    return f"{shown(table)} names {shown(file)}, which is not there: add it, or remove the row"


def _bases(name: str) -> tuple[str, str]:
    base = name.rpartition("/")[2].casefold()
    return base, base.rpartition(".")[0]


def _part(name: str, row: Told) -> str | None:
    """The part that the row or the first folder says."""
    of_folder = split_part(name)[0]
    if row.part and of_folder and row.part != of_folder:
        raise ArchiveError(
            f"{shown(name)} lies in the folder of {of_folder}, and a table says {row.part}: move it, or mend its row"
        )
    return row.part or of_folder


def _check_folders(images: Collection[str], told: Mapping[str, Told]) -> None:
    """Raise ArchiveError where images lie in folders for classes, as it seems, and a table says others."""
    folders = {name: path[0] for name in images if len(path := split_part(name)[1]) > 1}
    if len(set(folders.values())) < 2:
        return
    for name, folder in sorted(folders.items()):
        said = str(told[name].class_name)
        if one_form(folder) != one_form(said):
            raise ArchiveError(
                f"{shown(name)} lies in the folder {shown(folder)}, and a table says {shown(said)}: take away "
                "the table, or put all images into one folder"
            )
