"""ROAD's imputation against dense systems, Quantus's own and what follows from the equations; in every metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantus.functions.perturb_func import noisy_linear_imputation
from torch import Tensor, nn

from captum_gag import baselines
from captum_gag.baselines import Imputation
from captum_gag.imputation import fill_from_neighbours
from captum_gag.metrics import aopc, aopc_curve, deletion, faithfulness, insertion, rcap

EXACT = {"type": "road", "noise": 0.0}


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Solve the definition, one row for each pixel (C, H, W): a kept pixel is itself, a removed one its neighbours."""
    height, width = removed.shape
    matrix, right = np.eye(height * width), image.reshape(len(image), -1).T.copy()
    for y, x in zip(*np.nonzero(removed), strict=True):
        around = [(y + dy, x + dx, 1 / 6 if 0 in (dy, dx) else 1 / 12) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        inside = [(v, u, w) for v, u, w in around if (v, u) != (y, x) and 0 <= v < height and 0 <= u < width]
        right[y * width + x] = 0
        for v, u, w in inside:
            matrix[y * width + x, v * width + u] = -w / sum(each[2] for each in inside)
    return np.linalg.solve(matrix, right).T.reshape(image.shape)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-8), (torch.float32, 1e-4), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("size", [(1, 7), (2, 2), (9, 9), (6, 17), (21, 20)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_is_the_solution_of_the_dense_system(size: tuple, share: float, dtype: torch.dtype, close: float) -> None:
    images = drawn(0, 3, 2, *size).to(dtype)
    removed = drawn(1, 3, 1, *size) < share
    removed[:, :, -1, -1] = False
    found = fill_from_neighbours(images, removed)
    assert found.dtype == dtype
    for image, mask, row in zip(images, removed, found, strict=True):
        expected = dense(image.double().numpy(), mask[0].numpy())
        np.testing.assert_allclose(row.double().numpy(), expected, atol=close)
        assert torch.equal(row[:, ~mask[0]], image[:, ~mask[0]])


def test_two_pixels_by_hand() -> None:
    # Row 0 ? ? 1: the first removed one has the weights 1/6 and 1/6, hence a = b / 2 and b = (a + 1) / 2.
    images, removed = torch.tensor([[[[0.0, 9.0, 9.0, 1.0]]]]), torch.tensor([[[[False, True, True, False]]]])
    torch.testing.assert_close(fill_from_neighbours(images, removed), torch.tensor([[[[0, 1 / 3, 2 / 3, 1]]]]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 24), st.integers(1, 24), st.floats(0.02, 0.98))
def test_imputed_values_are_within_the_range_of_the_kept_pixels(seed: int, height: int, width: int, cut: float) -> None:
    images, removed = drawn(seed, 1, 2, height, width), drawn(seed + 1, 1, 1, height, width) < cut
    removed[0, 0, seed % height, seed % width] = False
    found = fill_from_neighbours(images, removed)
    for channel, filled in zip(images[0], found[0], strict=True):
        kept = channel[~removed[0, 0]]
        assert kept.min() - 1e-8 <= filled.min() <= filled.max() <= kept.max() + 1e-8


def test_a_plane_is_filled_in_exactly() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing="ij")
    images = (0.3 + 0.02 * x - 0.01 * y)[None, None]
    removed = torch.zeros(1, 1, 40, 30, dtype=torch.bool)
    removed[..., 1:-1, 1:-1] = True
    torch.testing.assert_close(fill_from_neighbours(images, removed), images, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 8)])
def test_with_all_removed_an_image_is_its_mean_colour(size: tuple[int, int]) -> None:
    images = drawn(0, 2, 3, *size)
    for found in (baselines.road(noise=0)(images), fill_from_neighbours(images, torch.ones(2, 1, *size).bool())):
        torch.testing.assert_close(found, baselines.mean()(images))


def test_no_images_give_none() -> None:
    assert fill_from_neighbours(torch.rand(0, 3, 5, 6), torch.ones(0, 1, 5, 6, dtype=torch.bool)).shape == (0, 3, 5, 6)


def test_an_image_does_not_depend_on_its_batch() -> None:
    images, removed = drawn(0, 6, 3, 30, 30, dtype=torch.float32), drawn(1, 6, 1, 30, 30) < 0.7
    images[3, 0, 0, 0], removed[3, 0, 0, 0] = torch.nan, False
    road = baselines.road()
    together = road(images, removed)
    assert together[3].isnan().any()
    for row in (0, 1, 2, 4, 5):
        alone = road(images[row : row + 1], removed[row : row + 1])[0]
        torch.testing.assert_close(together[row], alone, atol=1e-6, rtol=0)


def test_noise_is_of_pixels_seeded_and_leaves_the_global_state_alone() -> None:
    images, removed = drawn(0, 2, 3, 200, 200), torch.ones(2, 1, 200, 200).bool()
    removed[..., 0, 0] = False
    state = torch.random.get_rng_state()
    scale = torch.tensor([0.2, 0.25, 0.5]).reshape(3, 1, 1)
    normalization = ([0.5, 0.4, 0.3], scale.flatten().tolist())
    noise = baselines.road(normalization)(images, removed) - baselines.road(noise=0)(images, removed)
    assert torch.equal(state, torch.random.get_rng_state())
    assert bool((noise[..., 0, 0] == 0).all())
    for channel, std in enumerate(scale.flatten().tolist()):
        assert noise[0, channel].std().item() == pytest.approx(0.01 / std, rel=0.02)
    torch.testing.assert_close(noise[0], noise[1], atol=1e-7, rtol=0)
    other = baselines.road(normalization, seed=1)(images, removed)
    assert not torch.equal(other, baselines.road(normalization)(images, removed))


def test_is_quantus_own_imputation() -> None:
    image, removed = drawn(0, 3, 12, 12).numpy(), drawn(1, 144).numpy() < 0.6
    indices = np.flatnonzero(removed)
    expected = noisy_linear_imputation(image, indices, noise=0.0)
    values = np.flatnonzero(np.tile(removed, 3))[None]
    found = baselines.perturb_func(EXACT, (3, 12, 12))(image.reshape(1, -1), values)
    np.testing.assert_allclose(found.reshape(3, 12, 12), expected, atol=1e-8)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3))
    return layers.double().eval()


def probability(model: nn.Module, images: list[np.ndarray]) -> np.ndarray:
    return model(torch.as_tensor(np.stack(images))).softmax(1)[:, 0].detach().numpy()


def test_every_curve_metric_shows_the_solution_for_the_pixels_of_its_step(model: nn.Module) -> None:
    image, order = drawn(0, 3, 6, 6).numpy(), np.random.default_rng(0).permutation(36).reshape(6, 6)
    # Saliency falls with the rank in the order; the mean colour where nothing is kept.
    maps = torch.as_tensor(36.0 - order)[None]
    given = torch.as_tensor(image)[None]
    blank = np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape)

    def filled(removed: np.ndarray) -> np.ndarray:
        return blank if removed.all() else dense(image, removed)

    counts = np.round(np.linspace(0, 36, 5))
    gone = probability(model, [filled(order < count) for count in counts])
    come = probability(model, [filled(order >= count) for count in counts])
    options = {"perturb_baseline": EXACT, "output": "logits"}
    area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
    assert deletion(model, given, maps, 0, n_steps=4, **options).item() == pytest.approx(area(gone, dx=0.25), abs=1e-7)
    assert insertion(model, given, maps, 0, n_steps=4, **options).item() == pytest.approx(area(come, dx=0.25), abs=1e-7)
    lost = probability(model, [filled(order < count) for count in range(6)])
    expected = (lost[0] - lost[1:]).cumsum() / np.arange(2, 7)
    np.testing.assert_allclose(aopc_curve(model, given, maps, 0, n_steps=5, **options)[0], expected, atol=1e-7)
    # 36 different values: the 50th percentile is between ranks, so that 18 pixels are recovered.
    saliency = (maps[0].numpy() - 1) / 35
    shown = saliency >= np.percentile(saliency, 50)
    share = saliency[shown].sum() / saliency.sum()
    expected_rcap = share * probability(model, [filled(~shown)])[0]
    assert rcap(model, given, maps, 0, interval=50, **options).item() == pytest.approx(expected_rcap, abs=1e-7)
    singles = probability(model, [filled(np.arange(36).reshape(6, 6) == pixel) for pixel in range(36)])
    pearson = np.corrcoef(maps.flatten().numpy(), probability(model, [image])[0] - singles)[0, 1]
    assert faithfulness(model, given, maps, 0, n_pixels=36, **options).item() == pytest.approx(pearson, abs=1e-6)


@pytest.mark.parametrize("score", [deletion, insertion, aopc, rcap, faithfulness])
def test_scores_do_not_depend_on_the_batch(model: nn.Module, score) -> None:
    images, maps = drawn(0, 5, 3, 12, 10), drawn(1, 5, 12, 10)
    options = {"perturb_baseline": "road", "output": "logits"}
    together = score(model, images, maps, 0, **options)
    alone = [score(model, images[[row]], maps[[row]], 0, **options, internal_batch_size=3) for row in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-8, rtol=0)


def test_an_imputation_of_ones_own_sees_images_as_they_were_given(model: nn.Module) -> None:
    images, maps = drawn(0, 2, 8, 8, 3), drawn(1, 2, 8, 8)

    def last_axis(x: Tensor) -> Tensor:
        return model(x.movedim(-1, 1))

    def twice(given: Tensor, removed: Tensor) -> Tensor:
        assert given.shape[1:] == (8, 8, 3)
        assert removed.expand_as(given)[..., 0].equal(removed[..., 0])
        return fill_from_neighbours(given.movedim(-1, 1), removed.movedim(-1, 1)).movedim(1, -1)

    found = deletion(last_axis, images, maps, 0, perturb_baseline=Imputation(twice), channel_axis=-1, output="logits")
    named = deletion(last_axis, images, maps, 0, perturb_baseline=EXACT, channel_axis=-1, output="logits")
    torch.testing.assert_close(found, named)
