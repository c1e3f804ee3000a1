"""``negmerge run``: a whole job on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import ClassNames, Device, SpecFile, Templates, check_new, read_prompts, seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.cli.statuses import of_outcome
from negmerge.naming import visible


def run(
    spec_file: SpecFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Made by this command; must not exist yet.")],
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")] = 0,
    class_names: ClassNames = None,
    templates: Templates = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, whatever an earlier run has done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a whole job: sweep, merge, search for λ, test, weights, report.

    One that was stopped goes on where it stood when the same is asked for again. Ends with 3 where the result is below
    target, 4 where nothing was unlearned.
    """
    check_new(out)

    from rich.console import Console

    from negmerge.pipeline.local import read_spec
    from negmerge.pipeline.run_local import run_local
    from negmerge.pipeline.unfinished import kept
    from negmerge.report.console import following, result_table
    from negmerge.report.tables import show
    from negmerge.spec.words import heading, sentence

    spec = read_spec(spec_file)
    words, prompts = read_prompts(class_names, templates)
    try:
        with following(Console(stderr=True)) as on_stage:
            document = run_local(
                spec,
                out,
                device=device,
                threads=threads,
                class_names=words,
                templates=prompts,
                on_stage=on_stage,
                on_plan=on_stage.expect,
                restart=restart,
            )
    except (KeyboardInterrupt, SystemExit):
        if done := kept(out):
            typer.echo(f"kept: {done}; the same command goes on from there, --restart begins anew", err=True)
        raise
    if as_json:
        print_json(document)
        raise typer.Exit(of_outcome(document.outcome))
    show(result_table(document))
    typer.echo(f"{heading(document)}. {sentence(document)}")
    typer.echo(document.outcome_reason)
    for warning in document.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    typer.echo(f"Weights, report and result are in {seen(out)}")
    raise typer.Exit(of_outcome(document.outcome))
