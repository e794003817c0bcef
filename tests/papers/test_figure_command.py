"""captum-gag papers figure: each command writes its figure and prints where, and says what cannot be drawn."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image
from scoring import call
from tiny import image
from typer.testing import Result


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    image(3, (20, 20)).save("cat.png")
    mask = Image.new("L", (20, 20))
    mask.paste(255, (5, 5, 15, 15))
    mask.save("mask.png")


def figure(*arguments: str) -> Result:
    return call("papers", "figure", *arguments, "--model", "tiny:model", "--out", "out")


def test_maps_of_the_methods_given() -> None:
    result = figure("maps", "cat.png", "--method", "GAG-85", "--method", "SG")
    assert (result.exit_code, result.stdout.split()) == (0, ["out/cat-maps.png"])
    with Image.open("out/cat-maps.png") as drawn:
        # Three panels, and the colour bar.
        assert drawn.size == (3 * 680, 3 * 240)


@pytest.mark.slow
def test_maps_of_all_methods_of_the_papers_table() -> None:
    result = figure("maps", "cat.png")
    assert result.stdout.split() == ["out/cat-maps.png"], result.output
    with Image.open("out/cat-maps.png") as drawn:
        # At most six panels in a row.
        assert drawn.width <= 3 * 1280
        assert drawn.height >= 3 * 480


def test_areas_of_a_map_at_a_lower_bound() -> None:
    result = figure("areas", "cat.png", "--method", "SG")
    assert (result.exit_code, result.stdout.split()) == (0, ["out/cat-areas.png"])
    with Image.open("out/cat-areas.png") as drawn:
        assert drawn.size == (3 * 1500, 3 * 290)


def test_propositions_and_their_scores() -> None:
    result = figure("propositions", "cat.png", "--mask", "mask.png", "--at", "0.5,0.5")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["out/cat-propositions.csv", "out/cat-propositions.png"]
    with Path("out/cat-propositions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["map"] for row in rows)) == [
        "M1: well placed, sharp",
        "M2: well placed, wide",
        "M3: misplaced, sharp",
        "M4: misplaced, wide",
    ]
    scores = {(row["map"][:2], row["metric"]): row["score"] for row in rows}
    assert scores["M1", "IAUC"] == scores["M2", "IAUC"]
    assert {"Log-Cosh Dice", "MAE"} <= {row["metric"] for row in rows}


def test_images_that_cannot_be_read_are_skipped() -> None:
    Path("broken.png").write_bytes(b"no image")
    result = figure("areas", "broken.png", "cat.png")
    assert result.exit_code == 1
    assert result.stdout.split() == ["out/cat-areas.png"]
    assert result.stderr.startswith("skipped broken.png: ")


def test_a_method_that_fails_is_left_out_of_the_figure_and_the_status_says_so() -> None:
    result = figure("maps", "cat.png", "--method", "SG", "--method", "Grad-CAM:nowhere")
    assert (result.exit_code, result.stdout.split()) == (1, ["out/cat-maps.png"])
    assert result.stderr.startswith("failed: Grad-CAM:nowhere on cat: ")


def test_a_photograph_of_the_demo_is_named() -> None:
    assert figure("areas", "chelsea").stdout.split() == ["out/chelsea-areas.png"]
