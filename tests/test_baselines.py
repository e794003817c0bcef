"""Baselines: their colours in pixel space, their reproducibility, their errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import quantus
import torch
from array_forms import FORMS
from captum.attr import IntegratedGradients
from quantus.helpers.utils import get_baseline_value
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from torchvision.transforms.v2 import GaussianBlur

from captum_gag import baselines
from captum_gag.baselines import Imputation
from captum_gag.errors import InputError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 20, 16, generator=torch.Generator().manual_seed(0))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(STD).reshape(3, 1, 1)


@pytest.mark.parametrize("name", sorted(baselines.BASELINES))
def test_a_normalised_input_gets_the_normalised_baseline(pixels: torch.Tensor, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_pixels = baselines.resolve(name)(pixels)
        in_model_space = baselines.resolve(name, (MEAN, STD))(normalised(pixels))
    assert in_pixels.shape == pixels.shape
    torch.testing.assert_close(in_model_space, normalised(in_pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["black", "white", "mean", "White"])
def test_names_mean_what_they_mean_in_quantus(name: str) -> None:
    # Of one channel, with black and white in it: what Quantus's names mean of other images is in docs/differences.md.
    images = torch.rand(3, 1, 6, 5)
    images[..., 0, :2] = torch.tensor([0.0, 1.0])
    expected = [get_baseline_value(name, image, image.shape) for image in images.numpy()]
    np.testing.assert_allclose(baselines.resolve(name)(images), expected, rtol=1e-6)


def test_uniform_is_drawn_with_a_seed_that_leaves_the_global_states_alone(pixels: torch.Tensor) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    drawn = baselines.resolve("uniform")(pixels)
    assert torch.equal(drawn, baselines.uniform_rgb()(pixels))
    assert not torch.equal(drawn, baselines.resolve({"type": "uniform", "seed": 1})(pixels))
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("random", "uniform"), ("neighbourhood_mean", "blur"), ("neighbourhood_random_min_max", "road")],
)
def test_names_that_quantus_has_and_refuses(name: str, instead: str) -> None:
    with pytest.raises(ValueError, match="'"):
        get_baseline_value(name, np.zeros((1, 4, 4)), (1, 4, 4))
    with pytest.raises(InputError, match=f'^perturb_baseline is "{name}", which .* refuse too; take "{instead}"'):
        baselines.resolve(name)


def test_colours(pixels: torch.Tensor) -> None:
    assert bool((baselines.black()(pixels) == 0).all())
    assert baselines.constant((0.1, 0.2, 0.3))(pixels)[1, :, 4, 4].tolist() == pytest.approx([0.1, 0.2, 0.3])
    np.testing.assert_allclose(baselines.mean()(pixels)[:, :, 3, 3].numpy(), pixels.numpy().mean((2, 3)), rtol=1e-5)


def test_uniform_rgb_is_uniform_and_the_same_for_every_image(pixels: torch.Tensor) -> None:
    drawn = baselines.uniform_rgb(seed=1)(torch.zeros(2, 3, 200, 200))
    assert torch.equal(drawn[0], drawn[1])
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.005)
    assert drawn.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert not torch.equal(baselines.uniform_rgb(seed=1)(pixels), baselines.uniform_rgb(seed=2)(pixels))
    free = baselines.uniform_rgb(seed=None)(pixels)
    assert not torch.equal(free[0], free[1])


def test_blur_is_scipys_gaussian(pixels: torch.Tensor) -> None:
    blurred = baselines.blur(sigma=1.0)(pixels)
    expected = gaussian_filter(pixels[0, 0].numpy(), 1.0, mode="mirror", truncate=5.0)
    np.testing.assert_allclose(blurred[0, 0].numpy(), expected, atol=1e-4)


def test_blur_with_options_is_torchvisions() -> None:
    images = torch.rand(2, 3, 40, 36, generator=torch.Generator().manual_seed(0))
    blurred = baselines.resolve({"type": "blur", "sigma": 16, "kernel_size": 33})(images)
    torch.testing.assert_close(blurred, GaussianBlur(33, 16.0)(images))


def test_blur_of_signals_is_scipys_gaussian() -> None:
    signals = torch.rand(2, 3, 40)
    expected = gaussian_filter1d(signals.numpy(), 1.0, mode="mirror", truncate=5.0)
    np.testing.assert_allclose(baselines.blur(sigma=1.0)(signals), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (1,), (4,)])
def test_blur_of_images_smaller_than_the_kernel(size: tuple[int, ...]) -> None:
    images = torch.rand(1, 3, *size)
    blurred = baselines.blur()(images)
    assert blurred.shape == images.shape
    assert float(images.min()) - 1e-6 <= float(blurred.min()) <= float(blurred.max()) <= float(images.max()) + 1e-6


def test_numbers_tensors_and_callables_are_in_model_space(pixels: torch.Tensor) -> None:
    images = normalised(pixels)
    assert bool((baselines.resolve(-1.5, (MEAN, STD))(images) == -1.5).all())
    colour = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    assert baselines.resolve(colour)(images)[0, :, 0, 0].tolist() == [1, 2, 3]
    assert torch.equal(baselines.resolve(lambda x: x.flip(3))(images), images.flip(3))


def test_a_colour_on_an_input_that_is_no_pixels_in_0_to_1_warns(pixels: torch.Tensor) -> None:
    with pytest.warns(UserWarning, match=r"probably not black; pass normalization=\(mean, std\)"):
        baselines.black()(normalised(pixels))
    with pytest.warns(UserWarning, match=r"up to 2\d\d, .* 1 is probably not white; pass normalization=\(mean, std\)"):
        baselines.white()(255 * pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        baselines.black()(255 * pixels)
        assert baselines.white((0, 1 / 255))(255 * pixels).unique().item() == pytest.approx(255)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("blck", "unknown perturb_baseline 'blck'; did you mean black"),
        ({"sigma": 16}, "unknown perturb_baseline {'sigma': 16}; expected black, .* a dict of type and options"),
        ({"type": "blur", "radius": 3}, "unknown option of blur 'radius'; expected sigma, kernel_size"),
        ({"type": "mean", "sigma": 3}, "unknown option of mean 'sigma'; expected none"),
        ({"type": "road", "sigma": 1}, "unknown option of road 'sigma'; expected noise, seed"),
        ({"type": "blur", "sigma": -1}, "sigma is -1, expected greater than 0"),
        ({"type": "blur", "kernel_size": 4}, "kernel_size is 4, expected an odd number"),
        ({"type": "road", "noise": -1}, "noise is -1, expected greater than or equal to 0"),
        ({"type": "road", "seed": 0.5}, "seed is 0.5, expected a valid integer"),
        (float("nan"), "perturb_baseline is nan, expected .* a finite number"),
        (torch.zeros(5), r"is a Tensor \(5,\) of float32, must broadcast to the images \(2, 3, 20, 16\)"),
        (lambda images: "black", "perturb_baseline is 'black', must be real numbers"),
        (
            Imputation(lambda images, removed: images[..., :2]),
            r"\(2, 3, 20, 2\) of float32, must broadcast",
        ),
    ],
)
def test_errors(pixels: torch.Tensor, baseline: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        baselines.resolve(baseline)(pixels)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("blur", (2, 100), r"signals \(N, C, T\) and images \(N, C, H, W\), not for inputs \(2, 100\)"),
        ("blur", (2, 3, 4, 5, 6), r"signals \(N, C, T\) and images \(N, C, H, W\), not for inputs \(2, 3, 4, 5, 6\)"),
        ("road", (2, 3, 100), r"images \(N, C, H, W\), not for inputs \(2, 3, 100\)"),
    ],
)
def test_baselines_made_of_neighbours(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=f'The baseline "{name}" is for {message}; pass perturb_baseline="mean"'):
        baselines.resolve(name)(torch.rand(shape))


@pytest.mark.parametrize("mask", [torch.ones(2, 3, 20, 16), torch.ones(2, 1, 20, 15) > 0, torch.ones(20, 16) > 0])
def test_masks_that_do_not_fit(pixels: torch.Tensor, mask: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"removed is a Tensor .* must be a mask of bool that broadcasts"):
        baselines.road()(pixels, mask)


def test_normalization_of_another_number_of_channels(pixels: torch.Tensor) -> None:
    with pytest.raises(InputError, match="the mean of normalization has 2 numbers, must be one for each of 3 channels"):
        baselines.black(((0, 0), (1, 1)))(pixels)


NORMALIZATION = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25])


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_every_baseline_is_one_for_captum(name: str) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    images = torch.randn(2, 3, 16, 16)
    reference = baselines.BASELINES[name](NORMALIZATION)(images)
    attributions = IntegratedGradients(model).attribute(images, baselines=reference, target=1, n_steps=200)
    # Completeness: what Captum integrated is the way from this baseline (Captum 0.7 answers in double precision).
    difference = (model(images) - model(reference))[:, 1]
    torch.testing.assert_close(attributions.sum((1, 2, 3)).float(), difference, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("name", sorted({*baselines.BASELINES} - {"road"}))
def test_every_baseline_of_the_image_alone_is_a_perturbation_for_quantus(name: str) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 2))
    images = torch.randn(2, 3, 4, 4)
    calls = []

    def recorded(arr: np.ndarray, indices: np.ndarray, **kwargs: object) -> np.ndarray:
        calls.append((arr.copy(), indices, function(arr, indices)))
        return calls[-1][2]

    function = baselines.perturb_func(name, (3, 4, 4), NORMALIZATION)
    metric = quantus.PixelFlipping(features_in_step=8, perturb_func=recorded, disable_warnings=True)
    metric(model.eval(), images.numpy(), [0, 1], np.random.default_rng(0).random((2, 3, 4, 4)), device="cpu")
    before, indices, after = calls[0]
    expected = baselines.BASELINES[name](NORMALIZATION)(images).flatten(1).numpy()
    for row in range(2):
        changed = np.isin(np.arange(48), indices[row])
        assert 0 < changed.sum() < 48
        np.testing.assert_allclose(after[row, changed], expected[row, changed], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(after[row, ~changed], before[row, ~changed])


def test_pixel_flipping_onto_a_number_is_quantus_own() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2)).eval()
    images = torch.rand(2, 3, 4, 4)
    maps = np.random.default_rng(0).random((2, 3, 4, 4))
    own = quantus.PixelFlipping(perturb_baseline=0.25, disable_warnings=True)
    ours = quantus.PixelFlipping(perturb_func=baselines.perturb_func(0.25, (3, 4, 4)), disable_warnings=True)
    scores = [metric(model, images.numpy(), [0, 1], maps, device="cpu") for metric in (own, ours)]
    np.testing.assert_allclose(scores[1], scores[0])


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_any_memory(pixels: torch.Tensor, form: str) -> None:
    colour, change = np.array([0.1, 0.5, 0.75], np.float32), FORMS[form]
    if form == "larger":
        colour = np.array([1, 2, 3])
    expected = torch.tensor(colour, dtype=torch.float32).reshape(3, 1, 1).expand_as(pixels)
    for given in (change(colour.reshape(3, 1, 1)), lambda images: change(colour.reshape(3, 1, 1))):
        assert torch.equal(baselines.resolve(given)(pixels), expected)
    statistics = (change(colour), change(colour))
    torch.testing.assert_close(baselines.black(statistics)(pixels), torch.full_like(pixels, -1.0))
    rows = pixels.flatten(1).numpy()
    blacken = baselines.perturb_func(0.0, pixels.shape[1:])
    assert blacken(arr=change(rows), indices=np.array([[1], [2]]))[[0, 1], [1, 2]].tolist() == [0, 0]


def test_a_function_that_writes_into_its_images_leaves_them_alone(pixels: torch.Tensor) -> None:
    before = pixels.clone()
    assert torch.equal(baselines.resolve(lambda images: images.zero_())(pixels), torch.zeros_like(pixels))
    Imputation(lambda images, removed: images.zero_())(pixels)
    assert torch.equal(pixels, before)
