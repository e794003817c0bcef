"""Baselines: images that stand in for removed pixels, in the model's input space."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from captum_gag.errors import InputError, shown, warn
from captum_gag.imputation import fill_from_neighbours
from captum_gag.options import checked, unknown
from captum_gag.tensors import Odd, Seed, as_tensor, is_dense, require_dense, seeded_generator

Baseline = Callable[[Tensor], Tensor]
"""A function from images (N, C, H, W) in model space, any (N, C, *positions) or rows (N, F), to others like them."""


def _tuples(value: Any) -> Any:
    """Return arrays and tensors as tuples of their numbers, also inside lists and tuples."""
    if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and is_dense(value)):
        value = value.tolist()
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _tensor(value: Any) -> Any:
    return as_tensor("perturb_baseline", value) if isinstance(value, np.ndarray) else value


def _statistics(value: Any) -> tuple[tuple[float, ...], ...]:
    try:
        mean, std = (as_tensor("normalization", part).double().flatten().tolist() for part in value)
    # Not two, or not numbers.
    except (TypeError, ValueError):
        mean, std = [], []
    if not std or min(std) <= 0 or not all(map(math.isfinite, mean + std)):
        raise ValueError("finite numbers and deviations above 0 (1 for a channel that was not scaled), as (mean, std)")
    return tuple(mean), tuple(std)


Numbers = Annotated[Sequence[float], BeforeValidator(_tuples)]
"""Several numbers: a list, a tuple, an array or a tensor (N,)."""

Normalization = Annotated[tuple[Sequence[float], Sequence[float]], BeforeValidator(_statistics)]
"""Mean and standard deviation per channel by which pixels in [0, 1] became the model's input."""

BaselineLike = Annotated[str | float | Tensor | Baseline | dict[str, Any], BeforeValidator(_tensor)]
"""What metrics take as ``perturb_baseline``; see ``resolve``."""


@dataclass(frozen=True)
class Imputation:
    """A baseline that depends on which pixels are removed.

    Args:
        function: From images and ``removed``, a mask of one channel or as many as the images, to images like them; only
            its removed pixels are used. Its random numbers, if any, must not depend on the batch.
    """

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, images: Tensor, removed: Tensor | None = None) -> Tensor:
        """Return the images with removed pixels filled in; None removes all.

        Raises:
            InputError: The mask, or the function's result, is not like the images.
        """
        _require_inputs(images)
        mask = torch.ones_like(images, dtype=torch.bool) if removed is None else removed
        fits = isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.ndim == images.ndim
        if not fits or any(own not in (1, side) for own, side in zip(mask.shape, images.shape, strict=True)):
            raise InputError(
                f"removed is {shown(mask)}, must be a mask of bool that broadcasts to the images {tuple(images.shape)}."
            )
        require_dense("masks of removed pixels", mask)
        # A copy, because the function is a user's, which may write into what it gets.
        return torch.where(mask, _like(images, self.function(images.clone(), mask)), images)


@checked
def constant(value: float | Numbers, normalization: Normalization | None = None) -> Baseline:
    """Return a baseline of one colour.

    Args:
        value: Colour in pixel space, [0, 1]: one number, or one per channel.
        normalization: (mean, std) of the model's input. Without it the input is taken to be in [0, 1]; an input
            below 0 then warns, because the colour is probably not the one that was meant.
    """
    return lambda images: _from_pixels(_per_channel(value, images, "the colour"), images, normalization)


def black(normalization: Normalization | None = None) -> Baseline:
    """Return a black baseline: pixel value 0."""
    return constant(0.0, normalization)


def white(normalization: Normalization | None = None) -> Baseline:
    """Return a white baseline: pixel value 1."""
    return constant(1.0, normalization)


def mean(normalization: Normalization | None = None) -> Baseline:
    """Return the baseline of each image's own mean colour; the same in pixel space and in model space."""

    def baseline(images: Tensor) -> Tensor:
        _require_inputs(images)
        # The features of a row are its positions.
        axes = tuple(range(2, images.ndim)) or 1
        return images.mean(axes, keepdim=True).expand_as(images)

    return baseline


@checked
def uniform_rgb(normalization: Normalization | None = None, seed: Seed | None = 0) -> Baseline:
    """Return a baseline of random colours, uniform over [0, 1] in each channel of pixel space, one for every pixel.

    With a seed all images get the same random colours, whatever batch they come in, and torch's global random
    state is left alone.
    """
    return lambda images: _from_pixels(_random(torch.rand, images, seed), images, normalization)


@checked
def blur(
    normalization: Normalization | None = None,
    sigma: Annotated[float, Gt(0), Lt(2**31)] = 5.0,
    kernel_size: Annotated[int, Gt(0), Lt(2**31), Odd] = 11,
) -> Baseline:
    """Return the baseline of the blurred image, as RISE's insertion does: Gaussian, sigma 5, 11 x 11, in pixels.

    It is the same in pixel space and in model space. Borders are reflected (RISE pads with 0 in model space). Images
    smaller than the kernel get the largest odd kernel that reflection allows. Images must be (N, C, H, W), or signals
    (N, C, T), which are blurred along T.
    """

    def baseline(images: Tensor) -> Tensor:
        _require_inputs(images, "blur")
        planes = images.unsqueeze(2) if images.ndim == 3 else images
        height, width = (min(kernel_size, 2 * side - 1) for side in planes.shape[-2:])
        # Rows, then columns: the same image for 2 x 11 products per pixel instead of 11 x 11.
        rows = gaussian_blur(planes, [width, 1], [sigma, sigma])
        blurred: Tensor = gaussian_blur(rows, [1, height], [sigma, sigma])
        return blurred.reshape(images.shape)

    return baseline


@checked
def road(
    normalization: Normalization | None = None, noise: Annotated[float, Ge(0)] = 0.01, seed: Seed | None = 0
) -> Imputation:
    """Return ROAD's noisy linear imputation (Rong et al., 2022): removed pixels are the mean of their neighbours.

    The mean (``fill_from_neighbours``) gets Gaussian noise, so that removed pixels cannot be told by being smooth. With
    a seed the noise of a pixel is the same in all images and for all masks, and torch's global random state is left
    alone. An image of which nothing is kept is its mean colour, with the noise. Images must be (N, C, H, W).

    Args:
        normalization: (mean, std) of the model's input; without it the noise is in the input's own units.
        noise: Standard deviation of the noise, of pixels in [0, 1].
        seed: Of the noise.
    """

    def impute(images: Tensor, removed: Tensor) -> Tensor:
        _require_inputs(images, "road")
        scale = _scaling(images, normalization)[1]
        return fill_from_neighbours(images, removed) + (_random(torch.randn, images, seed) * noise / scale).to(images)

    return Imputation(impute)


BASELINES: dict[str, Callable[..., Baseline]] = {
    **{baseline.__name__: baseline for baseline in (black, white, mean, uniform_rgb, blur, road)},
    "uniform": uniform_rgb,  # Quantus's name.
}

LOCAL = {"blur": {3: "signals (N, C, T)", 4: "images (N, C, H, W)"}, "road": {4: "images (N, C, H, W)"}}
"""Inputs, by their number of axes, for which a baseline is that is made of a position's neighbours."""

# Quantus has these names, but none of its metrics takes them.
_INSTEAD = {"random": "uniform", "neighbourhood_mean": "blur", "neighbourhood_random_min_max": "road"}


@checked
def resolve(perturb_baseline: BaselineLike, normalization: Normalization | None = None) -> Baseline:
    """Return the baseline that a ``perturb_baseline`` stands for.

    Args:
        perturb_baseline: A name from ``BASELINES`` (a colour in pixel space; its case does not matter), or a dict with
            such a name as ``type`` and its options, as in {"type": "blur", "sigma": 16, "kernel_size": 33}; a number or
            a tensor broadcastable to the images (both in model space), or a callable from images to images like them,
            which is an ``Imputation`` where it depends on the removed pixels.
        normalization: (mean, std) of the model's input, for the names.

    Raises:
        InputError: The name or an option is unknown; when called, the result is not like the images.
    """
    if isinstance(perturb_baseline, Imputation):
        return perturb_baseline
    if not isinstance(perturb_baseline, str | dict):
        value = perturb_baseline
        return lambda images: _like(images, value(images.clone()) if callable(value) else value)
    options = dict(perturb_baseline) if isinstance(perturb_baseline, dict) else {"type": perturb_baseline}
    name = options.pop("type", None)
    name = name.lower() if isinstance(name, str) else ""
    if name in _INSTEAD:
        raise InputError(f'perturb_baseline is "{name}", which Quantus\'s metrics refuse too; take "{_INSTEAD[name]}".')
    if name not in BASELINES:
        choices = [*BASELINES, "a dict of type and options", "a tensor", "a callable"]
        raise unknown("perturb_baseline", perturb_baseline, choices)
    names = [option for option in inspect.signature(BASELINES[name]).parameters if option != "normalization"]
    for option in options:
        if option not in names:
            raise unknown(f"option of {name}", option, names or ["none"])
    return BASELINES[name](normalization, **options)


def perturb_func(
    perturb_baseline: BaselineLike, shape: Sequence[int], normalization: Normalization | None = None
) -> Callable[..., NDArray[Any]]:
    """Return a baseline as Quantus's metrics take a ``perturb_func``, for example ``quantus.PixelFlipping``.

    Quantus perturbs step by step: an image's mean and blur are those of the image after the step before. Metrics that
    pad the images first (``quantus.RegionPerturbation``) do not fit.

    Args:
        perturb_baseline: See ``resolve``.
        shape: (C, H, W) of the images.
        normalization: (mean, std) of the model's input.

    Returns:
        Function of ``arr``, (N, C H W), and ``indices``, (N, I), that returns a changed copy of ``arr``.
    """
    baseline = resolve(perturb_baseline, normalization)

    def perturb(arr: NDArray[Any], indices: NDArray[Any], **kwargs: Any) -> NDArray[Any]:
        images = as_tensor("arr", arr).reshape(len(arr), *shape)
        removed = np.zeros(arr.shape, bool)
        removed[np.arange(len(arr))[:, None], indices] = True
        mask = torch.as_tensor(removed).reshape(images.shape)
        replacement = baseline(images, mask) if isinstance(baseline, Imputation) else baseline(images)
        return np.where(removed, replacement.reshape(len(arr), -1).numpy(), arr)

    return perturb


def _from_pixels(pixels: Tensor, images: Tensor, normalization: Normalization | None) -> Tensor:
    """Return colours in [0, 1] in the space of the images, and in their shape."""
    # Signals and tables have values of their own; 0 is black for pixels up to 255, too.
    if normalization is None and images.ndim == 4:
        lowest, highest = (end.item() for end in images.nan_to_num(posinf=0.0).aminmax())
        if lowest < 0 or (highest > 1 and bool((pixels > 0).any())):
            end = f"down to {lowest:.3g}" if lowest < 0 else f"up to {highest:.3g}"
            colour = "0 is probably not black" if lowest < 0 else "1 is probably not white"
            warn(
                f"The input reaches {end}, so it seems to be normalised and pixel value {colour}; pass "
                "normalization=(mean, std)."
            )
    shift, scale = _scaling(images, normalization)
    return ((pixels - shift) / scale).expand_as(images)


def _scaling(images: Tensor, normalization: Normalization | None) -> tuple[Tensor, Tensor]:
    mean, deviation = normalization or (0.0, 1.0)
    return _per_channel(mean, images, "the mean of normalization"), _per_channel(deviation, images, "its deviation")


def _per_channel(value: float | Sequence[float], images: Tensor, name: str) -> Tensor:
    _require_inputs(images)
    numbers = torch.as_tensor(value, dtype=images.dtype, device=images.device).reshape(-1)
    if len(numbers) not in (1, images.shape[1]):
        raise InputError(f"{name} has {len(numbers)} numbers, must be one for each of {images.shape[1]} channels.")
    return numbers.reshape(-1, *[1] * (images.ndim - 2))


def _random(draw: Callable[..., Tensor], images: Tensor, seed: int | None) -> Tensor:
    """Return random numbers: with a seed (C, ...), for all images; without, (N, C, ...)."""
    _require_inputs(images)
    generator = seeded_generator(seed, images.device)
    shape = images.shape if seed is None else images.shape[1:]
    return draw(shape, generator=generator, dtype=torch.float32, device=images.device).to(images.dtype)


def _require_inputs(images: Any, name: str = "") -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim < 2:
        raise InputError(f"images are {shown(images)}, must be a floating-point tensor (N, C, H, W) or (N, ...).")
    require_dense("images", images)
    if name and (images.ndim not in LOCAL[name] or 0 in images.shape[1:]):
        raise InputError(
            f'The baseline "{name}" is for {" and ".join(LOCAL[name].values())}, not for inputs {tuple(images.shape)}; '
            'pass perturb_baseline="mean".'
        )


def _like(images: Tensor, replacement: Any) -> Tensor:
    """Return a number, a tensor or a function's result as images of the same shape, type and device."""
    _require_inputs(images)
    numbers = as_tensor("perturb_baseline", replacement)
    try:
        return numbers.to(images.device, images.dtype).expand_as(images)
    except RuntimeError:
        raise InputError(
            f"perturb_baseline is {shown(replacement)}, must broadcast to the images {tuple(images.shape)}."
        ) from None
