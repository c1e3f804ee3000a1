"""The report in a real browser, as the file that it is: nothing serious is wrong, and a phone shows it whole."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from negmerge.report import pages
from negmerge.spec.result import Gate
from tests.support import browser as browsers
from tests.support import page_results, results
from tests.support.browser import PHONE

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all that one can have: gates, curves, points."""
    gate = Gate(gate="forget_max", limit=0.1, figure=results.figure(1, 20), passed=True, sure=False)
    document = results.document(methods=page_results.methods(), scale=0.5, gates=[gate])
    place = tmp_path_factory.mktemp("report")
    (place / "report.html").write_text(pages.html(document))
    return place


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_wrong_with_the_report_on_a_phone(folder: Path, chromium: Browser, scheme: str) -> None:
    with browsers.watched(chromium, folder.as_uri(), viewport=PHONE, color_scheme=scheme) as phone:
        phone.open("/report.html")
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
