"""Segmentation losses against hand-computed values and NumPy; masks that are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from captum_gag.errors import InputError
from captum_gag.metrics import log_cosh_dice, segmentation_mae


def test_hand_computed() -> None:
    maps = torch.tensor([[[1.0, 0.5], [0.0, 0.5]]])
    mask = torch.tensor([[[1, 1], [0, 0]]])
    dice = (2 * 1.5 + 1) / (2.0 + 2.0 + 1)
    assert log_cosh_dice(maps, mask).item() == pytest.approx(np.log(np.cosh(1 - dice)), rel=1e-5)
    assert segmentation_mae(maps, mask).item() == pytest.approx((0 + 0.5 + 0 + 0.5) / 4)


def test_ends_of_the_scale() -> None:
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :5] = 1
    assert log_cosh_dice(mask[:, 0], mask).item() == pytest.approx(0, abs=1e-7)
    assert segmentation_mae(mask[:, 0], mask).item() == 0
    assert segmentation_mae(1 - mask[:, 0], mask).item() == 1
    assert log_cosh_dice(1 - mask[:, 0], mask).item() == pytest.approx(np.log(np.cosh(1 - 1 / 101)), rel=1e-5)
    empty = torch.zeros_like(mask)
    assert bool(log_cosh_dice(mask[:, 0], empty).isfinite().all())


def test_layouts_agree_and_numpy_agrees() -> None:
    attributions = torch.randn(3, 3, 7, 5)
    mask = torch.rand(3, 7, 5) > 0.5
    scores = log_cosh_dice(attributions, mask)
    torch.testing.assert_close(scores, log_cosh_dice(attributions, mask[:, None].int()))
    reduced = np.abs(attributions.numpy()).sum(1)
    reduced = reduced - reduced.min((1, 2), keepdims=True)
    reduced /= reduced.max((1, 2), keepdims=True)
    dice = (2 * (reduced * mask.numpy()).sum((1, 2)) + 1) / (reduced.sum((1, 2)) + mask.numpy().sum((1, 2)) + 1)
    np.testing.assert_allclose(scores.numpy(), np.log(np.cosh(1 - dice)), rtol=1e-4)
    errors = np.abs(reduced - mask.numpy()).mean((1, 2))
    np.testing.assert_allclose(segmentation_mae(attributions, mask).numpy(), errors, rtol=1e-5)


def test_maps_without_ranking_are_named() -> None:
    maps = torch.rand(2, 4, 4)
    maps[1] = 1
    with pytest.warns(UserWarning, match="NaN for image 1"):
        assert log_cosh_dice(maps, torch.ones(2, 4, 4)).isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "There is no segmentation; pass s_batch"),
        (torch.ones(2, 5, 5), r"shape \(2, 5, 5\) for maps of \(2, 4, 4\)"),
        (torch.full((2, 4, 4), 255), "values from 255 to 255, not only 0 and 1"),
        (torch.full((2, 4, 4), torch.nan), "not only 0 and 1"),
    ],
)
def test_masks_that_are_none(mask: torch.Tensor | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        segmentation_mae(torch.rand(2, 4, 4), mask)
