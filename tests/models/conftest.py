"""Classifiers' folders that tests of several files load."""

from pathlib import Path

import pytest

from tests.support import pico_timm


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with random weights for each architecture."""
    top = tmp_path_factory.mktemp("classifiers")
    return {name: pico_timm.write_folder(top / name, config) for name, config in pico_timm.CONFIGS.items()}
