"""Noise: scaled by the range of each example, or in the input's units."""

from __future__ import annotations

import warnings

import pytest
import torch

from captum_gag.attr import GaussianNoise


@pytest.fixture
def inputs() -> torch.Tensor:
    """Three examples of ranges 1, 3 and 6."""
    return torch.tensor([[0.0, 0.5, 1.0], [-2.0, 1.0, 0.0], [0.0, 6.0, 2.0]])


def test_noise_is_a_share_of_each_examples_range(inputs: torch.Tensor) -> None:
    # With a seed all examples have the same noise, in units of their standard deviation.
    [samples] = GaussianNoise(4, noise_level=0.5, seed=0).samples((inputs,), 4)
    [unit] = GaussianNoise(4, stdevs=1.0, seed=0).samples((inputs,), 4)
    noise, one = samples.points[0] - inputs, unit.points[0] - inputs
    torch.testing.assert_close(noise, 0.5 * torch.tensor([[1.0], [3.0], [6.0]]) * one, rtol=1e-4, atol=1e-5)


def test_constant_examples_have_no_noise_and_a_warning_says_so(inputs: torch.Tensor) -> None:
    inputs[1:] = 0.7
    with pytest.warns(UserWarning, match="All values of example 1, 2 are equal, .* give stdevs"):
        [samples] = GaussianNoise(4).samples((inputs,), 4)
    assert bool((samples.points[0][:, 1:] == 0.7).all())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for noise in (GaussianNoise(4, stdevs=0.1), GaussianNoise(4, noise_level=0)):
            list(noise.samples((inputs,), 4))
