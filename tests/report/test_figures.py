"""Figures carry the maps and their scores, stay small, and leave pyplot alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from captum_gag.report.figures import map_grid
from captum_gag.report.table_files import save_figure


def _one(title, photo, maps, scores=None):
    return map_grid({title: photo}, {title: maps}, {title: scores or dict.fromkeys(maps, 0.5)})


def test_each_panel_shows_its_array_under_its_score() -> None:
    rng = np.random.default_rng(0)
    photo, maps = rng.random((9, 9, 3)), {"A": rng.random((9, 9)), "B": rng.random((9, 9))}
    figure = _one("cat (90%)", photo, maps, {"A": 0.12345, "B": float("nan")})
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["cat (90%)", "A\nRCAP 0.1235", "B\nRCAP nan"]
    for axes, shown in zip(figure.axes, [photo, *maps.values()], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), shown)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("odd", [1.0, np.nan])
def test_one_bright_pixel_does_not_darken_the_rest_and_a_nan_does_not_hide_it(odd: float) -> None:
    saliency = np.full((20, 20), 0.1)
    saliency[3, 4] = odd
    figure = _one("", np.zeros((20, 20, 3)), {"A": saliency})
    assert figure.axes[1].images[0].get_clim() == (0.0, 0.1)


def test_sparse_and_empty_maps_are_drawn_dark(tmp_path: Path) -> None:
    sparse = np.zeros((30, 30))
    sparse[3, 4] = 0.5
    maps = {"sparse": sparse, "none": np.full((30, 30), np.nan), "empty": np.zeros((30, 30))}
    figure = _one("", np.zeros((30, 30, 3)), maps)
    assert [axes.images[0].get_clim() for axes in figure.axes[1:]] == [(0.0, 0.5), (0.0, 1.0), (0.0, 1.0)]
    save_figure(figure, tmp_path / "dark.png")
    assert np.asarray(Image.open(tmp_path / "dark.png").convert("L"))[600, -300] == 0


def test_a_name_with_dollars_and_of_any_length_is_drawn_as_it_is(tmp_path: Path) -> None:
    title = "cost $x^ and a very long name of a class that would not fit above the photograph"
    figure = _one(title, np.zeros((8, 8, 3)), {"A": np.eye(8)})
    save_figure(figure, tmp_path / "dollar.png")
    lines = figure.axes[0].get_title().splitlines()
    assert " ".join(lines) == title
    assert max(map(len, lines)) <= 28


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_a_file_has_the_format_of_its_suffix_and_the_same_bytes(tmp_path: Path, suffix: str, start: bytes) -> None:
    photo = np.broadcast_to(np.array([0.8, 0.2, 0.1]), (32, 32, 3))
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        save_figure(_one("noise", photo, {"A": np.eye(32)}), path)
    assert paths[0].read_bytes().startswith(start)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if suffix == ".png":
        with Image.open(paths[0]) as image:
            assert image.size == (1620, 870)
            assert image.mode == "RGBA"
            np.testing.assert_allclose(image.convert("RGB").getpixel((360, 450)), [204, 51, 26], atol=1)


def test_a_grid_has_a_row_per_photograph_and_a_place_per_method() -> None:
    photos = {"one": np.zeros((6, 6, 3)), "two": np.ones((6, 6, 3))}
    maps = {"one": {"A": np.eye(6), "B": np.eye(6)}, "two": {"B": np.eye(6)}}
    axes = map_grid(photos, maps, overlay=True).axes
    assert [each.get_title() for each in axes] == ["one", "A", "B", "two", "", "B"]
    assert [len(each.images) for each in axes] == [1, 2, 2, 1, 0, 2]


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(ValueError, match="expected the same, at least one"):
        map_grid({}, {})
    with pytest.raises(ValueError, match=r"photographs \['a'\] and maps of \['b'\]"):
        map_grid({"a": np.zeros((6, 6, 3))}, {"b": {"A": np.eye(6)}})
