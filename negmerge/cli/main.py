"""``negmerge …``: the method on one machine, and a client of the service. Errors exit with status 2."""

import io
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from negmerge import __version__
from negmerge.cli import datasets, jobs, models
from negmerge.cli.apply import apply
from negmerge.cli.convert import convert
from negmerge.cli.evaluate import evaluate
from negmerge.cli.export import export
from negmerge.cli.inspect import inspect
from negmerge.cli.login import login
from negmerge.cli.match import match
from negmerge.cli.merge import merge, spread
from negmerge.cli.push import push
from negmerge.cli.run import run
from negmerge.cli.statuses import Ended
from negmerge.cli.track import track
from negmerge.errors import NegmergeError, SpecError
from negmerge.naming import visible

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Machine unlearning by sign-consensual merging of fine-tuned models (NegMerge).",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"negmerge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


_COMMANDS = (
    run,
    merge,
    apply,
    evaluate,
    convert,
    inspect,
    match,
    push,
    export,
    track,
    login,
)
for command in _COMMANDS:
    app.command()(command)
for group in (jobs, datasets, models):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])


def main() -> None:
    """The entry point: one line on stderr for an error, no traceback.

    Exit status: 0 done, 2 something is wrong with what was given, 3 a result below target, 4 one that unlearned
    nothing, 5 a service's job that failed, 6 one that was cancelled, 7 a service that does not answer, 8 a job that
    is not over in time, 130 stopped by Ctrl-C, 143 by TERM.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # λ where the locale has no λ
    try:
        status = app(args=spread(sys.argv[1:]) or ["--help"], prog_name="negmerge", standalone_mode=False)
    except typer.TyperException as error:
        _fail(f"{error.format_message().rstrip('.')}: see --help")
    except SpecError as error:
        _fail("; ".join(": ".join(filter(None, (wrong.pointer, wrong.detail))) for wrong in error.errors))
    except NegmergeError as error:
        _fail(str(error))
    except Ended as ended:
        _fail(str(ended), ended.status)
    except OSError as error:  # a full disk, a folder that may not be written to
        _fail(f"{visible(str(error.filename or 'a file'))} cannot be read or written: {error.strerror}")
    if status == 130:
        typer.echo("negmerge: stopped", err=True)
    raise SystemExit(status)


def _fail(message: str, status: int = 2) -> NoReturn:
    typer.echo(f"negmerge: {visible(' '.join(message.split()))}", err=True)
    raise SystemExit(status) from None


def _end(number: int, _frame: FrameType | None) -> None:
    """A signal as an exception, so that what is half done is removed on the way out."""
    raise SystemExit(128 + number)
