"""Path methods against Captum's IG, PAIR's Guided IG and Blur IG, SciPy's blur, and completeness."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given, settings
from hypothesis import strategies as st
from saliency.core import BlurIG as PairBlurIG
from saliency.core import GuidedIG as PairGuidedIG
from saliency.core import IntegratedGradients as PairIntegratedGradients
from scipy.ndimage import gaussian_filter
from torch import nn

from captum_gag.attr import BlurIG, BlurPath, GuidedIG, GuidedMean, GuidedPath, SampledGradients, StraightPath, absolute
from captum_gag.attr.paths import Quadrature, gaussian_blur
from captum_gag.papers.published_code import EqualWeights

SIDE, CLASSES = 10, 4


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Conv2d(6, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(216, CLASSES)
        )
        .double()
        .eval()
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).double()


def pair_function(model: nn.Module, target: int) -> Any:
    """The form in which PAIR's library calls a model: (batch, H, W, C) in, gradients out."""

    def call(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, np.ndarray]:
        points = torch.from_numpy(np.asarray(x)).permute(0, 3, 1, 2).requires_grad_()
        [gradients] = torch.autograd.grad(model(points)[:, target].sum(), points)
        return {"INPUT_OUTPUT_GRADIENTS": gradients.permute(0, 2, 3, 1).numpy()}

    return call


@pytest.mark.parametrize("method", get_args(Quadrature))
@pytest.mark.parametrize("n_steps", [2, 7, 50])
def test_straight_path_is_captums_integrated_gradients(
    model: nn.Module, images: torch.Tensor, method: str, n_steps: int
) -> None:
    baselines = 0.3 * torch.randn(3, SIDE, SIDE).double()
    row = SampledGradients(model, StraightPath(n_steps, baselines, method)).attribute(images, target=[0, 1, 2])
    host = IntegratedGradients(model).attribute(
        images, baselines.expand_as(images), target=torch.tensor([0, 1, 2]), n_steps=n_steps, method=method
    )
    # Captum's inner weights of the trapezoid are 1 / n, the rule's own are 1 / (n - 1).
    if method == "riemann_trapezoid":
        host = host * n_steps / (n_steps - 1)
    torch.testing.assert_close(row, host)


@pytest.mark.parametrize("n_steps", [2, 7, 50])
def test_equal_weights_are_those_of_pairs_integrated_gradients(
    model: nn.Module, images: torch.Tensor, n_steps: int
) -> None:
    ours = SampledGradients(model, EqualWeights(n_steps, 0.3)).attribute(images, target=[0, 1, 2])
    for index, image in enumerate(images):
        theirs = PairIntegratedGradients().GetMask(
            image.permute(1, 2, 0).numpy(),
            pair_function(model, index),
            x_baseline=np.full((SIDE, SIDE, 3), 0.3),
            x_steps=n_steps,
        )
        # PAIR's library adds up in single precision.
        np.testing.assert_allclose(ours[index].permute(1, 2, 0).numpy(), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", get_args(Quadrature))
def test_quadratures_integrate_constants_exactly(method: str) -> None:
    positions, weights = StraightPath(9, method=method).quadrature()
    assert weights.sum() == pytest.approx(1)
    assert positions.min() >= 0
    assert positions.max() <= 1


@pytest.mark.parametrize(("fraction", "max_dist"), [(0.25, 0.02), (0.1, 0.1), (0.25, 1.0), (1.0, 0.05), (0.03, 0.2)])
@pytest.mark.parametrize("n_steps", [1, 10, 40])
def test_guided_ig_is_pairs(
    model: nn.Module,
    images: torch.Tensor,
    fraction: float,
    max_dist: float,
    n_steps: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    baselines = 0.1 * torch.ones(3, SIDE, SIDE).double()
    ours = GuidedIG(model).attribute(
        images, baselines, target=[0, 1, 2], n_steps=n_steps, fraction=fraction, max_dist=max_dist
    )
    quantile = np.quantile
    # PAIR's library uses the name of an argument that NumPy 2.4 has no more.
    monkeypatch.setattr(np, "quantile", lambda a, q, interpolation: quantile(a, q, method=interpolation))
    for index, image in enumerate(images):
        theirs = PairGuidedIG().GetMask(
            image.permute(1, 2, 0).numpy(),
            pair_function(model, index),
            x_baseline=baselines.permute(1, 2, 0).numpy(),
            x_steps=n_steps,
            fraction=fraction,
            max_dist=max_dist,
        )
        np.testing.assert_allclose(ours[index].permute(1, 2, 0).numpy(), theirs, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("max_sigma", "sqrt"), [(50, False), (3, False), (50, True), (2, True)])
def test_blur_ig_is_pairs(model: nn.Module, images: torch.Tensor, max_sigma: float, sqrt: bool) -> None:
    ours = BlurIG(model).attribute(images, target=[0, 1, 2], n_steps=20, max_sigma=max_sigma, sqrt=sqrt)
    for index, image in enumerate(images):
        theirs = PairBlurIG().GetMask(
            image.permute(1, 2, 0).numpy(), pair_function(model, index), max_sigma=max_sigma, steps=20, sqrt=sqrt
        )
        np.testing.assert_allclose(ours[index].permute(1, 2, 0).numpy(), theirs, rtol=1e-7, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(sigma=st.floats(0.01, 60), height=st.integers(1, 12), width=st.integers(1, 12))
def test_blur_is_scipys(sigma: float, height: int, width: int) -> None:
    image = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(height)).double()
    expected = gaussian_filter(image.numpy(), [0, 0, sigma, sigma], mode="constant")
    np.testing.assert_allclose(gaussian_blur(image, sigma).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_blur_of_signals_and_volumes() -> None:
    for shape in [(1, 2, 9), (1, 1, 4, 5, 6)]:
        x = torch.randn(shape).double()
        expected = gaussian_filter(x.numpy(), [0, 0] + [1.5] * (len(shape) - 2), mode="constant")
        np.testing.assert_allclose(gaussian_blur(x, 1.5).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_blur_ig_starts_at_its_blur(model: nn.Module, images: torch.Tensor) -> None:
    attributions, delta = BlurIG(model).attribute(images, 0, n_steps=5, max_sigma=50.0, return_convergence_delta=True)
    blurred = torch.from_numpy(gaussian_filter(images.numpy(), [0, 0, 50.0, 50.0], mode="constant"))
    with torch.no_grad():
        difference = model(images)[:, 0] - model(blurred)[:, 0]
    torch.testing.assert_close(delta, attributions.flatten(1).sum(1) - difference)


class TestCompleteness:
    """The attributions sum to f(x) - f(start), ever closer with more steps."""

    @pytest.mark.slow
    @pytest.mark.parametrize("method", [GuidedIG, BlurIG])
    def test_delta_is_the_gap_and_vanishes(self, model: nn.Module, images: torch.Tensor, method: type) -> None:
        arguments = {"max_sigma": 3.0} if method is BlurIG else {}
        gaps = []
        for n_steps in (10, 1000):
            attributions, delta = method(model).attribute(
                images, target=[0, 1, 2], n_steps=n_steps, return_convergence_delta=True, **arguments
            )
            start = gaussian_blur(images, 3.0) if method is BlurIG else 0 * images
            rows = torch.arange(3)
            with torch.no_grad():
                difference = model(images)[rows, rows] - model(start)[rows, rows]
            torch.testing.assert_close(delta, attributions.flatten(1).sum(1) - difference)
            gaps.append(delta.abs())
        assert bool((gaps[1] < 0.02 * difference.abs() + 2e-3).all())
        assert bool((gaps[1] < gaps[0]).all())

    def test_what_a_path_method_says_of_itself(self, model: nn.Module) -> None:
        for method in (GuidedIG(model), BlurIG(model)):
            assert method.has_convergence_delta()
            assert method.multiplies_by_inputs


class TestGuidedPath:
    def test_without_leeway_it_is_the_straight_line(self, model: nn.Module, images: torch.Tensor) -> None:
        guided = GuidedIG(model).attribute(images, target=0, n_steps=8, max_dist=0.0)
        straight = SampledGradients(model, StraightPath(8, method="riemann_left")).attribute(images, target=0)
        torch.testing.assert_close(guided, straight)

    def test_input_equal_to_its_baseline_has_no_attribution(self, model: nn.Module, images: torch.Tensor) -> None:
        assert torch.equal(GuidedIG(model).attribute(images, images, target=0, n_steps=5), torch.zeros_like(images))

    @settings(max_examples=40, deadline=None)
    @given(n_steps=st.integers(1, 12), fraction=st.floats(0.01, 1), max_dist=st.floats(0, 1), seed=st.integers(0, 1000))
    def test_every_step_keeps_to_its_length_and_its_corridor(
        self, n_steps: int, fraction: float, max_dist: float, seed: int
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        x, start = (torch.randn(2, 17, generator=generator).double() for _ in range(2))
        points = []
        for samples in GuidedPath(n_steps, start, fraction, max_dist).samples((x,), 1):
            points.append(samples.points[0][0])
            samples.weigh((torch.randn(1, 2, 17, generator=generator).double(),))
        way = (x - start).abs()
        for step, point in enumerate(points):
            done = step / n_steps
            torch.testing.assert_close((x - point).abs().sum(1), way.sum(1) * (1 - done))
            assert bool(((point - start).abs() >= way * (done - max_dist) - 1e-9).all())
            assert bool(((point - start).abs() <= way * (done + max_dist) + 1e-9).all())


@pytest.mark.parametrize("method", [GuidedIG, BlurIG])
class TestContract:
    def test_batch_is_its_examples_one_by_one(self, model: nn.Module, images: torch.Tensor, method: type) -> None:
        together = method(model).attribute(images, target=[0, 1, 2], n_steps=12)
        for index in range(3):
            alone = method(model).attribute(images[index : index + 1], target=index, n_steps=12)
            torch.testing.assert_close(together[index : index + 1], alone)

    @pytest.mark.parametrize("internal_batch_size", [1, 2, 7, 100])
    def test_internal_batch_size_changes_nothing_but_the_passes(
        self, model: nn.Module, images: torch.Tensor, method: type, internal_batch_size: int
    ) -> None:
        passes: list[int] = []

        def counted(x: torch.Tensor, scale: torch.Tensor, shift: float) -> torch.Tensor:
            passes.append(len(x))
            return scale[:, None] * model(x) + shift

        arguments = {
            "target": torch.tensor([0, 1, 2]),
            "additional_forward_args": (torch.tensor([1.0, 2.0, 3.0]), 0.5),
            "n_steps": 5,
        }
        expected = method(counted).attribute(images, **arguments)
        passes.clear()
        result = method(counted).attribute(images, internal_batch_size=internal_batch_size, **arguments)
        torch.testing.assert_close(result, expected)
        assert max(passes) <= internal_batch_size
        assert sum(passes) == 15

    def test_tuples_dtype_and_traces(self, model: nn.Module, images: torch.Tensor, method: type) -> None:
        def forward(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return model((a + 2 * b).double())

        single = images.float().requires_grad_()
        result = method(forward).attribute((single, images), target=0, n_steps=3)
        assert isinstance(result, tuple)
        assert [each.dtype for each in result] == [torch.float32, torch.float64]
        assert single.grad is None
        assert not result[0].requires_grad


class TestVariants:
    """Interpretation and aggregation of contributions along a path, against NumPy."""

    @pytest.mark.parametrize("percentile", [0, 85])
    def test_absolute_and_guided_integrated_gradients(
        self, model: nn.Module, images: torch.Tensor, percentile: float
    ) -> None:
        row = SampledGradients(model, StraightPath(6, method="riemann_middle"), absolute, GuidedMean(percentile))
        contributions = []
        for alpha in (np.arange(6) + 0.5) / 6:
            point = (alpha * images).requires_grad_()
            [gradient] = torch.autograd.grad(model(point)[:, 1].sum(), point)
            contributions.append((gradient * images).numpy())
        stacked = np.stack(contributions)
        variance = stacked.var(0, ddof=1)
        threshold = np.percentile(variance, percentile, axis=(2, 3), keepdims=True)
        expected = np.abs(stacked).mean(0) * np.where(variance >= threshold, 1, variance)
        np.testing.assert_allclose(row.attribute(images, target=1).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StraightPath(0), "n_samples is 0"),
        (lambda: StraightPath(5, method="simpson"), "method is 'simpson', expected 'gausslegendre', 'riemann_left'"),
        (lambda: BlurPath(5, max_sigma=0), "max_sigma is 0, expected greater than 0"),
        (lambda: GuidedPath(5, fraction=0), "fraction is 0"),
        (lambda: GuidedPath(5, max_dist=1.5), "max_dist is 1.5, expected less than or equal to 1"),
    ],
)
def test_parameters_without_meaning(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_inputs_that_do_not_fit(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="baselines has 2 entries for 1 inputs"):
        GuidedIG(model).attribute(images, (0, 0), target=0)
    with pytest.raises(ValueError, match=r"baseline has shape \(5,\)"):
        GuidedIG(model).attribute(images, torch.zeros(5), target=0)
    with pytest.raises(ValueError, match=r"expected \(N, C, ...\)"):
        BlurIG(nn.Linear(4, 2)).attribute(torch.zeros(1, 4), target=0)
    with pytest.raises(ValueError, match="internal_batch_size is 0"):
        BlurIG(model).attribute(images, target=0, internal_batch_size=0)
    with pytest.raises(ValueError, match="trapezoid rule needs at least 2"):
        SampledGradients(model, StraightPath(1, method="riemann_trapezoid")).attribute(images, target=0)
