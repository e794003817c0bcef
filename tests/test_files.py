"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from captum_gag.files import replace_file


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    replace_file(path, lambda place: place.write_text("old"))

    def half(place: Path) -> None:
        place.write_text("ne")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace_file(path, half)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("run.json", "old")]


def test_two_that_write_the_same_file_at_once_do_not_mix(tmp_path: Path) -> None:
    """Processes on two machines that share a directory may have the same number."""
    path = tmp_path / "scores"

    def first(place: Path) -> None:
        with place.open("w") as file:
            file.write("a" * 10)
            file.flush()
            replace_file(path, lambda other: other.write_text("b" * 5))
            file.write("a" * 10)

    replace_file(path, first)
    assert path.read_text() == "a" * 20
    assert os.listdir(tmp_path) == ["scores"]
