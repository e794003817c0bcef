"""Streaming moments and aggregations against NumPy."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag.attr import GuidedMean, Mean, Variance, absolute, negative, positive, signed, squared
from captum_gag.attr.aggregations import GradientMoments, RunningMoments
from captum_gag.errors import InputError


def moments_of(gradients: torch.Tensor, interpretation=signed) -> GradientMoments:
    moments = GradientMoments(interpretation)
    moments.update(gradients)
    return moments


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(2, 30), shift=st.floats(-100, 100), cuts=st.integers(1, 5))
def test_running_moments_are_numpys_for_any_chunks(seed: int, count: int, shift: float, cuts: int) -> None:
    samples = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift
    moments = RunningMoments()
    for chunk in samples.chunk(cuts):
        moments.update(chunk)
    np.testing.assert_allclose(moments.mean.numpy(), samples.numpy().mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(moments.variance.numpy(), samples.numpy().var(0, ddof=1), rtol=1e-9, atol=1e-12)


def test_variance_stays_right_where_mean_squares_cancel() -> None:
    samples = 1e3 + 1e-1 * torch.randn(50, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    single = samples.float()
    naive = (single**2).mean(0) - single.mean(0) ** 2
    assert bool((naive < 0).any())
    moments = RunningMoments()
    moments.update(single)
    np.testing.assert_allclose(moments.variance.numpy(), single.numpy().astype(np.float64).var(0, ddof=1), rtol=1e-3)


def test_variance_of_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        Variance()(moments_of(torch.zeros(1, 2, 3)))


@pytest.mark.parametrize(
    ("interpretation", "numpy_version"),
    [
        (signed, lambda g: g),
        (positive, lambda g: np.where(g > 0, g, 0)),
        (negative, lambda g: np.where(g < 0, g, 0)),
        (absolute, np.abs),
        (squared, lambda g: g**2),
    ],
    ids=["signed", "positive", "negative", "absolute", "squared"],
)
@pytest.mark.parametrize("percentile", [0, 85])
def test_every_interpretation_with_every_aggregation(interpretation, numpy_version, percentile: float) -> None:
    gradients = torch.randn(6, 2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    moments = moments_of(gradients, interpretation)
    raw = gradients.double().numpy()
    read = numpy_version(raw)
    np.testing.assert_allclose(Mean()(moments).numpy(), read.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(Variance()(moments).numpy(), read.var(0, ddof=1), rtol=1e-4, atol=1e-6)
    variance = raw.var(0, ddof=1)
    threshold = np.percentile(variance, percentile, axis=(2, 3), keepdims=True)
    guided = read.mean(0) * np.where(variance >= threshold, 1, variance)
    with pytest.warns(UserWarning, match="amplifies") if percentile else nullcontext():
        result = GuidedMean(percentile)(moments)
    np.testing.assert_allclose(result.numpy(), guided, rtol=1e-4, atol=1e-6)


def test_percentile_is_per_channel_for_images_and_per_example_for_features() -> None:
    spread = torch.tensor([1.0, 2.0, 3.0, 4.0]) * 1e-3
    pair = torch.stack([-spread, spread])  # two samples whose deviations are +-spread
    features = GuidedMean(100)(moments_of(pair[:, None, :], absolute))
    assert (features == spread).tolist() == [[False, False, False, True]]
    image = pair.reshape(2, 1, 2, 1, 2)  # channels (1, 2) and (3, 4)
    kept = GuidedMean(100)(moments_of(image, absolute)) == spread.reshape(1, 2, 1, 2)
    assert kept.flatten().tolist() == [False, True, False, True]


@pytest.mark.parametrize("guide", ["paper", "relative"])
def test_a_tie_at_the_threshold_is_kept_whole(guide: str) -> None:
    # V = 2 * 0.1 ** 2 everywhere, so that each value is the percentile: V >= p holds.
    pair = torch.tensor([[[-0.1, -0.1, -0.1]], [[0.1, 0.1, 0.1]]])
    torch.testing.assert_close(GuidedMean(85, guide)(moments_of(pair, absolute)), pair[1], check_dtype=False)


def test_a_mean_alone_has_no_variance() -> None:
    """Zeros would be a wrong answer without a word."""
    moments, samples = RunningMoments(mean_only=True), torch.rand(5, 2, 3)
    moments.update(samples)
    torch.testing.assert_close(moments.mean, samples.mean(0))
    with pytest.raises(InputError, match="mean alone"):
        _ = moments.variance
