"""AOPC against additive models, a loop over steps, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from captum_gag.errors import InputError
from captum_gag.metrics import aopc, aopc_curve
from captum_gag.outputs import tensor_of

BLACK = {"perturb_baseline": 0.0, "output": tensor_of}


def worth(additive, images: torch.Tensor) -> torch.Tensor:
    """What the score of class 0 loses with each pixel: w . x, (N, H, W)."""
    return (additive.weights * images).sum(1)


def test_morf_of_an_additive_model_is_the_sum_of_the_largest_worths(additive, images: torch.Tensor) -> None:
    worths = worth(additive, images)
    scores = aopc_curve(additive, images, worths, 0, n_steps=12, **BLACK)
    lost = np.cumsum(-np.sort(-worths.flatten(1).numpy(), axis=1)[:, :12], axis=1)
    expected = np.cumsum(lost, axis=1) / (np.arange(1, 13) + 1)
    np.testing.assert_allclose(scores.numpy(), expected)
    np.testing.assert_allclose(aopc(additive, images, worths, 0, n_steps=12, **BLACK).numpy(), expected[:, -1])
    # No other map does better.
    other = aopc_curve(additive, images, torch.rand(4, 6, 5), 0, n_steps=12, **BLACK)
    assert bool((other <= scores + 1e-9).all())


def test_is_read_off_quantus_pixel_flipping_where_the_definitions_coincide() -> None:
    # One channel, since Quantus flips channel values; a 0 in each image, since its "black" is the image's lowest value.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    x, maps = torch.rand(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    x[:, :, 0, 0] = 0
    flipping = quantus.PixelFlipping(features_in_step=1, normalise=False, abs=False, disable_warnings=True)
    after = np.array(flipping(model, x.numpy(), np.array([0, 1, 2]), maps.numpy(), softmax=True))
    with torch.no_grad():
        before = model(x).softmax(1)[range(3), range(3)].numpy()
    expected = np.cumsum(before[:, None] - after, axis=1) / (np.arange(1, 17) + 1)
    ours = aopc_curve(model, x, maps, [0, 1, 2], n_steps=16, perturb_baseline=0.0)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_morf_of_a_map_is_lerf_of_its_negative(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 3, 6, 5).double()
    torch.testing.assert_close(
        aopc_curve(additive, images, maps, 0, order="morf", n_steps=20),
        aopc_curve(additive, images, -maps, 0, order="lerf", n_steps=20),
    )


def test_random_order_does_not_look_at_the_map(additive, images: torch.Tensor) -> None:
    arguments = {"order": "random", "n_steps": 10, **BLACK}
    first = aopc_curve(additive, images, torch.randn(4, 6, 5), 0, seed=1, **arguments)
    assert torch.equal(first, aopc_curve(additive, images, torch.zeros(4, 6, 5), 0, seed=1, **arguments))
    assert not torch.equal(first, aopc_curve(additive, images, torch.zeros(4, 6, 5), 0, seed=2, **arguments))


def test_every_prefix_of_the_curve_is_the_score_of_fewer_steps(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 6, 5).double()
    scores = aopc_curve(additive, images, maps, 0, n_steps=20)
    for steps in (1, 5, 20):
        torch.testing.assert_close(scores[:, steps - 1], aopc(additive, images, maps, 0, n_steps=steps))


def test_only_the_ranking_counts(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 6, 5).double()
    torch.testing.assert_close(
        aopc(additive, images, maps, 0, n_steps=9), aopc(additive, images, maps**3, 0, n_steps=9)
    )


@pytest.mark.parametrize("side", [2, 4, 10])
def test_regions_are_replaced_whole(additive, images: torch.Tensor, side: int) -> None:
    maps = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(5)).double()
    n_steps = -(-6 // side) * -(-5 // side)
    scores = aopc_curve(additive, images, maps, 0, region_size=side, n_steps=n_steps, **BLACK)
    worths = worth(additive, images).numpy()
    for image in range(4):
        tops, lefts = range(0, 6, side), range(0, 5, side)
        boxes = [(slice(top, top + side), slice(left, left + side)) for top in tops for left in lefts]
        boxes.sort(key=lambda box: -maps[image][box].mean().item())
        lost = np.cumsum([worths[image][box].sum() for box in boxes])
        np.testing.assert_allclose(scores[image].numpy(), np.cumsum(lost) / (np.arange(n_steps) + 2))


def test_maps_without_ranking_are_named(additive, images: torch.Tensor) -> None:
    maps = torch.randn(4, 6, 5)
    maps[3] = 0
    with pytest.warns(UserWarning, match="AOPC is NaN for image 3"):
        assert aopc(additive, images, maps, 0, n_steps=3).isnan().tolist() == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": "best"}, "order is 'best', expected 'morf', 'lerf' or 'random'"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"n_steps": 31}, "there are only 30 regions"),
        ({"region_size": 3}, "there are only 4 regions"),
    ],
)
def test_errors(additive, images: torch.Tensor, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        aopc(additive, images, torch.randn(4, 6, 5), 0, **{"n_steps": 10, **arguments})
