"""A finished result as a run of MLflow: what was asked, what came out, the files; and its weights in the registry."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from negmerge.checkpoints.files import file_digest
from negmerge.errors import PublishError
from negmerge.naming import is_seen, shown
from negmerge.publishing.folders import CARD, Publication
from negmerge.spec import paths, words
from negmerge.spec.figures import Part, SideName
from negmerge.spec.result import MethodRow, ResultDocument

MAX_EXPERIMENT = 500
"""Characters of an experiment's name that MLflow takes."""
MAX_REGISTERED = 250
"""Characters of a registered model's name; MLflow's own table has 256."""
MAX_VALUE = 6000
"""Characters of a parameter's value that MLflow takes; a longer one is said by its length."""

_RESULT = "negmerge.result"
"""The tag that a result is found again by: the digest of its ``result.json``."""
_FILES = (paths.RESULT, "report.html", CARD)
_FOLDER = paths.UNLEARNED.rstrip("/")
"""Of the model, among a run's artifacts."""


@dataclass(frozen=True)
class Tracked:
    """The run of a result, and its weights' version where they were registered. new: whether this call made the run."""

    run: str
    version: str | None
    new: bool


def track(
    model: Publication, folder: Path, tracking_uri: str, experiment: str = "negmerge", register: str | None = None
) -> Tracked:
    """Log the result in ``folder`` as one run, with the files that a job leaves; the same result again is the same run.

    register: a registered model that the weights become a version of, made where it is missing. Raises PublishError
    where there is no result, a name will not do, or MLflow refuses or is not reached: then no finished run is left.
    """
    if model.result is None:
        raise PublishError("there is no result.json: give the folder of a finished job")
    _check_name("experiment", experiment, MAX_EXPERIMENT)
    if register is not None:
        _check_name("registered model", register, MAX_REGISTERED, "/:")
    try:
        client = MlflowClient(tracking_uri)
        place = _experiment(client, experiment)
        result = file_digest(folder / paths.RESULT)
        run = _found(client, place, result)
        new = run is None
        if run is None:
            run = _logged(client, place, model, model.result, folder, result)
        version = None if register is None else _version(client, run, register, model.result)
    except ImportError as error:  # artifacts that lie in a cloud go there with its own client
        missing = error.name or "a package"
        raise PublishError(
            f"MLflow needs {missing} for where this server or experiment keeps its files: pip install {missing}, or "
            "have the server take the files itself (mlflow server --serve-artifacts)"
        ) from error
    except (MlflowException, OSError) as error:
        raise PublishError(f"MLflow did not take the result: {' '.join(str(error).split())[:300]}") from error
    return Tracked(run, version, new)


def parameters(document: ResultDocument) -> dict[str, str]:
    """What was asked, field by field: ``forget.select.classes``. A long value (a list of ids) is said by its length.

    ``metadata`` is one parameter, since its keys are anybody's, and MLflow does not take any name for a key.
    """
    spec = document.as_json()["spec"]
    return {name: _value(value) for name, value in _flat(spec)}


def metrics(document: ResultDocument) -> dict[str, float]:
    """The figures that the report begins with, the scale, the consensus, and the accuracies of all methods compared."""
    found = {
        "scale": document.scale,
        "consensus": document.consensus.share,
        "rounded_away": document.rounded_away,
        **_accuracies(document, document.methods[document.method], ""),
        **_accuracies(document, document.methods["base"], "_before"),
    }
    for name, row in document.methods.items():
        if name not in ("base", document.method):
            found |= _accuracies(document, row, f".{name}")
    return found


def _accuracies(document: ResultDocument, row: MethodRow, ending: str) -> dict[str, float]:
    parts: dict[SideName, Part] = {"forget": document.splits.forget_part, "retain": "test"}
    figures = {side: row.figure(part, side) for side, part in parts.items()}
    return {f"{side}_accuracy{ending}": figure.accuracy for side, figure in figures.items() if figure is not None}


def curve(document: ResultDocument) -> list[dict[str, float]]:
    """The λ curve on validation data, a step for each scale that was tried."""
    rows = document.methods[document.method].curve or []
    return [
        {
            "curve.scale": row.scale,
            "curve.forget_accuracy": row.forget.accuracy,
            "curve.retain_accuracy": row.retain.accuracy,
        }
        for row in rows
    ]


def _tags(document: ResultDocument) -> dict[str, str]:
    """What a run and a version are found by: outcome, job and digests."""
    digests = {f"negmerge.digest.{name}": digest for name, digest in document.digests}
    named = {"negmerge.outcome": document.outcome, "negmerge.version": document.environment.negmerge}
    return named | digests | ({"negmerge.job": document.job} if document.job else {})


def _logged(
    client: MlflowClient, experiment: str, model: Publication, document: ResultDocument, folder: Path, result: str
) -> str:
    """A new run with all of a result in it; a run that breaks off is left as failed, and is not found again."""
    begun, ended = (int(at.timestamp() * 1000) for at in (document.asked.at, document.asked.concluded_at))
    note = f"{words.sentence(document)} {document.outcome_reason}"
    tags = _tags(document) | {_RESULT: result, "mlflow.note.content": note}
    run: str = client.create_run(experiment, start_time=begun, tags=tags, run_name=words.heading(document)).info.run_id
    try:
        client.log_batch(run, params=[Param(name, value) for name, value in parameters(document).items()])
        once = [Metric(name, value, ended, 0) for name, value in metrics(document).items()]
        steps = [
            Metric(name, value, ended, step) for step, row in enumerate(curve(document)) for name, value in row.items()
        ]
        client.log_batch(run, metrics=once + steps)
        for name in _FILES:
            if (folder / name).is_file():
                client.log_artifact(run, str(folder / name))
        for path in model.files.values():
            client.log_artifact(run, str(path), _FOLDER)
    except BaseException:
        with suppress(MlflowException):  # a server that is gone cannot be told; its run stays as one that is running
            client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run, "FINISHED", ended)
    return run


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _found(client: MlflowClient, experiment: str, result: str) -> str | None:
    """The finished run of a result, if there is one."""
    wanted = f"tags.`{_RESULT}` = '{result}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment], wanted, max_results=1)
    return runs[0].info.run_id if runs else None


def _version(client: MlflowClient, run: str, name: str, document: ResultDocument) -> str:
    """The version that a run's weights are, or become now, in a registered model of this name."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = [one for one in client.search_model_versions(f"run_id = '{run}'") if one.name == name]
    if versions:
        return str(versions[0].version)
    source = f"{client.get_run(run).info.artifact_uri}/{_FOLDER}"
    description = words.heading(document)
    made = client.create_model_version(name, source, run, tags=_tags(document), description=description)
    return str(made.version)


def _check_name(what: str, name: str, most: int, refused: str = "") -> None:
    if not name.strip() or len(name) > most or not is_seen(name) or set(name) & set(refused):
        signs = f", without {' and '.join(refused)}" if refused else ""
        raise PublishError(
            f"{shown(name[:100])} cannot be the name of MLflow's {what}: give one of 1 to {most} characters that can "
            f"all be seen{signs}"
        )


def _flat(document: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and value and name != "metadata":
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= MAX_VALUE:
        return text
    return f"{len(value)} {'characters' if isinstance(value, str) else 'entries'}, in result.json"
