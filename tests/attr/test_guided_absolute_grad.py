"""GuidedAbsoluteGrad against closed forms, a NumPy transcription of the paper, and Captum's contract."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import foldnorm
from torch import nn

from captum_gag.attr import GuidedAbsoluteGrad
from captum_gag.errors import InputError
from captum_gag.model_probe import behaviour_of

COEFFICIENTS = torch.tensor([[[0.5, -1.0, 2.0, 0.0], [3.0, 0.1, -0.2, 1.5]]])


def quadratic(x: torch.Tensor) -> torch.Tensor:
    """sum a x^2, whose gradient at x + s Z is normal with mean 2 a x and standard deviation 2 |a| s."""
    return (COEFFICIENTS.to(x.dtype) * x**2).flatten(1).sum(1)


def small_convnet(activation: type[nn.Module] = nn.Tanh) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), activation(), nn.Conv2d(4, 4, 3), activation(), nn.Flatten(), nn.Linear(64, 5)
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Recorder(nn.Module):
    """Keeps every batch that goes through a model, once it has been asked how it treats inputs like ``x``."""

    def __init__(self, model: nn.Module, x: torch.Tensor) -> None:
        super().__init__()
        self.model, self.batches = model, []
        behaviour_of(self, (x,))
        self.batches.clear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(x.detach().clone())
        return self.model(x)


class TestClosedForms:
    """f(x) = sum a x^2: the mean magnitude is that of a folded normal, V is (2 a s)^2."""

    x = torch.tensor([[[0.2, -0.7, 1.1, 0.4], [0.05, 2.0, -1.0, 0.0]]], dtype=torch.float64)
    stdev, samples = 0.3, 40_000

    def test_mean_magnitude_is_a_folded_normals_mean(self) -> None:
        attributions, error = GuidedAbsoluteGrad(quadratic).attribute(
            self.x,
            nt_samples=self.samples,
            stdevs=self.stdev,
            percentile=0,
            seed=0,
            return_standard_error=True,
        )
        scale = (2 * COEFFICIENTS.abs() * self.stdev).double().numpy()
        varies = scale > 0  # one coefficient is 0: its gradient is 0 and has no spread
        location, scale = (2 * COEFFICIENTS * self.x).abs().numpy()[varies], scale[varies]
        known = foldnorm(location / scale, scale=scale)
        assert (np.abs(attributions.numpy()[varies] - known.mean()) <= 5 * error.numpy()[varies]).all()
        np.testing.assert_allclose(error.numpy()[varies], known.std() / self.samples**0.5, rtol=0.02)
        assert attributions.numpy()[~varies] == error.numpy()[~varies] == 0

    def test_guide_is_the_known_variance_below_its_percentile(self) -> None:
        # V = (2 a s)^2 orders the four features of each channel by |a|; p = 50 keeps the two highest whole.
        plain = GuidedAbsoluteGrad(quadratic).attribute(
            self.x, nt_samples=self.samples, stdevs=self.stdev, percentile=0, seed=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            guided = GuidedAbsoluteGrad(quadratic).attribute(
                self.x, nt_samples=self.samples, stdevs=self.stdev, percentile=50, seed=0
            )
        variance = (2 * COEFFICIENTS * self.stdev).numpy() ** 2
        kept = np.array([[[False, True, True, False], [True, False, False, True]]])
        expected = np.where(kept, 1.0, variance)
        positive = plain.numpy() > 0
        np.testing.assert_allclose((guided / plain).numpy()[positive], expected[positive], rtol=0.05)

    def test_linear_model_has_no_variance_so_the_map_is_the_weights_magnitude(self, images: torch.Tensor) -> None:
        weights = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(2))
        attributions = GuidedAbsoluteGrad(lambda x: (x * weights).flatten(1).sum(1)).attribute(images, seed=0)
        assert torch.equal(attributions, weights.abs().expand(3, -1, -1, -1))


@pytest.mark.parametrize("percentile", [0, 30, 85, 100])
@pytest.mark.parametrize("guide", ["paper", "relative"])
def test_numpy_transcription_of_equations_2_to_4(images: torch.Tensor, percentile: float, guide: str) -> None:
    model = Recorder(small_convnet(), images)
    attributions = GuidedAbsoluteGrad(model).attribute(
        images, target=[0, 1, 4], nt_samples=7, percentile=percentile, guide=guide, nt_samples_batch_size=2
    )
    points = torch.cat([batch.unflatten(0, (3, -1)).transpose(0, 1) for batch in model.batches])
    gradients = np.stack(
        [
            np.stack(
                [
                    torch.autograd.functional.jacobian(lambda x, t=t: model.model(x[None])[0, t], point[e]).numpy()
                    for e, t in enumerate([0, 1, 4])
                ]
            )
            for point in points
        ]
    ).astype(np.float64)
    assert gradients.shape == (7, 3, 3, 8, 8)
    magnitude = np.abs(gradients).mean(0)
    variance = ((gradients - gradients.mean(0)) ** 2).sum(0) / 6
    threshold = np.percentile(variance, percentile, axis=(2, 3), keepdims=True)
    below = variance / threshold if guide == "relative" else variance
    # A value at the threshold may fall on either side after rounding to single precision.
    clear = np.abs(variance - threshold) > 1e-5 * threshold
    expected = magnitude * np.where(variance >= threshold, 1.0, below)
    np.testing.assert_allclose(attributions.numpy()[clear], expected[clear], rtol=2e-4, atol=1e-9)


def test_percentile_zero_is_plain_absolute_grad(images: torch.Tensor) -> None:
    model = Recorder(small_convnet(), images)
    attributions = GuidedAbsoluteGrad(model).attribute(images, target=2, nt_samples=5, percentile=0)
    points = torch.cat(model.batches).unflatten(0, (3, 5)).transpose(0, 1).requires_grad_()
    [gradients] = torch.autograd.grad(model.model(points.flatten(0, 1))[:, 2].sum(), points)
    torch.testing.assert_close(attributions, gradients.abs().mean(0))


class TestSeed:
    def test_map_depends_neither_on_the_batch_nor_on_the_chunks(self, images: torch.Tensor) -> None:
        gag = GuidedAbsoluteGrad(small_convnet())
        together = gag.attribute(images, target=[0, 1, 2], seed=3)
        for chunk in (1, 3, 20, 50):
            alone = gag.attribute(images[1:2], target=[1], seed=3, nt_samples_batch_size=chunk)
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-7)

    def test_is_bitwise_invariant_when_the_gradient_is_elementwise(self) -> None:
        x = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
        gag = GuidedAbsoluteGrad(lambda x: (x**3).flatten(1).sum(1))
        reference = gag.attribute(x, seed=1)
        for chunk in (1, 7, 20):
            assert torch.equal(reference, gag.attribute(x, seed=1, nt_samples_batch_size=chunk))
        assert torch.equal(reference[2:], gag.attribute(x[2:], seed=1))
        # Noise goes by position, not by the order in memory.
        assert torch.equal(reference, gag.attribute(x.to(memory_format=torch.channels_last), seed=1))

    def test_same_seed_same_map_other_seed_other_map(self, images: torch.Tensor) -> None:
        gag = GuidedAbsoluteGrad(small_convnet())
        assert torch.equal(gag.attribute(images, target=0, seed=5), gag.attribute(images, target=0, seed=5))
        assert not torch.equal(gag.attribute(images, target=0, seed=5), gag.attribute(images, target=0, seed=6))

    def test_leaves_the_global_generator_alone(self, images: torch.Tensor) -> None:
        model = small_convnet()
        before = torch.get_rng_state()
        GuidedAbsoluteGrad(model).attribute(images, target=0, seed=5)
        assert torch.equal(before, torch.get_rng_state())

    def test_without_seed_noise_comes_from_the_global_generator_and_differs_between_examples(self) -> None:
        x = torch.rand(1, 3, 8, 8).expand(2, -1, -1, -1)
        gag = GuidedAbsoluteGrad(small_convnet())
        torch.manual_seed(0)
        first = gag.attribute(x, target=0)
        torch.manual_seed(0)
        assert torch.equal(first, gag.attribute(x, target=0))
        assert not torch.allclose(first[0], first[1])


class TestContract:
    def test_tuple_in_tuple_out_with_own_noise_for_each_input(self) -> None:
        def forward(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor, power: int) -> torch.Tensor:
            return (a**power).sum(1) * scale + (b**power).flatten(1).sum(1)

        a, b, scale = torch.rand(2, 4), torch.rand(2, 3, 5), torch.tensor([1.0, 10.0])
        result = GuidedAbsoluteGrad(forward).attribute(
            (a, b), additional_forward_args=(scale, 2), stdevs=(0.0, 0.5), percentile=0, seed=0
        )
        assert isinstance(result, tuple)
        # Without noise the mean magnitude is the gradient's own, and the scale went with its example.
        torch.testing.assert_close(result[0], 2 * a * scale[:, None])
        assert result[1].shape == b.shape
        assert not torch.allclose(result[1], 2 * b)

    def test_single_tensor_tuple_stays_a_tuple(self, images: torch.Tensor) -> None:
        result = GuidedAbsoluteGrad(small_convnet()).attribute((images,), target=0, seed=0)
        assert isinstance(result, tuple)
        assert len(result) == 1

    @pytest.mark.parametrize(
        "target",
        [
            1,
            np.int64(1),
            np.array(1),
            np.array([1]),
            torch.tensor(1),
            torch.tensor([1]),
            [1],
            (1,),
            [1, 1, 1],
            [np.int64(1), np.uint8(1), torch.tensor(1)],
            [(1,), (1,), (1,)],
            np.array([1, 1, 1]),
            torch.tensor([1, 1, 1]),
            torch.tensor([[1], [1], [1]], dtype=torch.uint8),
        ],
        ids=repr,
    )
    def test_target_forms_agree(self, images: torch.Tensor, target: object) -> None:
        gag = GuidedAbsoluteGrad(small_convnet())
        assert torch.equal(gag.attribute(images, target=target, seed=0), gag.attribute(images, target=1, seed=0))

    @pytest.mark.parametrize(
        "target", [(1, 2), (np.int64(1), torch.tensor(2)), [(1, 2), (1, 2), (1, 2)], [[1, 2], [1, 2], [1, 2]]], ids=repr
    )
    def test_target_tuples_index_outputs_of_more_dimensions(self, images: torch.Tensor, target: object) -> None:
        model = small_convnet()
        gag = GuidedAbsoluteGrad(lambda x: torch.stack([model(x), -2 * model(x)], 1))
        plain = GuidedAbsoluteGrad(model).attribute(images, target=2, seed=0, percentile=0)
        torch.testing.assert_close(gag.attribute(images, target=target, seed=0, percentile=0), 2 * plain)

    @pytest.mark.parametrize("shape", [(4,), (4, 6), (4, 3, 6), (4, 3, 6, 5), (4, 3, 6, 5, 2)])
    def test_any_number_of_feature_dimensions(self, shape: tuple[int, ...]) -> None:
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        result = GuidedAbsoluteGrad(lambda x: (x**3).reshape(len(x), -1).sum(1)).attribute(x, seed=0, stdevs=0.1)
        assert result.shape == x.shape
        assert bool((result > 0).all())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_dtype_is_kept_but_for_half_and_close_to_single_precision(
        self, images: torch.Tensor, dtype: torch.dtype
    ) -> None:
        def attribute(dtype: torch.dtype) -> torch.Tensor:
            return GuidedAbsoluteGrad(quadratic_images).attribute(images.to(dtype), seed=0, percentile=0, stdevs=0.1)

        def quadratic_images(x: torch.Tensor) -> torch.Tensor:
            return (x**2).flatten(1).sum(1)

        result = attribute(dtype)
        assert result.dtype == torch.promote_types(dtype, torch.float32)
        if dtype == torch.float64:  # double precision has its own stream of random numbers
            torch.testing.assert_close(result.mean(), 2 * images.double().mean(), rtol=0.05, atol=0.0)
        else:
            torch.testing.assert_close(result.float(), attribute(torch.float32), rtol=0.02, atol=0.02)

    def test_leaves_no_trace(self, images: torch.Tensor) -> None:
        model = small_convnet().train()
        leaf = images.clone().requires_grad_()
        hooks = sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules())
        result = GuidedAbsoluteGrad(model).attribute(leaf, target=0)
        assert model.training
        assert leaf.requires_grad
        assert leaf.grad is None
        assert not result.requires_grad
        assert all(parameter.grad is None for parameter in model.parameters())
        assert sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()) == hooks
        GuidedAbsoluteGrad(model).attribute(images, target=0)
        assert not images.requires_grad

    def test_inputs_are_not_modified(self, images: torch.Tensor) -> None:
        before = images.clone()
        GuidedAbsoluteGrad(small_convnet()).attribute(images, target=0)
        assert torch.equal(before, images)

    def test_inside_no_grad(self, images: torch.Tensor) -> None:
        with torch.no_grad():
            assert bool((GuidedAbsoluteGrad(small_convnet()).attribute(images, target=0) > 0).all())

    def test_standard_error_follows_the_form_of_the_inputs(self) -> None:
        x = torch.rand(2, 5)
        model = Recorder(nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1), nn.Flatten(0)), x)
        (attribution,), (error,) = GuidedAbsoluteGrad(model).attribute((x,), nt_samples=9, return_standard_error=True)
        points = torch.cat(model.batches).requires_grad_()
        [gradients] = torch.autograd.grad(model.model(points).sum(), points)
        expected = gradients.unflatten(0, (2, 9)).abs().numpy().std(1, ddof=1) / 3
        np.testing.assert_allclose(error.numpy(), expected, rtol=1e-4)
        assert attribution.shape == error.shape == x.shape

    def test_progress_bar(self, images: torch.Tensor, capsys: pytest.CaptureFixture[str]) -> None:
        GuidedAbsoluteGrad(small_convnet()).attribute(images, target=0, show_progress=True)
        assert "Guided Absolute Grad attribution" in capsys.readouterr().err
        GuidedAbsoluteGrad(small_convnet()).attribute(images, target=0)
        assert capsys.readouterr().err == ""


class TestNoise:
    def test_default_noise_is_a_share_of_each_examples_own_range(self) -> None:
        # Gradient of x^2 / 2 is x itself: the standard error shows the noise that was added.
        x = torch.stack([torch.linspace(0, 1, 50), torch.linspace(-3, 7, 50)])[:, None]
        _, error = GuidedAbsoluteGrad(lambda x: (x**2 / 2).flatten(1).sum(1) + 1e4 * x.flatten(1).sum(1)).attribute(
            x.double(), nt_samples=4000, noise_level=0.2, percentile=0, seed=0, return_standard_error=True
        )
        noise = error.squeeze(1).mean(1) * 4000**0.5
        torch.testing.assert_close(noise, torch.tensor([0.2 * 1, 0.2 * 10]).double(), rtol=0.02, atol=0)

    def test_constant_example_gets_no_noise(self) -> None:
        x = torch.full((1, 3, 4, 4), 0.5)
        result = GuidedAbsoluteGrad(lambda x: (x**2).flatten(1).sum(1)).attribute(x)
        assert torch.equal(result, torch.ones_like(x))


class TestGuide:
    def steep(self, x: torch.Tensor) -> torch.Tensor:
        return 100 * (x**3).flatten(1).sum(1)

    def test_paper_guide_warns_once_when_it_amplifies(self) -> None:
        x = torch.rand(2, 3, 6, 6)
        with pytest.warns(UserWarning, match="guide='relative'") as caught:
            guided = GuidedAbsoluteGrad(self.steep).attribute(x, seed=0)
        assert len(caught) == 1
        plain = GuidedAbsoluteGrad(self.steep).attribute(x, seed=0, percentile=0)
        assert bool((guided > plain).any())

    def test_relative_guide_never_amplifies_and_is_free_of_scale(self) -> None:
        x = torch.rand(2, 3, 6, 6)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            guided = GuidedAbsoluteGrad(self.steep).attribute(x, seed=0, guide="relative")
            thousandth = GuidedAbsoluteGrad(lambda x: self.steep(x) / 1000).attribute(x, seed=0, guide="relative")
        plain = GuidedAbsoluteGrad(self.steep).attribute(x, seed=0, percentile=0)
        assert bool((guided <= plain).all())
        torch.testing.assert_close(guided, thousandth * 1000)


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"percentile": 101}, "percentile is 101, expected less than or equal to 100"),
            ({"percentile": float("nan")}, "percentile is nan"),
            ({"guide": "mine"}, "guide is 'mine', expected 'paper' or 'relative'"),
            ({"nt_samples": 0}, "nt_samples is 0, expected greater than or equal to 1"),
            ({"nt_samples": 1}, "needs at least 2 samples, got 1"),
            ({"nt_samples_batch_size": -1}, "nt_samples_batch_size is -1"),
            ({"stdevs": -0.1}, "stdevs is -0.1, expected a finite number >= 0"),
            ({"stdevs": (0.1, 0.2)}, "stdevs has 2 entries for 1 inputs"),
        ],
    )
    def test_arguments(self, images: torch.Tensor, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            GuidedAbsoluteGrad(small_convnet()).attribute(images, target=0, **arguments)

    def test_integer_input(self) -> None:
        with pytest.raises(InputError, match=r"dtype torch.int64, expected floating point"):
            GuidedAbsoluteGrad(small_convnet()).attribute(torch.zeros(1, 3, 8, 8, dtype=torch.long), target=0)

    def test_array_input(self) -> None:
        with pytest.raises(InputError, match=r"inputs contain a ndarray \(1, 3, 8, 8\) of float64"):
            GuidedAbsoluteGrad(small_convnet()).attribute(np.zeros((1, 3, 8, 8)), target=0)

    def test_empty_batch(self) -> None:
        with pytest.raises(ValueError, match=r"shapes \[\(0, 3, 8, 8\)\]"):
            GuidedAbsoluteGrad(small_convnet()).attribute(torch.zeros(0, 3, 8, 8), target=0)

    def test_batches_of_different_length(self) -> None:
        with pytest.raises(ValueError, match="same N"):
            GuidedAbsoluteGrad(lambda a, b: a.sum(1)).attribute((torch.zeros(2, 3), torch.zeros(3, 3)))


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 3),
    size=st.integers(1, 5),
    percentile=st.floats(0, 100),
    samples=st.integers(2, 6),
    guide=st.sampled_from(["paper", "relative"]),
)
def test_map_lies_between_zero_and_the_mean_magnitude(
    n: int, channels: int, size: int, percentile: float, samples: int, guide: str
) -> None:
    x = torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(samples))

    def attribute(p: float) -> torch.Tensor:
        return GuidedAbsoluteGrad(lambda x: 0.1 * (x**3).flatten(1).sum(1)).attribute(
            x, nt_samples=samples, percentile=p, guide=guide, seed=0
        )

    plain, guided = attribute(0), attribute(percentile)
    assert bool((guided >= 0).all())
    assert bool((guided <= plain * (1 + 1e-6)).all())
    # The most varying feature of each channel is never damped.
    assert bool((guided == plain).flatten(2).any(2).all())
