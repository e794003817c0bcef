"""RCAP against hand-computed values, a NumPy transcription of equation 5, and the two propositions."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from captum_gag.attr import reverse_saliency
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, insertion, rcap, rcap_factors
from captum_gag.outputs import tensor_of


class CoveredShare(nn.Module):
    """Class 0 has as its probability the share of a region's pixels that are not black."""

    def __init__(self, region: torch.Tensor) -> None:
        super().__init__()
        self.region = region
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = ((x.sum(1) > 0) * self.region).flatten(1).sum(1) / self.region.sum()
        return torch.stack([share, 1 - share], 1)


def centre(size: int = 32, side: int = 12) -> torch.Tensor:
    region = torch.zeros(size, size)
    start = (size - side) // 2
    region[start : start + side, start : start + side] = 1
    return region


def gaussian(x: float, y: float, sigma: float, size: int = 32) -> torch.Tensor:
    grid = torch.arange(size) - (size - 1) / 2
    return torch.exp(-((grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * sigma**2))


def numpy_rcap(model, image: np.ndarray, saliency: np.ndarray, target: int, lower_bound: int, interval: int) -> float:
    """Equation 5, pixel by pixel."""
    reduced = np.abs(saliency).sum(0)
    reduced = (reduced - reduced.min()) / (reduced.max() - reduced.min())
    total, steps = 0.0, (100 - lower_bound) // interval
    for k in range(1, steps + 1):
        threshold = np.percentile(reduced, 100 - k * interval)
        recovered, kept = np.zeros_like(image), 0.0
        for row in range(image.shape[1]):
            for column in range(image.shape[2]):
                value = reduced[row, column]
                if value >= threshold and value > 0:
                    recovered[:, row, column] = image[:, row, column]
                    kept += value
        with torch.no_grad():
            scores = model(torch.from_numpy(recovered)[None].float())[0].double().numpy()
        probability = np.exp(scores[target]) / np.exp(scores).sum()
        total += kept / reduced.sum() * probability
    return total / steps


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(2, 6),
    levels=st.sampled_from([2, 3, 1000]),
    bounds=st.sampled_from([(50, 10), (0, 25), (90, 10), (70, 15), (0, 100)]),
    batch_size=st.sampled_from([None, 1, 3]),
)
def test_numpy_transcription(
    seed: int, size: int, levels: int, bounds: tuple[int, int], batch_size: int | None
) -> None:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval()
    images = torch.rand(3, 3, size, size, generator=generator)
    with torch.no_grad():
        model(images)
    maps = torch.randint(-levels, levels, (3, 3, size, size), generator=generator).double()
    maps[:, :, 0, 0], maps[:, :, 1, 1] = 0, levels  # never constant
    scores = rcap(
        model,
        images,
        maps,
        [0, 3, 1],
        lower_bound=bounds[0],
        interval=bounds[1],
        # So small a network can give logits that are all in [0, 1], which "auto" refuses.
        output="logits",
        internal_batch_size=batch_size,
    )
    expected = [
        numpy_rcap(model, image, saliency, target, *bounds)
        for image, saliency, target in zip(images.numpy(), maps.numpy(), [0, 3, 1], strict=True)
    ]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_hand_computed_score() -> None:
    # Ten pixels of saliency 0..9 (sum 45) on white; the class is the share of the last two pixels that shows.
    model = CoveredShare(torch.tensor([[0.0] * 8 + [1.0] * 2]))
    factors = rcap_factors(model, torch.ones(1, 3, 1, 10), torch.arange(10.0).reshape(1, 1, 10), 0, output=tensor_of)
    # Percentiles 90, 80, .. of 0..9 are 8.1, 7.2, ..: they recover 1, 2, 3, 4, 5 pixels.
    kept = np.array([9, 17, 24, 30, 35]) / 45
    covered = np.array([0.5, 1, 1, 1, 1])
    np.testing.assert_allclose(factors.visual_noise[0].numpy(), kept, rtol=1e-6)
    np.testing.assert_allclose(factors.localization[0].numpy(), covered, rtol=1e-6)
    assert factors.score.item() == pytest.approx((kept * covered).mean(), rel=1e-6)


def test_each_factor_can_be_the_score() -> None:
    model, images = CoveredShare(torch.tensor([[0.0] * 8 + [1.0] * 2])), torch.ones(2, 3, 1, 10)
    maps = torch.stack([torch.arange(10.0).reshape(1, 10), torch.ones(1, 10)])
    kept, covered = np.array([9, 17, 24, 30, 35]) / 45, np.array([0.5, 1, 1, 1, 1])
    for factor, expected in (("visual_noise", kept), ("localization", covered), ("both", kept * covered)):
        found = rcap(model, images, maps, 0, output=tensor_of, factor=factor)
        assert found[0].item() == pytest.approx(expected.mean(), rel=1e-6)
        # A constant map has no top to predict from.
        assert found[1].isnan()


def test_a_map_that_is_mostly_zero_does_not_recover_the_whole_image() -> None:
    maps = torch.zeros(1, 32, 32)
    maps[0, 0, 0] = 1.0  # outside of the region: nothing of it may show
    assert rcap(CoveredShare(centre()), torch.ones(1, 3, 32, 32), maps, 0, output=tensor_of).item() == 0


def test_a_map_whose_mass_lies_in_its_top_tenth_has_no_visual_noise() -> None:
    maps = torch.zeros(1, 32, 32)
    maps[0, 14:18, 14:18] = torch.rand(4, 4) + 0.5
    factors = rcap_factors(CoveredShare(centre()), torch.ones(1, 3, 32, 32), maps, 0, output=tensor_of)
    assert torch.equal(factors.visual_noise, torch.ones(1, 5))


def test_black_is_black_in_pixel_space() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)
    shift, scale = (torch.tensor(each).reshape(3, 1, 1) for each in (mean, std))
    pixels, maps = torch.rand(2, 3, 16, 16) + 0.01, torch.rand(2, 16, 16)
    network = CoveredShare(centre(16, 6))
    expected = rcap(network, pixels, maps, 0, output=tensor_of)
    unnormalised = lambda x: network((x * scale + shift).round(decimals=4))  # noqa: E731
    got = rcap(unnormalised, (pixels - shift) / scale, maps, 0, output=tensor_of, normalization=(mean, std))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("given", [0.0, torch.zeros(3, 1, 1), lambda x: torch.zeros_like(x)])
def test_baselines_by_number_tensor_and_callable(given: object) -> None:
    images, maps, network = torch.rand(2, 3, 16, 16), torch.rand(2, 16, 16), CoveredShare(centre(16, 6))
    expected = rcap(network, images, maps, 0, output=tensor_of)
    assert torch.equal(rcap(network, images, maps, 0, output=tensor_of, perturb_baseline=given), expected)


class TestPropositions:
    """The paper's Figure 4: Gaussian maps on a model whose probability is the covered share of the centre."""

    images = torch.ones(4, 3, 32, 32)
    # M1: on the object, sharp. M2: the same ranking, spread out. M3: beside the object. M4: far off it.
    maps = torch.stack([gaussian(0, 0, 4), gaussian(0, 0, 12), gaussian(6, 0, 4), gaussian(10, 10, 4)])
    model = CoveredShare(centre())

    def ranking_scores(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Insertion and Deletion look at the ranking alone."""
        arguments = {"perturb_baseline": "black", "output": tensor_of}
        return tuple(score(self.model, self.images, self.maps, 0, **arguments) for score in (insertion, deletion))

    def test_rcap_sees_noise_and_place(self) -> None:
        m1, m2, m3, m4 = rcap(self.model, self.images, self.maps, 0, output=tensor_of).tolist()
        assert m1 > m2
        assert m1 > m3 > m4

    def test_ranking_metrics_cannot_tell_m1_from_m2(self) -> None:
        for scores in self.ranking_scores():
            assert scores[0] == scores[1]
        insertion, deletion = self.ranking_scores()
        assert insertion[0] > insertion[2] > insertion[3]
        assert deletion[0] < deletion[2] < deletion[3]

    def test_monotone_transformation_changes_rcap_only(self) -> None:
        sharpened = rcap(self.model, self.images, self.maps**3, 0, output=tensor_of)
        assert bool((sharpened > rcap(self.model, self.images, self.maps, 0, output=tensor_of)).all())

    def test_reversed_saliency_keeps_the_noise_level_and_lowers_the_score(self) -> None:
        # Proposition 1: the same values at wrong places must score lower, by localization alone.
        maps = self.maps[:1]
        reversed_maps = reverse_saliency(maps, retain=0.02, swap=0.1, seed=0)
        before = rcap_factors(self.model, self.images[:1], maps, 0, output=tensor_of)
        after = rcap_factors(self.model, self.images[:1], reversed_maps, 0, output=tensor_of)
        torch.testing.assert_close(before.visual_noise, after.visual_noise)
        assert bool((after.localization < before.localization).all())
        assert after.score < before.score


class TestUndefined:
    model, images = CoveredShare(centre()), torch.ones(4, 3, 32, 32)

    def test_constant_and_broken_maps_are_nan_with_one_warning_that_names_them(self) -> None:
        maps = gaussian(0, 0, 4).repeat(4, 1, 1)
        maps[1], maps[3, 5, 5] = 0.3, torch.nan
        with pytest.warns(UserWarning, match="NaN for image 1, 3") as caught:
            scores = rcap(self.model, self.images, maps, 0, output=tensor_of)
        assert len(caught) == 1
        assert scores.isnan().tolist() == [False, True, False, True]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert scores[0] == rcap(self.model, self.images[:1], maps[:1], 0, output=tensor_of)[0]

    def test_one_pixel_image(self) -> None:
        with pytest.warns(UserWarning, match="NaN for image 0"):
            scores = rcap(lambda x: x.flatten(1) + 2, torch.full((1, 3, 1, 1), 2.0), torch.ones(1, 1, 1), 0)
        assert bool(scores.isnan())


class TestInput:
    model, images = CoveredShare(centre()), torch.ones(2, 3, 32, 32)

    def test_layouts_of_maps_agree(self) -> None:
        maps = torch.rand(2, 32, 32)
        expected = rcap(self.model, self.images, maps, 0, output=tensor_of)
        for layout in (
            maps[:, None],
            -maps,
            torch.stack([maps / 2, -maps / 4, maps / 4], 1),
            maps.double(),
            maps.half().float(),
        ):
            torch.testing.assert_close(
                rcap(self.model, self.images, layout, 0, output=tensor_of).float(),
                expected,
                rtol=2e-3,
                atol=2e-3,
            )

    def test_maps_of_another_resolution_are_interpolated_with_a_warning(self) -> None:
        coarse = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
        with pytest.warns(UserWarning, match=r"maps are \(8, 8\) for images of \(32, 32\)"):
            scores = rcap(self.model, self.images, coarse, 0, output=tensor_of)
        fine = np.stack([cv2.resize(each, (32, 32), interpolation=cv2.INTER_LINEAR) for each in coarse.numpy()])
        expected = rcap(self.model, self.images, torch.from_numpy(fine), 0, output=tensor_of)
        torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3)

    def test_batch_of_images_is_the_images_one_by_one(self) -> None:
        maps = torch.rand(2, 32, 32)
        alone = [rcap(self.model, self.images[i : i + 1], maps[i : i + 1], [0], output=tensor_of) for i in (0, 1)]
        torch.testing.assert_close(rcap(self.model, self.images, maps, [0, 0], output=tensor_of), torch.cat(alone))

    def test_logits_and_probabilities(self) -> None:
        maps = torch.rand(2, 32, 32)
        logits = lambda x: 5 * self.model(x)  # noqa: E731
        torch.testing.assert_close(
            rcap(logits, self.images, maps, 0),
            rcap(lambda x: logits(x).softmax(1), self.images, maps, 0, output=tensor_of),
        )
        with pytest.warns(UserWarning, match="sum to 1, read as probabilities"):
            rcap(self.model, self.images, maps, 0)

    def test_half_precision_model(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)).eval()
        maps = torch.rand(2, 32, 32)
        expected = rcap(model, self.images, maps, 1)
        scores = rcap(model.to(torch.bfloat16), self.images.to(torch.bfloat16), maps.to(torch.bfloat16), 1)
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, expected, rtol=0.03, atol=0.01)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"lower_bound": 100}, "lower_bound is 100, expected less than 100"),
            ({"lower_bound": -10}, "lower_bound is -10, expected greater than or equal to 0"),
            ({"interval": 0}, "interval is 0, expected greater than 0"),
            ({"interval": 30}, "divides 100 - lower_bound"),
            ({"interval": 60}, "divides 100 - lower_bound"),
            ({"perturb_baseline": "grey"}, "unknown perturb_baseline 'grey'"),
            ({"target": [0, 1, 0]}, r"one for each of the 2 images"),
            ({"target": -1}, "one class index >= 0"),
            ({"target": [0.5, 1.0]}, "one class index >= 0"),
            ({"target": 2}, r"output of shape \(\d+, 2\).*targets up to 2"),
            ({"maps": torch.zeros(3, 32, 32)}, r"maps have shape \(3, 32, 32\) for inputs \(2, 3, 32, 32\), must have"),
            ({"maps": torch.zeros(32, 32)}, r"must have \(2, 3, 32, 32\) or \(2, 32, 32\)"),
            ({"inputs": torch.zeros(0, 3, 32, 32), "maps": torch.zeros(0, 32, 32)}, "N >= 1"),
        ],
    )
    def test_errors(self, arguments: dict[str, object], message: str) -> None:
        defaults = {"inputs": self.images, "maps": torch.rand(2, 32, 32), "target": 0, "output": tensor_of}
        with pytest.raises(InputError, match=message):
            rcap(self.model, **{**defaults, **arguments})

    def test_arrays_are_refused(self) -> None:
        with pytest.raises(InputError, match="maps are a ndarray, must be a torch tensor"):
            rcap(self.model, self.images, np.zeros((2, 32, 32)), 0)

    def test_model_in_training_mode(self) -> None:
        with pytest.raises(InputError, match=r"training mode.*model.eval\(\)"):
            rcap(nn.Sequential(nn.Flatten(), nn.Dropout()).train(), self.images, torch.rand(2, 32, 32), 0)
