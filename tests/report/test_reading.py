"""A job's result, read back."""

from pathlib import Path

import pytest

from negmerge.errors import NegmergeError
from negmerge.report.reading import load_result


def test_a_result_is_read_from_the_folder_or_the_file(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"scale": 0.5}')
    assert load_result(tmp_path) == load_result(str(tmp_path / "result.json")) == {"scale": 0.5}


@pytest.mark.parametrize(
    ("text", "word"), [(None, "cannot be read"), ("{", "not a JSON document"), ("[]", "JSON object")]
)
def test_what_is_no_result_is_told(tmp_path: Path, text: str | None, word: str) -> None:
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    with pytest.raises(NegmergeError, match=word):
        load_result(tmp_path / "result.json")
