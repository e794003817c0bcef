"""The published code's attributions: noise of the batch's range, the strict guide, IG, reflected blur."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn
from torchvision.transforms.functional import gaussian_blur

from captum_gag.attr import GaussianNoise, GuidedAbsoluteGrad, SampledGradients, StraightPath, absolute, method
from captum_gag.attr.aggregations import GradientMoments
from captum_gag.errors import InputError
from captum_gag.papers.published_code import (
    BatchNoise,
    PublishedGAG,
    PublishedIG,
    RandomStarts,
    ReflectedBlurPath,
    StrictGuidedMean,
    log_probability_gradients,
)

CODE = "captum_gag.papers.published_code"


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16, 5)).double().eval()


@pytest.fixture
def images() -> torch.Tensor:
    scale = torch.tensor([1.0, 5.0]).reshape(2, 1, 1, 1)
    return scale.double() * torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1)).double()


def baselines_of(paths: RandomStarts, images: torch.Tensor) -> list[torch.Tensor]:
    """Return where the lines start: the first of the points at equal distances."""
    line = paths.n_samples // paths.random_baselines
    points = torch.cat([samples.points[0] for samples in paths.samples((images,), 100)])
    return list(points[::line])


def test_it_is_the_mean_of_captums_integrated_gradients(model: nn.Module, images: torch.Tensor) -> None:
    paths = RandomStarts(600, 3, seed=4)
    starts = baselines_of(paths, images)
    assert len(starts) == 3
    hosts = [
        IntegratedGradients(model).attribute(images, each, target=torch.tensor([0, 1]), n_steps=50) for each in starts
    ]
    for chunk in (None, 64):
        found = SampledGradients(model, paths).attribute(images, target=[0, 1], internal_batch_size=chunk)
        # Equal weights, ends included, differ from the quadrature by less than 1 / 200.
        torch.testing.assert_close(found, torch.stack(hosts).mean(0), rtol=0.01, atol=0.01 * float(found.abs().max()))


def test_baselines_are_uniform_in_the_range_of_each_example(images: torch.Tensor) -> None:
    lowest, highest = images.flatten(1).aminmax(dim=1)
    for seed in (0, None):
        starts = torch.stack(baselines_of(RandomStarts(2000, 1000, seed), images)).transpose(0, 1)
        share = (starts.flatten(1) - lowest[:, None]) / (highest - lowest)[:, None]
        assert 0 <= share.min() < share.max() <= 1
        # Of a uniform variable, within 6 standard errors for the 108,000 numbers.
        assert share.mean(1).tolist() == pytest.approx([0.5, 0.5], abs=6 * (1 / 12 / 108_000) ** 0.5)
        assert share.var(1).tolist() == pytest.approx([1 / 12, 1 / 12], abs=2e-3)
        assert torch.allclose(share[0], share[1]) == (seed == 0)


def test_a_seed_makes_it_the_same_in_any_batch_and_leaves_the_global_state(
    model: nn.Module, images: torch.Tensor
) -> None:
    ig = method(f"{CODE}:PublishedIG", n_samples=6, random_baselines=2)
    state = torch.get_rng_state()
    together = ig.attribute(model, images, [0, 1], seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(ig.attribute(model, images[1:], [1], seed=5), together[1:])
    assert not torch.allclose(ig.attribute(model, images, [0, 1], seed=6), together)


def test_points_that_the_lines_cannot_share_are_refused(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="n_samples is 5 for 2 random baselines, expected a multiple"):
        PublishedIG(model).attribute(images, [0, 1], n_samples=5)
    with pytest.raises(InputError, match="random_baselines is -1"):
        method(f"{CODE}:PublishedIG", random_baselines=-1).attribute(model, images, [0, 1])


class TestLogProbability:
    def test_gradient_of_a_linear_model_in_closed_form(self) -> None:
        # d log p_c / dx = w_c - sum_k p_k w_k.
        weights, x = torch.randn(4, 3).double(), torch.randn(2, 3).double()
        source = SampledGradients(
            lambda x: x @ weights.T, GaussianNoise(1, stdevs=0.0), gradient_source=log_probability_gradients
        )
        probabilities = (x @ weights.T).softmax(1)
        expected = weights[[2, 0]] - probabilities @ weights
        torch.testing.assert_close(source.attribute(x, target=[2, 0]), expected)

    def test_its_integrated_gradients_sum_to_the_change_of_the_log_probability(
        self, model: nn.Module, images: torch.Tensor
    ) -> None:
        line = SampledGradients(model, StraightPath(200), gradient_source=log_probability_gradients)
        sums = line.attribute(images, [0, 1]).flatten(1).sum(1)  # type: ignore[union-attr]
        with torch.no_grad():
            change = (model(images).log_softmax(1) - model(0 * images).log_softmax(1))[[0, 1], [0, 1]]
        torch.testing.assert_close(sums, change, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        "last", [nn.Linear(64, 1), nn.Sequential(nn.Linear(64, 5), nn.Softmax(1))], ids=["one logit", "probabilities"]
    )
    def test_what_has_no_softmax_is_refused(self, model: nn.Module, images: torch.Tensor, last: nn.Module) -> None:
        other = nn.Sequential(*model[:-1], last.double()).eval()  # type: ignore[index]
        output = "logit" if isinstance(last, nn.Linear) else "probabilities"
        with pytest.raises(InputError, match="expected logits of several classes"):
            method(f"{CODE}:PublishedIG").attribute(other, images, 0, output=output)


class TestNoiseAndGuide:
    inputs = torch.tensor([[0.0, 0.5, 1.0], [-2.0, 1.0, 0.0], [0.0, 6.0, 2.0]])
    """Three examples of ranges 1, 3 and 6, together from -2 to 6: 8."""

    def test_noise_is_a_share_of_the_batchs_range(self) -> None:
        [samples] = BatchNoise(4, noise_level=0.5, seed=0).samples((self.inputs,), 4)
        [expected] = GaussianNoise(4, stdevs=0.5 * 8.0, seed=0).samples((self.inputs,), 4)
        torch.testing.assert_close(samples.points[0], expected.points[0])
        for row in self.inputs.split(1):
            [alone], [own] = (each(4, seed=0).samples((row,), 4) for each in (BatchNoise, GaussianNoise))
            assert torch.equal(alone.points[0], own.points[0])

    def test_the_strict_guide_keeps_what_is_above_the_percentile(self) -> None:
        spread = torch.tensor([0.1, 0.2, 0.3])
        moments = GradientMoments(absolute)
        moments.update(torch.stack([-spread, spread])[:, None])
        # V is 0.02, 0.08, 0.18, and its median 0.08.
        assert StrictGuidedMean(50)(moments).tolist()[0] == pytest.approx([0.1 * 0.02, 0.2 * 0.08, 0.3])

    def test_gag_and_guided_sg_of_the_code(self) -> None:
        def model(x: torch.Tensor) -> torch.Tensor:
            return (x**3).sum(1, keepdim=True) @ torch.ones(1, 2)

        outright = GuidedAbsoluteGrad(model).attribute(self.inputs, 0, stdevs=0.15 * 8.0, percentile=0, seed=0)
        torch.testing.assert_close(PublishedGAG(model).attribute(self.inputs, 0, percentile=0, seed=0), outright)
        signed = method(f"{CODE}:PublishedGuidedSG", percentile=0)
        plain = method("SG", stdevs=0.15 * 8.0)
        torch.testing.assert_close(
            signed.attribute(model, self.inputs, 0),
            plain.attribute(model, self.inputs, 0),  # type: ignore[arg-type]
        )
        assert method(f"{CODE}:PublishedGAG").shared == method(f"{CODE}:BatchNoise").shared != method("SG").shared


def test_blur_of_a_fixed_kernel_with_reflected_borders_is_torchvisions(images: torch.Tensor) -> None:
    wide = torch.nn.functional.interpolate(images, 32)
    for sigma in (0.7, 5.0, 50.0):
        torch.testing.assert_close(ReflectedBlurPath().blur(wide, sigma), gaussian_blur(wide, [41, 41], [sigma] * 2))
    assert torch.equal(ReflectedBlurPath().blur(wide, 0.0), wide)
