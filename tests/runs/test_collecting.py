"""The file for all records of a run says what the files of its images say, whatever happened to them since."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from captum_gag.errors import InputError
from captum_gag.runs import collecting
from captum_gag.runs.config import Config
from captum_gag.runs.store import Run
from captum_gag.runs.tables import DamagedError

IMAGES = list("abcdef")
CONFIG = Config(suite={"methods": ["Sobel"], "metrics": ["RCAP"]}, model={"type": "demo"}, data={"type": "demo"})


@pytest.fixture(autouse=True)
def of_few_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FEW", 1)


def begun(directory: Path) -> Run:
    run = Run.create(directory, CONFIG, {})
    select(run, IMAGES)
    return run


def select(run: Run, images: list[str]) -> None:
    run.select(pd.DataFrame({"image": images, "target": 1, "probability": 0.5, "photo": "p", "stamp": ""}))


def keep(run: Run, image: str, score: float, photo: str = "p") -> None:
    row = {"image": image, "target": 1, "method": "Sobel", "metric": "RCAP", "score": score, "error": ""}
    run.keep(image, photo, [row | {"curve_x": [0.0, 1.0], "curve_y": [score, score]}], {})


def file_of(run: Run, image: str) -> Path:
    return run._scores_of(image)


def own(run: Run) -> pd.DataFrame | None:
    """Return the records of the images' own files, which is what scores() must say; None if there are none."""
    run._collected.unlink(missing_ok=True)
    try:
        return run.scores()
    except InputError:
        return None


def fail(*args: Any) -> Any:
    raise AssertionError("a file of an image was read")


def test_what_was_read_is_read_from_one_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(tmp_path / "run")
    for place, image in enumerate(IMAGES):
        keep(run, image, place)
    expected = run.scores()
    assert expected["image"].tolist() == IMAGES
    monkeypatch.setattr(Run, "_read", fail)
    assert_frame_equal(Run.load(run.directory).scores(), expected)
    # Beside the directory of which docs/runs.md says that pandas reads it: no row is there twice.
    assert len(pd.read_parquet(run.directory / "scores")) == len(IMAGES)


def test_columns_left_out_change_nothing_else(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    for place, image in enumerate(IMAGES):
        keep(run, image, place)
    # Of the images' own files first, then of the one for all.
    for left_out in (["photo", "curve_x"], ["photo", "curve_x"], []):
        found = run.scores(left_out)
        assert_frame_equal(found, run.scores().drop(columns=left_out))
    assert run.scores()["curve_y"].tolist() == [[place, place] for place in range(len(IMAGES))]


def test_few_images_have_no_file_for_all(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    keep(run, "a", 1)
    assert len(run.scores()) == 1
    assert not run._collected.exists()


STEP = st.tuples(
    st.sampled_from(["keep", "of another photograph", "damage", "delete", "select", "describe", "damage all", "read"]),
    st.sampled_from(IMAGES),
    st.integers(0, 9),
)


@pytest.mark.filterwarnings("ignore:.*is damaged")
@given(st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_to_a_run_each_record_is_there_once_and_as_it_is_now(
    steps: list[tuple[str, str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run, known = begun(Path(directory) / "run"), {}
        for place, (what, image, number) in enumerate(steps):
            if what in ("keep", "of another photograph"):
                keep(run, image, number, "p" if what == "keep" else "q")
                known[image] = float(number) if what == "keep" else None
            elif what == "damage" and file_of(run, image).exists():
                file_of(run, image).write_bytes(file_of(run, image).read_bytes()[: -number - 1])
                known[image] = None
            elif what == "delete":
                file_of(run, image).unlink(missing_ok=True)
                known[image] = None
            elif what == "select":
                select(run, list(np.roll(IMAGES, number)))
            elif what == "describe":
                run.describe(CONFIG, {"weights": str(place)})
                known = {}
            elif what == "damage all" and run._collected.exists():
                run._collected.write_bytes(run._collected.read_bytes()[: 100 * number])
            expected = {image: known[image] for image in run.chosen()["image"] if known.get(image) is not None}
            if what == "read" and expected:
                assert dict(zip(run.scores()["image"], run.scores()["score"], strict=True)) == expected
        found = run.scores() if any(score is not None for score in known.values()) else None
        assert found is None if own(run) is None else found is not None and found.equals(own(run))


def test_a_record_that_comes_while_others_are_read_is_there_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = begun(tmp_path / "run"), Run._read
    for image in "abc":
        keep(run, image, 1)

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


def test_a_damaged_record_is_named_though_all_were_collected(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    for image in "abc":
        keep(run, image, 1)
    assert len(run.scores()) == 3
    file_of(run, "b").write_bytes(b"PAR1")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"is damaged \(.*\); left out until scored again by: captum-gag resume"):
            assert run.scores()["image"].tolist() == ["a", "c"]
    with pytest.raises(DamagedError, match="is damaged"):
        run.is_done("b", "p")
