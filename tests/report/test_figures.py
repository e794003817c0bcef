"""Figures carry the maps and their scores, stay small, and leave pyplot alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from captum_gag.report.figures import explanation_figure, save_figure


def test_each_panel_shows_its_array_under_its_score() -> None:
    rng = np.random.default_rng(0)
    photo, maps = rng.random((9, 9, 3)), {"A": rng.random((9, 9)), "B": rng.random((9, 9))}
    figure = explanation_figure(photo, maps, {"A": 0.12345, "B": float("nan")}, "cat (90%)")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["cat (90%)", "A\nRCAP 0.1235", "B\nRCAP nan"]
    for axes, shown in zip(figure.axes, [photo, *maps.values()], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), shown)
    assert plt.get_fignums() == []


def test_one_bright_pixel_does_not_darken_the_rest() -> None:
    saliency = np.full((20, 20), 0.1)
    saliency[3, 4] = 1.0
    figure = explanation_figure(np.zeros((20, 20, 3)), {"A": saliency}, {"A": 0.0}, "")
    assert figure.axes[1].images[0].get_clim() == (0.0, 0.1)


def test_sparse_and_empty_maps_are_drawn_dark(tmp_path: Path) -> None:
    sparse = np.zeros((30, 30))
    sparse[3, 4] = 0.5
    maps = {"sparse": sparse, "empty": np.zeros((30, 30))}
    figure = explanation_figure(np.zeros((30, 30, 3)), maps, dict.fromkeys(maps, 0.0), "")
    assert [axes.images[0].get_clim() for axes in figure.axes[1:]] == [(0.0, 0.5), (0.0, 1.0)]
    save_figure(figure, tmp_path / "dark.png")
    assert np.asarray(Image.open(tmp_path / "dark.png").convert("L"))[200, -100] == 0


def test_a_name_with_dollars_and_of_any_length_is_drawn_as_it_is(tmp_path: Path) -> None:
    title = "cost $x^ and a very long name of a class that would not fit above the photograph"
    figure = explanation_figure(np.zeros((8, 8, 3)), {"A": np.eye(8)}, {"A": 0.0}, title)
    save_figure(figure, tmp_path / "dollar.png")
    lines = figure.axes[0].get_title().splitlines()
    assert " ".join(lines) == title
    assert max(map(len, lines)) <= 28


def test_the_file_is_small_and_keeps_the_colors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = np.broadcast_to(np.array([0.8, 0.2, 0.1]), (224, 224, 3))
    maps = {name: rng.random((224, 224)) ** 4 for name in "ABCD"}
    save_figure(explanation_figure(photo, maps, dict.fromkeys(maps, 0.5), "noise"), tmp_path / "it.png")
    assert (tmp_path / "it.png").stat().st_size < 300_000
    with Image.open(tmp_path / "it.png") as image:
        assert (image.format, image.size) == ("PNG", (1200, 290))
        np.testing.assert_allclose(image.convert("RGB").getpixel((120, 150)), [204, 51, 26], atol=16)
