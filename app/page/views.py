"""All views of the page, for the application."""

from fastapi import APIRouter

from app.page import (
    admin,
    asset_route,
    compare,
    datasets,
    downloads,
    examples,
    home,
    job,
    models,
    new,
    pictures,
    sign_in,
)


def routers() -> list[APIRouter]:
    """The routes of each view."""
    return [
        view.router
        for view in (
            asset_route,
            sign_in,
            home,
            new,
            job,
            downloads,
            examples,
            compare,
            datasets,
            models,
            pictures,
            admin,
        )
    ]
