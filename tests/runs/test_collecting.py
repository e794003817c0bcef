"""The file for all records of a run says what the files of its images say, whatever happened to them since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from captum_gag.runs import collecting
from captum_gag.runs.config import Config
from captum_gag.runs.store import Run
from captum_gag.runs.tables import DamagedError

IMAGES = list("abcdef")
CONFIG = Config(suite={"methods": ["Sobel"], "metrics": ["RCAP"]}, model={"type": "demo"}, data={"type": "demo"})


@pytest.fixture(autouse=True)
def of_few_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FEW", 1)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of six images, the first three of which are done."""
    run = Run.create(tmp_path / "run", CONFIG, {})
    run.select(pd.DataFrame({"image": IMAGES, "target": 1, "probability": 0.5, "photo": "p", "stamp": ""}))
    for image in "abc":
        keep(run, image, 1)
    return run


def keep(run: Run, image: str, score: float) -> None:
    row = {"image": image, "target": 1, "method": "Sobel", "metric": "RCAP", "score": score, "error": ""}
    run.keep(image, "p", [row | {"curve_x": [0.0, 1.0], "curve_y": [score, score]}], {})


def fail(*args: Any) -> Any:
    raise AssertionError("a file of an image was read")


def test_what_was_read_is_read_from_one_file_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, image in enumerate(IMAGES):
        keep(run, image, place)
    expected = run.scores()
    assert expected["image"].tolist() == IMAGES
    monkeypatch.setattr(Run, "_read", fail)
    assert_frame_equal(Run.load(run.directory).scores(), expected)
    # Beside the directory of which docs/runs.md says that pandas reads it: no row is there twice.
    assert len(pd.read_parquet(run.directory / "scores")) == len(IMAGES)


def test_columns_left_out_change_nothing_else(run: Run) -> None:
    for place, image in enumerate(IMAGES):
        keep(run, image, place)
    # Of the images' own files first, then of the one for all.
    for left_out in (["photo", "curve_x"], ["photo", "curve_x"], []):
        found = run.scores(left_out)
        assert_frame_equal(found, run.scores().drop(columns=left_out))
    assert run.scores()["curve_y"].tolist() == [[place, place] for place in range(len(IMAGES))]


def test_few_images_have_no_file_for_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FEW", 3)
    assert len(run.scores()) == 3
    assert not run._collected.exists()


def test_a_record_that_comes_while_others_are_read_is_there_the_next_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Run._read

    def meanwhile(self: Run, image: str, photo: str) -> Any:
        found = read(self, image, photo)
        if image == "c":
            # One that was read already is replaced by a file of the same size, and another comes.
            keep(run, "a", 2)
            keep(run, "b", 3)
            keep(run, "e", 4)
        return found

    monkeypatch.setattr(Run, "_read", meanwhile)
    assert run.scores()["score"].tolist() == [1, 1, 1, 4]
    monkeypatch.setattr(Run, "_read", read)
    assert run.scores()["score"].tolist() == [2, 3, 1, 4]


def test_a_file_for_all_that_is_damaged_or_of_before_is_not_taken(run: Run) -> None:
    expected = run.scores()
    content = bytearray(run._collected.read_bytes())
    for place in (len(content) // 2, len(content) - 40):
        content[place] ^= 0x41
        run._collected.write_bytes(content)
        assert_frame_equal(run.scores(), expected)
    # As large as the one before.
    keep(run, "a", 2)
    assert run.scores()["score"].tolist() == [2, 1, 1]


def test_a_damaged_record_is_named_though_all_were_collected(run: Run) -> None:
    assert len(run.scores()) == 3
    run._scores_of("b").write_bytes(b"PAR1")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"is damaged \(.*\); left out until scored again by: captum-gag resume"):
            assert run.scores()["image"].tolist() == ["a", "c"]
    with pytest.raises(DamagedError, match="is damaged"):
        run.is_done("b", "p")
