"""Stopping by itself: after as many samples as theory says, and with the map that an example has alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from captum_gag.attr import (
    GaussianNoise,
    GuidedAbsoluteGrad,
    GuidedMean,
    GuidedPath,
    Mean,
    RandomStarts,
    SampledGradients,
    StraightPath,
    absolute,
    signed,
)
from captum_gag.attr.catalogue import method, shared_gradients
from captum_gag.errors import InputError


class Bowl(nn.Module):
    """sum a x + scale x^2 / 2, whose gradient at x + s Z is a + scale x + scale s Z, with a scale for each example."""

    def __init__(self, slopes: torch.Tensor) -> None:
        super().__init__()
        self.slopes, self.seen = slopes, 0

    def forward(self, x: torch.Tensor, scale: torch.Tensor, pair: torch.Tensor | None = None) -> torch.Tensor:
        assert pair is None or len(pair) == 2
        self.seen += len(x)
        return (self.slopes * x).flatten(1).sum(1) + 0.5 * scale * (x**2).flatten(1).sum(1)


def bowl(*shape: int) -> Bowl:
    return Bowl(torch.randn(shape, generator=torch.Generator().manual_seed(5)) + 10)


def expected(scale: float, samples: int) -> float:
    """R of means of normal slopes of variance 1 and noise of variance scale^2; ranks by Pearson's formula."""
    r = 1 / (1 + scale**2 / (samples / 2))
    ranks = 6 / math.pi * math.asin(r / 2)
    return math.sqrt(2 * ranks / (1 + ranks))


def test_stops_where_the_closed_form_says_and_is_then_as_near_to_the_limit() -> None:
    model = bowl(1, 200, 300)
    scales, tolerance = torch.tensor([2.0, 1.0, 1.5]), 0.134
    sampler = SampledGradients(model, GaussianNoise(30, stdevs=1.0, seed=0), signed, Mean())
    # A tensor with as many rows as there are examples left is none that goes with them.
    given = (scales, torch.zeros(2))
    [moments] = sampler.moments(torch.zeros(3, 1, 200, 300), None, given, tolerance=tolerance)
    counts = [int(each) for each in moments.signed.count.flatten()]
    for scale, count, mean in zip(scales.tolist(), counts, moments.signed.mean, strict=True):
        looks = [n for n in range(4, 31, 2) if expected(scale, n) >= 1 - tolerance]
        assert count == looks[0]
        assert abs(spearmanr(mean.flatten(), model.slopes.flatten()).statistic - expected(scale, count)) < 0.01
    assert len(set(counts)) == 3
    # Those that have stopped do not go through the model.
    assert model.seen == sum(counts)


@pytest.mark.parametrize(("aggregation", "tolerance"), [(Mean(), 0.2), (GuidedMean(30, "relative"), 0.5)])
def test_the_map_is_what_the_example_has_alone_and_what_so_many_samples_give(
    aggregation: Any, tolerance: float
) -> None:
    model, scales = bowl(2, 9, 8), torch.tensor([0.2, 4.0, 1.0, 2.0])
    x = 0.1 * torch.rand(4, 2, 9, 8, generator=torch.Generator().manual_seed(6))

    def sampled(n: int) -> SampledGradients:
        return SampledGradients(model, GaussianNoise(n, stdevs=0.5, seed=1), absolute, aggregation)

    together = sampled(20).attribute(x, None, scales, tolerance=tolerance)
    [moments] = sampled(20).moments(x, None, scales, tolerance=tolerance)
    counts = [int(each) for each in moments.signed.count.flatten()]
    assert len(set(counts)) > 1
    for row, count in enumerate(counts):
        one = slice(row, row + 1)
        assert torch.equal(together[one], sampled(20).attribute(x[one], None, scales[one], tolerance=tolerance))
        assert torch.equal(together[one], sampled(count).attribute(x[one], None, scales[one]))
    few = sampled(20).attribute(x, None, scales, tolerance=tolerance, internal_batch_size=1)
    assert torch.equal(together, few)
    assert torch.equal(sampled(20).attribute(x, None, scales, tolerance=1e-6), sampled(20).attribute(x, None, scales))


class TestInTheMethods:
    x = torch.rand(3, 2, 6, 5, generator=torch.Generator().manual_seed(2))

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 4)).eval()

    def test_a_class_of_each_example_goes_with_it(self) -> None:
        gag = GuidedAbsoluteGrad(self.model())
        options: dict[str, Any] = {"nt_samples": 30, "seed": 0, "tolerance": 0.15, "noise_level": 0.6}
        together, errors = gag.attribute(self.x, target=[3, 0, 2], return_standard_error=True, **options)
        for row, target in enumerate([3, 0, 2]):
            alone = gag.attribute(self.x[row : row + 1], target=target, **options)
            torch.testing.assert_close(together[row : row + 1], alone)
        assert errors.shape == self.x.shape

    def test_a_model_without_curvature_needs_no_more_than_the_first_look(self) -> None:
        weights = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(3))
        gag = GuidedAbsoluteGrad(lambda x: (x * weights).flatten(1).sum(1))
        found, errors = gag.attribute(self.x, seed=0, tolerance=0.01, return_standard_error=True)
        assert torch.equal(found, weights.abs().expand_as(found))
        assert not bool(errors.any())

    def test_all_inputs_of_an_example_must_have_settled(self) -> None:
        model = bowl(1, 20, 20)
        noise = GaussianNoise(20, stdevs=(0.01, 4.0), seed=0)
        sampler = SampledGradients(lambda a, b: model(a, 1.0) + model(b, 1.0), noise)
        inputs = (torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20))
        first, second = sampler.moments(inputs, tolerance=0.2)
        assert int(first.signed.count) == int(second.signed.count) > 4

    def test_an_example_with_a_nan_does_not_touch_its_neighbours(self) -> None:
        gag = GuidedAbsoluteGrad(self.model())
        whole = gag.attribute(self.x, target=1, seed=0, tolerance=0.1)
        broken = self.x.clone()
        broken[1, 0, 0, 0] = torch.nan
        found = gag.attribute(broken, target=1, seed=0, tolerance=0.1)
        assert bool(found[1].isnan().all())
        torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])

    def test_a_map_without_ranking_takes_all_samples(self) -> None:
        sampler = SampledGradients(lambda x: x.flatten(1).sum(1), GaussianNoise(7, seed=0))
        [moments] = sampler.moments(self.x, tolerance=0.5)
        assert moments.signed.count.flatten().tolist() == [7, 7, 7]

    def test_the_catalogue_has_it(self) -> None:
        model, options = self.model(), {"n_samples": 30, "tolerance": 0.2, "noise_level": 0.6}
        expected = GuidedAbsoluteGrad(model).attribute(
            self.x, target=1, nt_samples=30, tolerance=0.2, noise_level=0.6, seed=0
        )
        made = method("GAG-85", **options)
        torch.testing.assert_close(made.attribute(model, self.x, 1), expected)
        assert not torch.equal(expected, method("GAG-85", n_samples=30, noise_level=0.6).attribute(model, self.x, 1))
        # What stops a method is its own map.
        assert made.shared is method("SG", **options).shared is None
        with pytest.raises(InputError, match="not the same gradients"):
            shared_gradients([made, method("SG", **options)], model, self.x, 1)


class TestWhatIsRefused:
    @pytest.mark.parametrize("path", [StraightPath(6), GuidedPath(6), RandomStarts(6)])
    def test_a_part_of_a_path(self, path: Any) -> None:
        sampler = SampledGradients(lambda x: (x**2).flatten(1).sum(1), path)
        with pytest.raises(InputError, match=r"tolerance is 0.1 for \w+, which is a path"):
            sampler.attribute(torch.rand(2, 3, 4, 4), tolerance=0.1)
        with pytest.raises(InputError, match="IG: unknown option 'tolerance'"):
            method("IG", tolerance=0.1)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"tolerance": 0.0}, "tolerance is 0.0, expected greater than 0"),
            ({"tolerance": 1.0}, "tolerance is 1.0, expected less than 1"),
            ({"tolerance": 0.1, "nt_samples": 4}, "tolerance is 0.1 for 4 samples, expected more than 4"),
        ],
    )
    def test_what_has_no_meaning(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            GuidedAbsoluteGrad(lambda x: (x**2).flatten(1).sum(1)).attribute(torch.rand(2, 3, 4, 4), **options)

    def test_too_few_samples_of_a_method(self) -> None:
        with pytest.raises(InputError, match="SG: tolerance needs n_samples of more than 4"):
            method("SG", tolerance=0.1, n_samples=4)
