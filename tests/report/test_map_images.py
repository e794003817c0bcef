"""A map stands where the photograph has what the network saw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captum_gag.models.preprocessing import Preprocessing
from captum_gag.report.figures import map_image

FEEDINGS = {
    "a square in the middle": {"resize": 64, "crop": 48},
    "the whole, squeezed": {"resize": (40, 60), "crop": (40, 60)},
    "a part of the squeezed": {"resize": (50, 60), "crop": (40, 30)},
}


@pytest.mark.parametrize("feeding", FEEDINGS)
@settings(max_examples=20, deadline=None)
@given(width=st.integers(24, 255), height=st.integers(24, 255))
def test_the_box_is_what_the_network_sees(feeding: str, width: int, height: int) -> None:
    """A photograph whose red says the column, and whose green the row, shows where each pixel seen is from."""
    fed = Preprocessing((0.0,) * 3, (1.0,) * 3, **FEEDINGS[feeding])
    rows, columns = np.mgrid[:height, :width]
    photo = Image.fromarray(np.stack([columns, rows, 0 * rows], -1).astype(np.uint8))
    seen = 255 * fed.preprocess(photo).numpy()
    left, top, right, bottom = fed.box(width, height)
    across = left + (np.arange(seen.shape[2]) + 0.5) * (right - left) / seen.shape[2] - 0.5
    down = top + (np.arange(seen.shape[1]) + 0.5) * (bottom - top) / seen.shape[1] - 0.5
    # Not at the border, where the filter has fewer neighbours; colours are rounded.
    inner = slice(8, -8)
    np.testing.assert_allclose(seen[0].mean(0)[inner], across[inner], atol=0.6)
    np.testing.assert_allclose(seen[1].mean(1)[inner], down[inner], atol=0.6)


def test_what_a_strip_is_cut_to_is_in_its_middle() -> None:
    left, top, right, bottom = Preprocessing(resize=64, crop=64).box(10, 5000)
    assert (left, right) == (0, 10)
    assert (top + bottom) / 2 == pytest.approx(2500)
    assert bottom - top == pytest.approx(10)


def test_of_a_transform_of_ones_own_nothing_is_known() -> None:
    assert Preprocessing(transform=lambda photo: photo).box(30, 20) is None


def test_a_map_lies_in_its_box_and_the_rest_shows_the_photograph() -> None:
    photo = Image.new("RGB", (60, 40), (200, 200, 200))
    saliency = np.zeros((20, 20), np.float32)
    saliency[:, 10:] = 1
    over = np.asarray(map_image(saliency, photo, (10, 0, 50, 40), overlay=True)).astype(int)
    assert over.shape == (40, 60, 3)
    assert (over[:, [*range(9), *range(51, 60)]] == 200).all()
    # Inferno goes from black to pale yellow, 0.6 of which lies over 0.4 of the photograph.
    assert over[20, 20].tolist() == pytest.approx([80, 80, 82], abs=2)
    assert over[20, 45].tolist() == pytest.approx([231, 233, 179], abs=2)
    assert (over[[0, 39], 10:50] == 255).all()
    alone = np.asarray(map_image(saliency, photo, (10, 0, 50, 40), overlay=False)).astype(int)
    assert (alone[:, :10] == 0).all()
    assert alone[20, 45].tolist() == pytest.approx([252, 255, 164], abs=2)


def test_large_photographs_keep_their_proportions() -> None:
    drawn = map_image(np.ones((8, 8), np.float32), Image.new("RGB", (4096, 1024)), (1536, 0, 2560, 1024), overlay=False)
    assert drawn.size == (1024, 256)
    assert np.asarray(drawn)[128, [380, 390, 630, 645]].any(1).tolist() == [False, True, True, False]
