"""``captum-gag explain`` of many files: what it takes, what it says, and what it gives to machines."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import image
from typer.testing import CliRunner, Result

from captum_gag.cli import app


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos/deep").mkdir(parents=True)
    image(1, (40, 20)).save("photos/a.png")
    image(2).save("photos/deep/b.png")
    Path("photos/broken.png").write_text("no image")


def explain(*arguments: str, lines: str = "") -> Result:
    given = ["explain", *arguments, "--model", "tiny:model", "--method", "SG", "--samples", "2", "--device", "cpu"]
    return CliRunner().invoke(app, given, input=lines)


def rows(result: Result) -> list[dict[str, object]]:
    return list(json.loads(result.stdout))


def test_folders_and_standard_input_with_path_and_size_for_machines() -> None:
    result = explain("photos", "--json")
    assert result.exit_code == 1
    assert "skipped photos/broken.png" in result.stderr
    found = [(each["image"], each["path"], each["width"], each["height"]) for each in rows(result)]
    assert found == [("a", "photos/a.png", 40, 20), ("b", "photos/deep/b.png", 14, 14)]
    with Path("captum-gag-out/scores.csv").open(newline="") as file:
        assert [each["path"] for each in csv.DictReader(file)] == ["photos/a.png", "photos/deep/b.png"]
    assert [each["path"] for each in rows(explain("-", "--json", lines="photos/deep\n"))] == ["photos/deep/b.png"]


def test_a_failing_method_costs_its_own_cells() -> None:
    result = explain("photos/a.png", "--json", "--method", "Grad-CAM:nowhere")
    assert result.exit_code == 1
    assert [(each["method"], each["score"] is None, bool(each["error"])) for each in rows(result)] == [
        ("Grad-CAM:nowhere", True, True),
        ("SG", False, False),
    ]


def test_names_of_classes_are_the_files_that_is_given_or_lies_beside() -> None:
    [row] = rows(explain("photos/a.png", "--json"))
    assert row["label"] == f"class {row['target']}"
    Path("photos/classes.csv").write_text("class_index,name\n0,ant\n1,bee\n2,cow\n")
    [row] = rows(explain("photos/a.png", "--json"))
    assert row["label"] == ["ant", "bee", "cow"][int(str(row["target"]))]
    Path("names.txt").write_text("eins\nzwei\ndrei\n")
    [row] = rows(explain("photos/a.png", "--json", "--labels", "names.txt"))
    assert row["label"] == ["eins", "zwei", "drei"][int(str(row["target"]))]


def test_a_class_that_the_model_is_not_sure_of_is_said() -> None:
    probabilities = {
        target: (result.stderr, float(str(rows(result)[0]["probability"])))
        for target in "012"
        for result in [explain("photos/a.png", "--json", "--target", target)]
    }
    assert sum(probability for _, probability in probabilities.values()) == pytest.approx(1)
    for said, probability in probabilities.values():
        assert ("not sure: a: " in said) == (probability < 0.5)


def test_maps_are_images_by_file_and_method_as_large_as_the_photograph() -> None:
    assert explain("photos/a.png", "--method", "GAG-7.5", "--overlay").exit_code == 0
    out = Path("captum-gag-out")
    assert sorted(path.name for path in out.glob("*.png")) == ["a-GAG-7-5.png", "a-SG.png", "a-explanation.png"]
    with Image.open(out / "a-SG.png") as drawn, Image.open("photos/a.png") as photo:
        assert drawn.size == photo.size == (40, 20)
        # The network sees the middle; beside it is the photograph, in grey.
        assert np.asarray(drawn)[:, 0, 0].tolist() == np.asarray(photo.convert("L"))[:, 0].tolist()
        assert (np.ptp(np.asarray(drawn).astype(int), axis=2)[:, 15:25] > 0).any()


@pytest.mark.parametrize("names", ["eins\nzwei\n", "nichts\neins\nzwei\ndrei\n"])
def test_names_of_more_or_fewer_classes_than_there_are_are_refused(names: str) -> None:
    Path("names.txt").write_text(names)
    result = explain("photos/a.png", "--labels", "names.txt")
    assert result.exit_code == 2
    assert "classes, and tiny has 3; expected a name for each" in result.stderr
