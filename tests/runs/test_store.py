"""What a run keeps: typed columns whatever is in them, and damaged files that are named, not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scoring import config_of, run_of

from captum_gag.errors import InputError
from captum_gag.runs.columns import RECORD
from captum_gag.runs.execution import execute
from captum_gag.runs.store import Run

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
    run.keep("broken", "", [nothing], {})
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
    with pytest.raises(InputError, match=message) as caught:
        Run.load(run.directory)
    assert "\n" not in str(caught.value)


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
