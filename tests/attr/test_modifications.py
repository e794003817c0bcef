"""Noise: whose range scales it."""

from __future__ import annotations

import warnings

import pytest
import torch

from captum_gag.attr import GaussianNoise, GuidedAbsoluteGrad
from captum_gag.attr.catalogue import method
from captum_gag.errors import InputError


@pytest.fixture
def inputs() -> torch.Tensor:
    """Three examples of ranges 1, 3 and 6, together from -2 to 6: 8."""
    return torch.tensor([[0.0, 0.5, 1.0], [-2.0, 1.0, 0.0], [0.0, 6.0, 2.0]])


@pytest.mark.parametrize(("noise_range", "widths"), [("example", [1.0, 3.0, 6.0]), ("batch", [8.0, 8.0, 8.0])])
def test_noise_is_a_share_of_a_range(inputs: torch.Tensor, noise_range: str, widths: list[float]) -> None:
    # With a seed all examples have the same noise, in units of their standard deviation.
    [samples] = GaussianNoise(4, noise_level=0.5, seed=0, noise_range=noise_range).samples((inputs,), 4)
    [unit] = GaussianNoise(4, stdevs=1.0, seed=0).samples((inputs,), 4)
    noise, one = samples.points[0] - inputs, unit.points[0] - inputs
    torch.testing.assert_close(noise, 0.5 * torch.tensor(widths).reshape(3, 1) * one, rtol=1e-4, atol=1e-5)


def test_constant_examples_have_no_noise_and_it_is_said(inputs: torch.Tensor) -> None:
    inputs[1:] = 0.7
    with pytest.warns(UserWarning, match="All values of example 1, 2 are equal, .* give stdevs"):
        [samples] = GaussianNoise(4).samples((inputs,), 4)
    assert bool((samples.points[0][:, 1:] == 0.7).all())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for asked in (
            GaussianNoise(4, stdevs=0.1),
            GaussianNoise(4, noise_level=0),
            GaussianNoise(4, noise_range="batch"),
        ):
            list(asked.samples((inputs,), 4))


def test_an_image_alone_is_its_batch(inputs: torch.Tensor) -> None:
    for row in inputs.split(1):
        [alone] = GaussianNoise(4, seed=0, noise_range="batch").samples((row,), 4)
        [own] = GaussianNoise(4, seed=0).samples((row,), 4)
        assert torch.equal(alone.points[0], own.points[0])


def test_it_is_an_option_of_the_method_and_of_the_spec(inputs: torch.Tensor) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return (x**3).sum(1)

    found = GuidedAbsoluteGrad(model).attribute(inputs, noise_range="batch", percentile=0, seed=0)
    outright = GuidedAbsoluteGrad(model).attribute(inputs, stdevs=0.15 * 8.0, percentile=0, seed=0)
    torch.testing.assert_close(found, outright)
    assert method("GAG-85", noise_range="batch").modification(0) == GaussianNoise(seed=0, noise_range="batch")  # type: ignore[attr-defined]


def test_ranges_without_meaning() -> None:
    with pytest.raises(InputError, match=r"noise_range is 'image', expected one of \['batch', 'example'\]"):
        GaussianNoise(noise_range="image")
    with pytest.raises(InputError, match="noise_range has no effect where stdevs is given"):
        method("SG", stdevs=0.1, noise_range="batch")
