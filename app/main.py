"""The FastAPI application. ``create_app`` makes it; nothing happens when this module is imported."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from anyio import CapacityLimiter, create_task_group, sleep
from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

import negmerge
from app.api import artifacts, datasets, evidence, jobs, models, openapi, problems, reference, samples, system
from app.api.deps import Services, caller, single_values
from app.api.headers import HeadAsGet
from app.api.streams import OpenStreams
from app.api.telemetry import CountRequests, Telemetry
from app.dispatch import Dispatcher
from app.guide import serving
from app.intake.cutting import Cutter
from app.intake.registration import DatasetIn, ModelIn, Registrar
from app.page import unknown, views
from app.page.throttle import Throttle
from app.pictures.archives import Archives
from app.pictures.copies import Copies
from app.pictures.matching import Matcher
from app.pictures.reader import Reader
from app.pictures.thumbnails import Thumbnails
from app.record.db import Database
from app.settings import Settings
from app.store.folders import remove_stale
from app.store.objects import Store
from negmerge.spec.derived import DerivedJobSpec
from negmerge.spec.job import JobSpec
from negmerge.spec.resources import Problem

log = structlog.get_logger(__name__)

_UPLOADS = 4
"""Uploads that may be checked side by side, on machines with fewer cores too: some wait for a disk."""
_LOOKS = 16
"""Requests for pictures side by side; most wait for one of few processes, or for another's that makes theirs too."""
_TIDY_SECONDS = 60


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application for these settings, by default those of the environment. Its lifespan opens all parts."""
    settings = settings or Settings()
    app = FastAPI(
        title="NegMerge",
        version=negmerge.__version__,
        description=openapi.DESCRIPTION,
        lifespan=_lifespan(settings),
        docs_url=None,  # ours are in `reference`
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
    )
    problems.install(app)
    unknown.install(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(CountRequests)
    app.include_router(system.router)
    app.include_router(reference.router)
    for part in (datasets, samples, models, jobs, evidence, artifacts):
        app.include_router(
            part.router, dependencies=[Depends(caller), Depends(single_values)]
        )  # no route can forget them
    for view in views.routers():
        app.include_router(view)
    if serving.is_built():
        app.mount(serving.PLACE, serving.Guide())
    else:
        app.include_router(serving.router)
    app.state.sign_ins = Throttle()
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _lifespan(settings: Settings) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.database_url)
        store = await run_in_threadpool(Store.open, settings.store_url)
        for folder in ("uploads", "pictures/new"):
            await run_in_threadpool(remove_stale, settings.data_dir / folder)
        reader = Reader(settings)
        archives = Archives(settings, database, store, reader)
        with Dispatcher(settings.broker_url) as dispatcher:
            app.state.services = Services(
                settings=settings,
                database=database,
                store=store,
                dispatcher=dispatcher,
                cutter=Cutter(settings, store),
                registrar=Registrar(settings, database, store),
                archives=archives,
                thumbnails=Thumbnails(settings, archives, reader),
                matcher=Matcher(settings, database, archives, reader),
                streams=OpenStreams(settings.max_streams_per_key),
                uploading=CapacityLimiter(max(_UPLOADS, os.cpu_count() or 1)),
                looking=CapacityLimiter(_LOOKS),
            )
            app.state.telemetry = Telemetry(database, settings.lease_seconds)
            async with create_task_group() as tasks:
                tasks.start_soon(_tidy, archives.copies)
                yield
                tasks.cancel_scope.cancel()
        database.dispose()

    return lifespan


async def _tidy(copies: Copies) -> None:
    """Once a minute what was copied of data sets that are gone goes too."""
    while True:
        try:
            await run_in_threadpool(copies.tidy)
        except (OSError, SQLAlchemyError) as error:  # the next minute may be better
            log.warning("copies could not be tidied", error=str(error))
        await sleep(_TIDY_SECONDS)


def _described(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi.document(app, [JobSpec, DerivedJobSpec, DatasetIn, ModelIn, Problem])
    return app.openapi_schema
