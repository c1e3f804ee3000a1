"""``negmerge track``: a finished result as a run of MLflow."""

import os
from pathlib import Path
from typing import Annotated

import typer

from negmerge.cli.given import need, seen
from negmerge.cli.printed import AsJson, print_json
from negmerge.errors import PublishError


def track(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A finished job's: what `negmerge run` made.")],
    experiment: Annotated[str, typer.Option(help="MLflow's experiment, made where it is missing.")] = "negmerge",
    register: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make the weights a version of this registered model.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Log a result in MLflow: spec, figures, λ curve, files; the same result again is the same run.

    The server is MLFLOW_TRACKING_URI, with the credentials that MLflow itself reads.
    """
    need("mlflow", "mlflow")
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise PublishError("MLFLOW_TRACKING_URI is not set: name the server, such as https://mlflow.example.org")
    if not folder.is_dir():
        raise PublishError(f"there is no folder {seen(folder)}: give the folder of a finished job")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it tells its makers what is logged

    from negmerge.publishing import tracking
    from negmerge.publishing.folders import opened

    with opened(folder) as model:
        done = tracking.track(model, folder, uri, experiment, register)
    if not done.new:
        typer.echo("this result was tracked before: nothing was logged again", err=True)
    if as_json:
        print_json(done)
        return
    typer.echo(f"run {done.run}" + (f", {register} version {done.version}" if done.version else ""))
