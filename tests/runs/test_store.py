"""What a run keeps: typed columns whatever is in them, damaged files that are named, and all records in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from scoring import config_of, run_of

from captum_gag.errors import InputError
from captum_gag.runs import collecting
from captum_gag.runs.columns import RECORD
from captum_gag.runs.config import Config
from captum_gag.runs.execution import execute
from captum_gag.runs.store import Run
from captum_gag.runs.tables import DamagedError

SUITE = {"methods": ["Sobel", "Random"], "metrics": {"RCAP": {}, "AOPC": {"steps": [2]}}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_of(tmp_path / "run", config_of(SUITE, limit=3))


def test_every_file_has_every_column_of_its_type(run: Run) -> None:
    files = sorted((run.directory / "scores").iterdir())
    assert len(files) == 3
    for file in files:
        assert pq.read_schema(file).remove_metadata() == RECORD
    together = pd.read_parquet(run.directory / "scores")
    assert len(together) == 3 * 2 * 2
    assert set(together.columns) == set(RECORD.names)


def test_files_of_columns_without_values_can_be_read_together(run: Run) -> None:
    """An image that failed has no curve, no class and no direction of its own."""
    known = run.scores().iloc[0]
    nothing = dict.fromkeys(RECORD.names) | {"image": "broken", "error": "no image", "score": np.nan}
    run.keep("broken", "", [nothing])
    together = pd.read_parquet(run.directory / "scores")
    assert together.loc[together["image"] == "broken", "error"].tolist() == ["no image"]
    kept = together.loc[(together["image"] == known["image"]) & together["curve_y"].notna(), "curve_y"]
    assert len(kept) == 2
    assert kept.iloc[0].dtype == np.float64


def test_curves_are_lists_and_steps_are_numbers(run: Run) -> None:
    scores = run.scores()
    assert scores.loc[scores["metric"] == "AOPC", "steps"].unique().tolist() == [2]
    rcap = scores[scores["metric"] == "RCAP"].iloc[0]
    assert list(rcap["curve_x"]) == [1, 2, 3, 4, 5]
    # RCAP is the mean of what its curve shows.
    assert np.mean(rcap["curve_y"]) == pytest.approx(rcap["score"], abs=1e-6)
    assert scores.groupby("method")["control"].first().to_dict() == {"Random": "random", "Sobel": "edges"}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"garbage that is no parquet", None])
def test_a_damaged_file_of_scores_is_named_and_computed_again(run: Run, content: bytes | None) -> None:
    expected = run.scores().drop(columns="seconds")
    file = sorted((run.directory / "scores").iterdir())[1]
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    with pytest.warns(UserWarning, match="is damaged .* captum-gag resume"):
        assert run.scores()["image"].nunique() == 2
    said: list[str] = []
    assert execute(Run.load(run.directory), say=said.append) == 1
    assert file.name in said[0]
    assert "is damaged" in said[0]
    pd.testing.assert_frame_equal(Run.load(run.directory).scores().drop(columns="seconds"), expected)


def test_a_damaged_selection_is_named_and_made_again(run: Run) -> None:
    (run.directory / "selection.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is damaged"):
        run.chosen()
    said: list[str] = []
    assert execute(Run.load(run.directory), say=said.append) == 0
    assert "selection.parquet: is damaged" in said[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "run.json: is damaged"),
        (lambda text: text[: len(text) // 2], "run.json: is damaged"),
        (lambda text: "[1]", "run.json: was written with schema None"),
        (lambda text: "3", "run.json: was written with schema None"),
        (lambda text: "{}", "run.json: was written with schema"),
        (lambda text: '{"schema": 2}', "run.json: is damaged"),
        (lambda text: '{"schema": 2, "config": {}, "identity": {}}', "run.json: "),
        (lambda text: '{"schema": 2, "config": [], "identity": []}', "run.json: is damaged"),
        (lambda text: text.replace('"seed"', '"colour"'), "run.json: Config: unknown option 'colour'"),
        (lambda text: json.dumps({"suite": {}, "versions": {}}), "was written with schema 1, this version .* reads 2"),
        (lambda text: json.dumps({**json.loads(text), "schema": 3}), "was written with schema 3"),
        (lambda text: json.dumps({"schema": 2, "config": 1, "identity": {}}), "is damaged"),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line(run: Run, change: Any, message: str) -> None:
    path = run.directory / "run.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message):
        Run.load(run.directory)


def test_records_of_a_version_with_fewer_columns_are_read(run: Run) -> None:
    expected = run.scores()
    for file in (run.directory / "scores").iterdir():
        found = pq.read_table(file).drop_columns(["strength", "uses_segmentation"])
        # Nor did these say which columns they had.
        marks = {name: mark for name, mark in found.schema.metadata.items() if name != b"columns"}
        pq.write_table(found.replace_schema_metadata(marks), file)
    found = run.scores()
    assert found[["strength", "uses_segmentation"]].isna().all(axis=None)
    known = [name for name in RECORD.names if name not in ("strength", "uses_segmentation")]
    pd.testing.assert_frame_equal(found[known], expected[known])


def test_records_say_which_run_they_are_of(run: Run) -> None:
    scores = run.scores()
    assert scores["run"].unique().tolist() == [run.digest]
    file = next((run.directory / "scores").iterdir())
    other = pq.read_table(file).replace_schema_metadata({"run": "another", "photo": ""})
    pq.write_table(pa.table(other), file)
    assert run.scores()["image"].nunique() == 2


IMAGES = list("abcdef")
CONFIG = Config(suite={"methods": ["Sobel"], "metrics": ["RCAP"]}, model={"type": "demo"}, data={"type": "demo"})


@pytest.fixture
def collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of six images, the first three of which are done; more than one of them is kept in one file too."""
    monkeypatch.setattr(collecting, "FEW", 1)
    run = Run.create(tmp_path / "run", CONFIG, {})
    run.select(pd.DataFrame({"image": IMAGES, "target": 1, "probability": 0.5, "photo": "p", "stamp": ""}))
    for image in "abc":
        keep(run, image, 1)
    return run


def keep(run: Run, image: str, score: float) -> None:
    row = {"image": image, "target": 1, "method": "Sobel", "metric": "RCAP", "score": score, "error": ""}
    run.keep(image, "p", [row | {"curve_x": [0.0, 1.0], "curve_y": [score, score]}])


def fail(*args: Any) -> Any:
    raise AssertionError("a file of an image was read")


def test_what_was_read_is_read_from_one_file_again(collected: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, image in enumerate(IMAGES):
        keep(collected, image, place)
    expected = collected.scores()
    assert expected["image"].tolist() == IMAGES
    monkeypatch.setattr(Run, "_read", fail)
    assert_frame_equal(Run.load(collected.directory).scores(), expected)
    # Beside the directory of which docs/runs.md says that pandas reads it: no row is there twice.
    assert len(pd.read_parquet(collected.directory / "scores")) == len(IMAGES)


def test_columns_left_out_change_nothing_else(collected: Run) -> None:
    for place, image in enumerate(IMAGES):
        keep(collected, image, place)
    # Of the images' own files first, then of the one for all.
    for left_out in (["photo", "curve_x"], ["photo", "curve_x"], []):
        found = collected.scores(left_out)
        assert_frame_equal(found, collected.scores().drop(columns=left_out))
    assert collected.scores()["curve_y"].tolist() == [[place, place] for place in range(len(IMAGES))]


def test_few_images_have_no_file_for_all(collected: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FEW", 3)
    assert len(collected.scores()) == 3
    assert not collected._collected.exists()
    for image in "abc":
        collected._scores_of(image).unlink()
    with pytest.raises(InputError, match="no image is done yet; go on with: captum-gag resume"):
        collected.scores()


def test_a_record_that_comes_while_others_are_read_is_there_the_next_time(
    collected: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Run._read

    def meanwhile(self: Run, image: str, photo: str) -> Any:
        found = read(self, image, photo)
        if image == "c":
            # One that was read already is replaced by a file of the same size, and another comes.
            keep(collected, "a", 2)
            keep(collected, "b", 3)
            keep(collected, "e", 4)
        return found

    monkeypatch.setattr(Run, "_read", meanwhile)
    assert collected.scores()["score"].tolist() == [1, 1, 1, 4]
    monkeypatch.setattr(Run, "_read", read)
    assert collected.scores()["score"].tolist() == [2, 3, 1, 4]


def test_a_file_for_all_that_is_damaged_or_of_before_is_not_taken(collected: Run) -> None:
    expected = collected.scores()
    content = bytearray(collected._collected.read_bytes())
    for place in (len(content) // 2, len(content) - 40):
        content[place] ^= 0x41
        collected._collected.write_bytes(content)
        assert_frame_equal(collected.scores(), expected)
    # As large as the one before.
    keep(collected, "a", 2)
    assert collected.scores()["score"].tolist() == [2, 1, 1]


def test_a_damaged_record_is_named_though_all_were_collected(collected: Run) -> None:
    assert len(collected.scores()) == 3
    collected._scores_of("b").write_bytes(b"PAR1")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"is damaged \(.*\); left out until scored again by: captum-gag resume"):
            assert collected.scores()["image"].tolist() == ["a", "c"]
    with pytest.raises(DamagedError, match="is damaged"):
        collected.is_done("b", "p")
