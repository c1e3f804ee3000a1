"""``negmerge jobs …``: jobs of a service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmerge.cli.given import OtherScale, SpecFile, offered, seen
from negmerge.cli.printed import AsJson, print_json, print_table, when
from negmerge.cli.remote import AllowHttp, Overwrite, Url, connected, told
from negmerge.cli.statuses import OF_OUTCOME, of_outcome
from negmerge.naming import shown, visible
from negmerge.spec.states import JobState

if TYPE_CHECKING:
    from negmerge.client import Client
    from negmerge.spec.job_resources import Job
    from negmerge.spec.result import ResultDocument

app = typer.Typer(help="Jobs of a service: submit, watch, fetch.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, job_….")]
Timeout = Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Wait no longer than that.")]


@app.command()
def submit(
    spec_file: SpecFile,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the job's end, as `watch` does.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge and estimate only; nothing is made.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Your own: the same spec under it is the same job.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Submit a job; prints its id."""
    from negmerge.formats.spec_files import read_document

    if dry_run and watch:
        raise typer.BadParameter("a dry run makes no job to watch: give --dry-run or --watch")
    document = read_document(spec_file)
    with connected(url, allow_http) as client:
        if dry_run:
            _estimate(client, document, as_json)
            return
        job = client.jobs.submit(document, idempotency_key=idempotency_key)
        if not watch:
            print_json(job) if as_json else typer.echo(job.id)
            return
        typer.echo(job.id, err=True)
        _watch(client, job.id, None, as_json)


@app.command("list")
def list_jobs(
    state: Annotated[
        list[str] | None, typer.Option(help="Only jobs in this state; repeatable.", autocompletion=offered(*JobState))
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs with this outcome; repeatable.", autocompletion=offered(*OF_OUTCOME)),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only jobs with it; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """List jobs, newest first."""
    from itertools import islice

    wanted = dict(_pair(given) for given in metadata or [])
    with connected(url, allow_http) as client:
        jobs = list(islice(client.jobs.list(states=state or (), outcomes=outcome or (), metadata=wanted), limit))
    if as_json:
        print_json(jobs)
        return
    print_table(["job", "state", "outcome", "done", "made (UTC)", "metadata"], [_row(job) for job in jobs])


@app.command()
def watch(
    job_id: JobId, timeout: Timeout = None, as_json: AsJson = False, url: Url = None, allow_http: AllowHttp = False
) -> None:
    """Wait for a job's end. Ctrl-C ends the waiting, never the job."""
    with connected(url, allow_http) as client:
        _watch(client, job_id, timeout, as_json)


@app.command()
def result(job_id: JobId, as_json: AsJson = False, url: Url = None, allow_http: AllowHttp = False) -> None:
    """Show a job's result: what became of it, and its figures."""
    with connected(url, allow_http) as client:
        document = _result(client, job_id)
    if as_json:
        print_json(document)
    else:
        _print_result(document)
    raise typer.Exit(of_outcome(document.outcome))


@app.command()
def compare(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB…", help="Two jobs or more, all with a result.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Show side by side where jobs' specs differ, and their figures. Long values are cut; --json and --csv have all."""
    from negmerge.cli.comparing import as_csv, as_table, compared

    if len(set(job_ids)) < 2:
        raise typer.BadParameter("give two jobs or more")
    if csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    with connected(url, allow_http) as client:
        rows = compared({job_id: _result(client, job_id) for job_id in dict.fromkeys(job_ids)})
    columns = ["", *dict.fromkeys(job_ids)]
    if as_json:
        print_json([{"what": name, **dict(zip(columns[1:], values, strict=True))} for name, *values in rows])
    elif csv:
        typer.echo(as_csv(columns, rows), nl=False)
    else:
        print_table(columns, as_table(rows))


@app.command()
def cancel(job_id: JobId, as_json: AsJson = False, url: Url = None, allow_http: AllowHttp = False) -> None:
    """Ask for a job's end."""
    with connected(url, allow_http) as client:
        job = client.jobs.cancel(job_id)
    print_json(job) if as_json else typer.echo(f"{job.id} is to be cancelled")


@app.command()
def delete(job_id: JobId, as_json: AsJson = False, url: Url = None, allow_http: AllowHttp = False) -> None:
    """Delete an ended job with all that it left."""
    with connected(url, allow_http) as client:
        client.jobs.delete(job_id)
    print_json({"deleted": job_id}) if as_json else typer.echo(f"{visible(job_id)} is deleted")


@app.command()
def download(
    job_id: JobId,
    artifact: Annotated[str | None, typer.Argument(metavar="[ARTIFACT]", help="One file, such as report.html.")] = None,
    weights: Annotated[bool, typer.Option("--weights", help="The unlearned weights alone, one file.")] = False,
    scale: OtherScale = None,
    out: Annotated[
        Path | None, typer.Option(metavar="OUT", help="A file, or a folder that is there; for all of it a folder.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    url: Url = None,
    allow_http: AllowHttp = False,
) -> None:
    """Download all that a job left into a folder, or one file of it. Goes on where an earlier one was cut off."""
    if weights and artifact is not None:
        raise typer.BadParameter("give an artifact or --weights, not both")
    if scale is not None and not weights:
        raise typer.BadParameter("--scale is of the weights: give --weights too")
    with connected(url, allow_http) as client:
        _check_over(client, job_id)
        if weights:
            paths = [client.jobs.weights(job_id, out, scale=scale, overwrite=overwrite, progress=told())]
        elif artifact is not None:
            paths = [client.jobs.download(job_id, artifact, out, overwrite=overwrite, progress=told())]
        else:
            paths = client.jobs.download_all(job_id, out or Path(job_id), overwrite=overwrite, progress=told())
    if as_json:
        print_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        typer.echo(seen(path))


def _watch(client: "Client", job_id: str, timeout: float | None, as_json: bool) -> None:
    from negmerge.client import JobEnded, StillRunning

    try:
        job = client.jobs.wait(job_id, timeout=timeout, progress=told())
    except (JobEnded, StillRunning) as error:
        if as_json:
            print_json(error.job)
        raise
    print_json(job) if as_json else typer.echo(_became(job))
    raise typer.Exit(of_outcome(job.outcome))


def _result(client: "Client", job_id: str) -> "ResultDocument":
    """The job's result. Where it has none, the command ends as `watch` does now: failed, cancelled, not over."""
    from negmerge.client import Conflict

    try:
        return client.jobs.result(job_id)
    except Conflict:
        _check_over(client, job_id)
        raise


def _check_over(client: "Client", job_id: str) -> None:
    """Raise StillRunning or JobEnded where a job has left nothing."""
    from negmerge.client import JobEnded, StillRunning

    job = client.jobs.get(job_id)
    if not job.terminal:
        raise StillRunning(job)
    if job.state != "succeeded":
        raise JobEnded.of(job)


def _row(job: "Job") -> list[str]:
    done, told = f"{100 * job.progress.fraction:.0f} %", (f"{key}={value}" for key, value in job.metadata.items())
    return [job.id, job.state.value, job.outcome or "–", done, when(job.created_at), ", ".join(told)]


def _became(job: "Job") -> str:
    why = f": {visible(job.outcome_reason)}" if job.outcome_reason else ""
    return f"{job.id} has succeeded, {(job.outcome or 'without an outcome').replace('_', ' ')}{why}"


def _estimate(client: "Client", document: dict[str, object], as_json: bool) -> None:
    answer = client.jobs.dry_run(document)
    if as_json:
        print_json(answer)
        return
    estimate = answer.estimate
    seconds = "" if estimate.seconds is None else f", about {estimate.seconds:.0f} s on one worker"
    typer.echo(f"the spec is right: {estimate.points} points{seconds} ({visible(estimate.basis)})")
    if answer.sweep_chosen is not None:
        typer.echo(visible(answer.sweep_chosen.why))
    for warning in answer.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)


def _print_result(document: "ResultDocument") -> None:
    from negmerge.cli.comparing import method_rows
    from negmerge.spec.words import heading, sentence

    print_table(["method", "scale λ", "forget", "retain"], method_rows(document))
    typer.echo(f"{heading(document)}. {sentence(document)}")
    typer.echo(visible(document.outcome_reason))
    for warning in document.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)


def _pair(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{shown(given)} is no KEY=VALUE")
    return key, value
