"""The pooled guide: means against scipy's, bias and variance against closed forms, and what it must not touch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from torch import nn

from captum_gag.attr import (
    GaussianNoise,
    GuidedAbsoluteGrad,
    GuidedMean,
    LayerGuidedAbsoluteGrad,
)
from captum_gag.attr.aggregations import box_mean
from captum_gag.attr.catalogue import method
from captum_gag.attr.sampled_gradients import ModelGradients, Parts
from captum_gag.errors import InputError


def box_means(values: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Means over the part of each box that is inside, by scipy: zeros beyond the border, divided by what is inside."""
    size = (1, *sides)
    inside = uniform_filter(np.ones(values.shape), size, mode="constant")
    return uniform_filter(values, size, mode="constant") / inside


def cubic(x: torch.Tensor) -> torch.Tensor:
    return (0.1 * x**3).flatten(1).sum(1)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4), seed=st.integers(0, 1000), data=st.data())
def test_means_are_scipys_along_any_axes(sizes: list[int], seed: int, data: st.DataObject) -> None:
    sides = tuple(data.draw(st.sampled_from(range(1, size + 1, 2))) for size in sizes)
    values = np.random.default_rng(seed).random((2, *sizes))
    found = box_mean(torch.from_numpy(values), sides)
    np.testing.assert_allclose(found.numpy(), box_means(values, sides), rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 7, 6), (2, 2, 5, 6, 7)])
def test_a_number_is_for_all_axes_after_the_channels(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape)
    expected = box_means(values, (1, *[3] * (len(shape) - 2)))
    np.testing.assert_allclose(box_mean(torch.from_numpy(values), 3).numpy(), expected, rtol=1e-12)


class TestBiasAndVariance:
    """f = x A x / 2 has the gradient A x: under noise s Z it is normal with the known covariance C = s^2 A A'."""

    stdev, samples, examples = 0.3, 5, 20_000

    def variances(self, matrix: np.ndarray) -> torch.Tensor:
        """Return V of many examples (N, 1, 1, T), each with noise of its own."""
        a = torch.from_numpy(matrix)

        def forward(x: torch.Tensor) -> torch.Tensor:
            return 0.5 * ((x.flatten(1) @ a) * x.flatten(1)).sum(1)

        torch.manual_seed(0)
        x = torch.zeros(self.examples, 1, 1, len(matrix), dtype=torch.double)
        noise = GaussianNoise(self.samples, stdevs=self.stdev)
        [moments] = ModelGradients(forward).moments(Parts(noise), x)
        return moments.signed.variance

    def check(self, matrix: np.ndarray, side: int, bias: np.ndarray, spread: np.ndarray) -> None:
        """Compare mean and spread of the pooled V over the examples, where the whole box is inside."""
        pooled = box_mean(self.variances(matrix), (1, 1, side))[:, 0, 0].numpy()
        own = self.stdev**2 * (matrix**2).sum(1)
        inside = slice(side // 2, len(own) - side // 2)
        error = np.sqrt(spread / self.examples)
        assert (np.abs(pooled.mean(0) - own - bias)[inside] <= 5 * error[inside]).all()
        np.testing.assert_allclose(pooled.var(0, ddof=1)[inside], spread[inside], rtol=0.1)

    @pytest.mark.parametrize("side", [3, 5])
    def test_independent_gradients_whose_variance_is_a_parabola(self, side: int) -> None:
        place = np.arange(11.0) - 4
        own = 0.5 + 0.2 * place**2  # second derivative 0.4
        near = [own[max(0, i - side // 2) : i + side // 2 + 1] for i in range(11)]
        spread = np.array([2 / (self.samples - 1) * (each**2).sum() / side**2 for each in near])
        bias = np.full(11, (side**2 - 1) / 24 * 0.4)
        self.check(np.diag(np.sqrt(own)) / self.stdev, side, bias, spread)

    def test_correlated_gradients(self) -> None:
        side, near = 3, range(-1, 2)
        matrix = np.random.default_rng(1).normal(size=(6, 6))
        matrix = matrix + matrix.T
        covariance = self.stdev**2 * matrix @ matrix.T
        own = np.diag(covariance)
        bias, spread = np.zeros(6), np.zeros(6)
        for i in range(1, 5):
            bias[i] = np.mean([own[i + j] for j in near]) - own[i]
            spread[i] = 2 / (self.samples - 1) * np.mean([covariance[i + j, i + k] ** 2 for j in near for k in near])
        self.check(matrix, side, bias, spread)


@pytest.mark.parametrize("guide", ["paper", "relative"])
def test_threshold_and_guide_are_read_off_the_pooled_variance(guide: str) -> None:
    x = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0)).double()
    noise = GaussianNoise(6, seed=1)
    [moments] = ModelGradients(cubic).moments(Parts(noise), x)
    variance = box_means(moments.signed.variance.numpy(), (1, 3, 3))
    threshold = np.percentile(variance, 70, axis=(2, 3), keepdims=True)
    expected = moments.interpreted.mean.numpy() * np.where(
        variance >= threshold, 1, variance / threshold if guide == "relative" else variance
    )
    np.testing.assert_allclose(GuidedMean(70, guide, 3)(moments).numpy(), expected, rtol=1e-6)


class TestInTheMethods:
    x = torch.rand(3, 2, 6, 5, generator=torch.Generator().manual_seed(2))

    def test_one_position_is_the_paper(self) -> None:
        gag = GuidedAbsoluteGrad(cubic)
        assert torch.equal(gag.attribute(self.x, seed=0), gag.attribute(self.x, seed=0, guide_window=1))
        assert not torch.equal(gag.attribute(self.x, seed=0), gag.attribute(self.x, seed=0, guide_window=3))

    def test_an_example_does_not_depend_on_its_neighbours(self) -> None:
        gag = GuidedAbsoluteGrad(cubic)
        alone = [gag.attribute(each[None], seed=0, guide_window=3) for each in self.x]
        assert torch.equal(gag.attribute(self.x, seed=0, guide_window=3), torch.cat(alone))
        broken = self.x.clone()
        broken[1, 0, 2, 2] = torch.nan
        found = gag.attribute(broken, seed=0, guide_window=3)
        assert bool(found[1].isnan().all())
        assert torch.equal(found[[0, 2]], torch.cat([alone[0], alone[2]]))

    def test_every_guided_method_has_it(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4)).eval()
        expected = GuidedAbsoluteGrad(model).attribute(self.x, target=1, nt_samples=4, seed=0, guide_window=3)
        for name in ("GAG-85", "SG-GA"):
            made = method(name, n_samples=4, guide_window=3)
            torch.testing.assert_close(made.attribute(model, self.x, 1), expected)
            assert made.parts.aggregation == GuidedMean(guide_window=3)
        for name in ("IG-G", "Guided IG-GA", "Blur IG-GA", "GB-G"):
            plain, pooled = (method(name, n_samples=4, guide_window=k).attribute(model, self.x, 1) for k in (1, 3))
            assert not torch.equal(plain, pooled), name

    def test_neighbours_of_token_embeddings_are_tokens(self) -> None:
        torch.manual_seed(0)
        embedding = nn.Embedding(50, 4)
        head = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(24, 3))
        layer = LayerGuidedAbsoluteGrad(nn.Sequential(embedding, head).eval(), embedding)
        tokens = torch.randint(50, (2, 6))
        with pytest.raises(InputError, match=r"window 3 for inputs \(N, 6, 4\): .* a side for each axis"):
            layer.attribute(tokens, target=0, seed=0, guide_window=3)
        found = layer.attribute(tokens, target=0, seed=0, guide_window=(3, 1))
        expected = GuidedAbsoluteGrad(head).attribute(embedding(tokens), target=0, seed=0, guide_window=(3, 1))
        torch.testing.assert_close(found, expected)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("window", "message"),
        [
            (2, "guide_window is 2, expected an odd number"),
            (0, "guide_window is 0, expected greater than or equal to 1"),
            ((1, 3, 4), r"guide_window is \(1, 3, 4\), expected .*an odd number"),
            (7, r"window 7 for inputs \(N, 2, 6, 5\): .* none larger than the axis"),
            ((3, 3), r"window \(3, 3\) for inputs \(N, 2, 6, 5\): expected a side for each axis after the first"),
        ],
    )
    def test_windows(self, window: int | tuple[int, ...], message: str) -> None:
        with pytest.raises(InputError, match=message):
            GuidedAbsoluteGrad(cubic).attribute(torch.rand(1, 2, 6, 5), seed=0, guide_window=window)

    def test_what_has_no_neighbours_for_sure(self) -> None:
        for shape in ((2, 9), (2, 3, 9)):
            with pytest.raises(InputError, match="the axes with neighbours are ambiguous"):
                GuidedAbsoluteGrad(cubic).attribute(torch.rand(shape), seed=0, guide_window=3)

    def test_without_a_guide_it_has_no_effect(self) -> None:
        for name in ("SG", "VarGrad", "IG"):
            with pytest.raises(InputError, match="guide_window has no effect with aggregation"):
                method(name, guide_window=3)
