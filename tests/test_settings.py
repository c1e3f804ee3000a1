"""Settings: what they are without any variable, and what comes from the environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_everything_lies_under_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/record.sqlite"
    assert settings.store_url == f"file://{tmp_path}/store"
    assert settings.broker_url == f"redis+socket://{tmp_path}/broker.sock?virtual_host=0"


def test_a_relative_data_folder_is_made_absolute(tmp_path: Path) -> None:
    assert Settings(data_dir=Path("here")).data_dir == tmp_path / "here"


def test_variables_win_over_what_is_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGMERGE_DATABASE_URL", "postgresql://somewhere/record")
    monkeypatch.setenv("NEGMERGE_ALLOWED_ROOTS", '["/data"]')
    settings = Settings()
    assert settings.database_url == "postgresql://somewhere/record"
    assert settings.allowed_roots == [Path("/data")]


def test_passwords_in_urls_are_not_shown() -> None:
    settings = Settings(database_url="postgresql://me:hush@there/record", broker_url="redis://:hush@there")
    assert "hush" not in repr(settings)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_a_lease_of_no_time_is_refused() -> None:
    with pytest.raises(ValidationError, match="lease_seconds"):
        Settings(lease_seconds=0)


def test_a_lease_that_ends_before_it_is_renewed_is_refused() -> None:
    with pytest.raises(ValidationError, match="NEGMERGE_RENEW_SECONDS"):
        Settings(lease_seconds=3, renew_seconds=3)


def test_zero_threads_means_every_core() -> None:
    assert Settings(threads=0).cpu_threads >= 1
    assert Settings(threads=3).cpu_threads == 3
