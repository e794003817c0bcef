"""Tables show every score, mark the best, and read back from disk as they were."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from rich.console import Console

from captum_gag.report.tables import Row, score_table, write_scores


def rows() -> list[Row]:
    scores = {
        ("one", "GAG"): 0.5,
        ("one", "VG"): 0.25,
        ("two", "GAG"): float("nan"),
        ("two", "VG"): 0.75,
    }
    return [
        {"image": image, "method": method, "metric": "RCAP", "score": score, "label": "cat", "probability": 0.9}
        for (image, method), score in scores.items()
    ]


def printed(table: object) -> list[list[str]]:
    console = Console(file=StringIO(), width=100)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_line_per_image_and_the_mean_of_what_is_known() -> None:
    header, _, *lines = printed(score_table(rows()))
    assert header == ["image", "class", "metric", "GAG", "VG"]
    assert lines == [
        ["one", "cat", "90%", "RCAP", "0.5000", "0.2500"],
        ["two", "cat", "90%", "RCAP", "nan", "0.7500"],
        ["mean", "RCAP", "0.5000", "0.5000"],
    ]


def test_the_best_score_is_bold() -> None:
    table = score_table(rows())
    styles = [[str(cell.style) for cell in column.cells] for column in table.columns[3:]]
    assert styles == [["bold", "", "bold"], ["", "bold", "bold"]]


def test_one_image_has_no_mean_and_a_missing_score_is_nan() -> None:
    lines = printed(score_table([*rows()[:1], {**rows()[1], "metric": "Other"}]))
    assert lines[2:] == [
        ["one", "cat", "90%", "RCAP", "0.5000", "nan"],
        ["one", "cat", "90%", "Other", "nan", "0.2500"],
    ]


def test_names_are_not_taken_for_markup() -> None:
    assert printed(score_table([{**rows()[0], "image": "[red]cat[/red]"}]))[2][0] == "[red]cat[/red]"


def test_csv_reads_back(tmp_path: Path) -> None:
    written = [{**row, "image": 'a,"é'} for row in rows()]
    write_scores(tmp_path / "scores.csv", written)
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert found == [{key: str(value) for key, value in row.items()} for row in written]
