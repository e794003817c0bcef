"""Gradients of any scale: the same map where a method is free of it, a warning where not; what is but rounding."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from captum_gag.attr import GaussianNoise, GuidedAbsoluteGrad, SampledGradients, Variance, saliency_map
from captum_gag.attr.aggregations import GradientMoments, warn_of_half_precision
from captum_gag.attr.catalogue import method
from captum_gag.attr.interpretations import signed

FREE = ["GAG-0", "VG", "SG", "SG+", "SG-A", "IG", "IG-A", "Guided IG", "Blur IG", "GB", "Saliency", "Grad-CAM"]


class Scaled(nn.Module):
    """A network whose scores, and so its gradients, are multiplied by a power of two, which rounds nothing."""

    def __init__(self, exponent: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
            self.layers = nn.Sequential(*layers)
        self.scale = 2.0**exponent
        self.to(dtype).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) * self.scale


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))


@contextmanager
def silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_methods_that_are_free_of_scale(images: Tensor, exponent: int, dtype: torch.dtype) -> None:
    relative = {"type": "GAG", "percentile": 85.0, "guide": "relative"}
    for spec in [*FREE, relative]:
        with silent():
            plain = method(spec).attribute(Scaled(0, dtype), images.to(dtype), [0, 2])
            found = method(spec).attribute(Scaled(exponent, dtype), images.to(dtype), [0, 2])
        torch.testing.assert_close(found, plain * 2.0**exponent, rtol=1e-5, atol=0)
        torch.testing.assert_close(saliency_map(found), saliency_map(plain))


def test_variance_is_the_square_of_the_scale(images: Tensor) -> None:
    sampler = [
        SampledGradients(Scaled(each), GaussianNoise(5, seed=0), aggregation=Variance()) for each in (0, -40, -80)
    ]
    plain, small = (each.attribute(images, [0, 2]) for each in sampler[:2])
    torch.testing.assert_close(small, plain * 2.0**-80, rtol=1e-5, atol=0)
    with pytest.warns(UserWarning, match=r"99% of the attributions are beyond single precision"):
        sampler[2].attribute(images, [0, 2])


def test_the_papers_guide_says_where_it_is_not_free_of_scale(images: Tensor) -> None:
    with pytest.warns(UserWarning, match="of the attributions are beyond single precision.*guide='relative'"):
        found = GuidedAbsoluteGrad(Scaled(-70)).attribute(images, [0, 2], seed=0)
    # What is left is what the percentile keeps.
    assert float((found > 0).float().mean()) == pytest.approx(0.15, abs=0.02)
    with pytest.warns(UserWarning, match="amplifies"):
        GuidedAbsoluteGrad(Scaled(20)).attribute(images, [0, 2], seed=0)


def test_small_gradients_in_half_precision_are_said(images: Tensor) -> None:
    with silent():
        method("SG").attribute(Scaled(0, torch.float16), images.half(), [0, 2])
        method("SG").attribute(Scaled(-14, torch.bfloat16), images.bfloat16(), [0, 2])
    with pytest.warns(
        UserWarning, match="The gradients of 2 of 2 examples have a root mean square of at most .* in float16"
    ):
        method("SG").attribute(Scaled(-14, torch.float16), images.half(), [0, 2])


def test_gradients_of_both_signs_are_as_large_as_they_are() -> None:
    moments = GradientMoments(signed)
    moments.update(torch.tensor([3e-3, -3e-3, 0.0]).half().reshape(3, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_half_precision([moments], [torch.zeros(1, 1).half()])


def test_maps_of_bfloat16_are_no_coarser_than_single_precision(images: Tensor) -> None:
    found = method("SG").attribute(Scaled(0, torch.bfloat16), images.bfloat16(), [0, 2])
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())


@pytest.mark.parametrize("guide", ["paper", "relative"])
def test_the_rounding_of_equal_gradients_is_no_variance(guide: str) -> None:
    # A linear network has one gradient, which is summed in another order in batches of other sizes.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(300, 40), nn.Linear(40, 3))
    x = torch.rand(3, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    gradient = (model[2].weight[1] @ model[1].weight).detach().abs().reshape(1, 3, 10, 10).expand_as(x)
    for size in (1, 2, 3):
        found = GuidedAbsoluteGrad(model).attribute(x, 1, seed=0, nt_samples=7, nt_samples_batch_size=size, guide=guide)
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-7)
