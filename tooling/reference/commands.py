"""The command lines, of the parsers themselves: each command with its arguments, its options and their defaults."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import typer
from typer.main import get_command

from app.commands import cli
from negmerge.cli.main import app
from negmerge.cli.statuses import MEANINGS
from tooling.reference.tables import code, table

PROGRAMS = {"negmerge": app, "python -m app": cli}
"""What people type → its parser."""


class Taken(NamedTuple):
    """An argument or an option: its name as it is typed, default and bounds, what it means."""

    name: str
    notes: str
    meaning: str
    is_option: bool
    required: bool


def page(program: str) -> str:
    """All commands of a program, each as a section."""
    return "\n".join(_sections(typer.Context(get_command(PROGRAMS[program]), info_name=program)))


def statuses() -> str:
    """The exit statuses of ``negmerge``."""
    return table(["status", "meaning"], [(str(status), meaning) for status, meaning in MEANINGS.items()])


def _sections(context: typer.Context) -> Iterator[str]:
    """A command's section; of a group its own options, then the commands in it."""
    command, taken = context.command, list(_taken(context))
    below = getattr(command, "commands", {})
    if not below:
        yield f"### `{context.command_path}`\n\n{_told(command.help or '')}\n"
        yield f"```text\n{' '.join([context.command_path, *_usage(taken)])}\n```\n"
    yield table(["argument or option", "default, bounds", "meaning"], [(code(one.name), *one[1:3]) for one in taken])
    for name, one in below.items():
        yield from _sections(typer.Context(one, info_name=name, parent=context))


def _taken(context: typer.Context) -> Iterator[Taken]:
    """What a command takes, in order, but ``--help``."""
    for one in context.command.get_params(context):
        record = one.get_help_record(context)
        if record is None or one.name == "help":
            continue
        meaning, found, notes = record[1].partition("  [")
        bounds = notes.removesuffix("]").replace("<=", " ≤ ").replace(">=", " ≥ ") if found else ""
        yield Taken(_plain(record[0]), _told(bounds), _told(meaning), one.param_type_name == "option", one.required)


def _usage(taken: Sequence[Taken]) -> list[str]:
    """The arguments in order, then the options that are required, then whether there are others."""
    told = [one.name for one in taken if not one.is_option]
    told += [one.name for one in taken if one.is_option and one.required]
    return [*told, "[OPTIONS]"] if any(one.is_option and not one.required for one in taken) else told


def _plain(name: str) -> str:
    """``SPEC.json <path>`` as SPEC.json, ``--scale <float range>`` as --scale NUMBER, ``<list[Path]>`` as PATH…."""
    word, _, kind = name.partition(" <")
    if not kind or not word.startswith("-"):
        return word
    kind = kind.removesuffix(">").removesuffix(" range")
    inner, several = (kind[5:-1], "…") if kind.startswith("list[") else (kind, "")
    shown = inner if "|" in inner else {"str": "TEXT", "int": "NUMBER", "float": "NUMBER"}.get(inner, inner.upper())
    return f"{word} {shown}{several}"


def _told(text: str) -> str:
    """Plain text, of which Markdown makes nothing else."""
    return "".join(f"\\{sign}" if sign in "*_<[" else sign for sign in text)
