"""Who asked for a job, and what its parts are called: what its report says before any figure."""

from sqlalchemy.orm import Session

from app.record import db
from app.record.tables import ApiKey, Dataset, Job, Model
from negmerge.spec.job import parse
from negmerge.spec.references import DatasetRef
from negmerge.spec.result import Asked, Named
from negmerge.spec.sources import ModelSource, RegisteredDataset, RegisteredModel, called, on_hub, stored_source


def asked(session: Session, job: Job) -> Asked:
    """The job's key and parts by their names of now; what is gone by now is called by its id."""
    spec = parse(job.spec)
    key = session.get(ApiKey, job.created_by)
    return Asked(
        by=Named(id=job.created_by, name=key.name if key is not None else job.created_by),
        at=job.created_at,
        concluded_at=db.now(session),
        base_model=_model(session, spec.base_model.source),
        forget=_dataset(session, spec.forget),
        retain=_dataset(session, spec.retain),
        hub=_hub(session, spec.base_model.source),
    )


def _dataset(session: Session, ref: DatasetRef) -> Named:
    if not isinstance(ref.source, RegisteredDataset):
        return Named(name=called(ref.source))
    row = session.get(Dataset, ref.source.id)
    return Named(id=ref.source.id, name=row.name if row is not None else ref.source.id)


def _model(session: Session, source: ModelSource) -> Named:
    if not isinstance(source, RegisteredModel):
        return Named(name=called(source))
    row = session.get(Model, source.id)
    return Named(id=source.id, name=row.name if row is not None else source.id)


def _hub(session: Session, source: ModelSource) -> str | None:
    """Where the base model came from on a hub, if it did: by the spec, or by the registered model that it names."""
    if not isinstance(source, RegisteredModel):
        return on_hub(source)
    row = session.get(Model, source.id)
    return None if row is None or row.uri is None else on_hub(stored_source(row.uri))
