"""What "no feature" looks like: images that stand in for removed pixels, in the model's input space."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from captum_gag.errors import InputError

Baseline = Callable[[Tensor], Tensor]
"""A function from images (N, C, H, W) in model space to replacement images like them."""


def numbers(value: Any) -> Any:
    """Return arrays and tensors as tuples of their numbers, also inside lists and tuples; all else as it is."""
    if isinstance(value, np.ndarray | Tensor):
        value = value.tolist()
    return tuple(map(numbers, value)) if isinstance(value, list | tuple) else value


Numbers = Annotated[Sequence[float], BeforeValidator(numbers)]
"""Several numbers: a list, a tuple, an array or a tensor (N,)."""

Normalization = Annotated[tuple[Sequence[float], Sequence[float]], BeforeValidator(numbers)]
"""Mean and standard deviation per channel by which pixels in [0, 1] became the model's input."""

BaselineLike = Annotated[
    str | float | Tensor | Baseline,
    BeforeValidator(lambda value: torch.as_tensor(value) if isinstance(value, np.ndarray) else value),
]
"""What metrics take as ``perturb_baseline``; see ``resolve``."""


def constant(value: float | Sequence[float], normalization: Normalization | None = None) -> Baseline:
    """Return a baseline of one colour.

    Args:
        value: Colour in pixel space, [0, 1]: one number, or one per channel.
        normalization: (mean, std) of the model's input. Without it the input is taken to be in [0, 1]; an input
            below 0 then warns, because the colour is probably not the one that was meant.
    """

    def baseline(images: Tensor) -> Tensor:
        colour = torch.as_tensor(value, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)
        return from_pixels(colour, images, normalization).expand_as(images)

    return baseline


def black(normalization: Normalization | None = None) -> Baseline:
    """Return a black baseline: pixel value 0."""
    return constant(0.0, normalization)


def mean(normalization: Normalization | None = None) -> Baseline:
    """Return the baseline of each image's own mean colour; the same in pixel space and in model space."""
    return lambda images: images.mean((2, 3), keepdim=True).expand_as(images)


def uniform_rgb(normalization: Normalization | None = None, seed: int | None = 0) -> Baseline:
    """Return a baseline of random colours, uniform over [0, 1] in each channel of pixel space, one for every pixel.

    With a seed all images get the same random colours, whatever batch they come in, and torch's global random
    state is left alone.
    """

    def baseline(images: Tensor) -> Tensor:
        generator = None if seed is None else torch.Generator(images.device).manual_seed(seed)
        shape = images.shape if seed is None else images.shape[1:]
        pixels = torch.rand(shape, generator=generator, device=images.device).to(images.dtype)
        return from_pixels(pixels, images, normalization).expand_as(images)

    return baseline


def blur(normalization: Normalization | None = None, sigma: float = 5.0, kernel_size: int = 11) -> Baseline:
    """Return the baseline of the blurred image, as RISE's insertion does: Gaussian, sigma 5, 11 x 11, in pixels.

    Borders are reflected (RISE pads with 0 in model space). Images smaller than the kernel get the largest odd
    kernel that reflection allows. Blurring is linear, hence the same in pixel space and in model space.
    """

    def baseline(images: Tensor) -> Tensor:
        height, width = (min(kernel_size, 2 * side - 1) for side in images.shape[-2:])
        # Rows, then columns: the same image for 2 x 11 products per pixel instead of 11 x 11.
        rows = gaussian_blur(images, [width, 1], [sigma, sigma])
        blurred: Tensor = gaussian_blur(rows, [1, height], [sigma, sigma])
        return blurred

    return baseline


BASELINES: dict[str, Callable[[Normalization | None], Baseline]] = {
    "black": black,
    "mean": mean,
    "uniform_rgb": uniform_rgb,
    "blur": blur,
}


def resolve(perturb_baseline: BaselineLike, normalization: Normalization | None = None) -> Baseline:
    """Return what a user may give as ``perturb_baseline`` as a function of the images.

    Args:
        perturb_baseline: A name from ``BASELINES`` (a colour in pixel space), a number or a tensor broadcastable
            to the images (both in model space), or a callable from images to images like them.
        normalization: (mean, std) of the model's input, for the names.

    Raises:
        InputError: If the name is unknown, or the result is not like the images.
    """
    if isinstance(perturb_baseline, str):
        if perturb_baseline not in BASELINES:
            raise InputError(
                f"perturb_baseline is {perturb_baseline!r}, expected one of {sorted(BASELINES)}, a number, a tensor "
                "or a callable from images to images."
            )
        return BASELINES[perturb_baseline](normalization)

    def baseline(images: Tensor) -> Tensor:
        given = perturb_baseline(images) if callable(perturb_baseline) else perturb_baseline
        replacement = torch.as_tensor(given, dtype=images.dtype, device=images.device)
        try:
            return replacement.expand_as(images)
        except RuntimeError:
            raise InputError(
                f"perturb_baseline has shape {tuple(replacement.shape)}, expected one that broadcasts to the images' "
                f"{tuple(images.shape)}."
            ) from None

    return baseline


def perturb_func(
    perturb_baseline: BaselineLike, shape: Sequence[int], normalization: Normalization | None = None
) -> Callable[..., NDArray[Any]]:
    """Return a baseline as Quantus's metrics take a ``perturb_func``, for example ``quantus.PixelFlipping``.

    Quantus replaces some values at a time, in images flattened to rows, and hands over what was left the last time: the
    image's own mean and blur are then those of the image as it has become. Metrics that pad the images first
    (``quantus.RegionPerturbation``) do not fit.

    Args:
        perturb_baseline: See ``resolve``.
        shape: (C, H, W) of the images.
        normalization: (mean, std) of the model's input.

    Returns:
        Function of ``arr``, (N, C H W), and ``indices``, (N, I), that returns a changed copy of ``arr``.
    """
    baseline = resolve(perturb_baseline, normalization)

    def perturb(arr: NDArray[Any], indices: NDArray[Any], **kwargs: Any) -> NDArray[Any]:
        images = torch.as_tensor(arr).reshape(len(arr), *shape)
        replacement = baseline(images).reshape(len(arr), -1).numpy()
        changed: NDArray[Any] = arr.copy()
        rows = np.arange(len(arr))[:, None]
        changed[rows, indices] = replacement[rows, indices]
        return changed

    return perturb


def from_pixels(pixels: Tensor, images: Tensor, normalization: Normalization | None) -> Tensor:
    """Return colours in [0, 1] in the space of ``images``."""
    if normalization is None:
        if bool((images < 0).any()):
            warnings.warn(
                f"The input reaches down to {images.min().item():.3g}, so it seems to be normalised and pixel value 0 "
                "is probably not black; pass normalization=(mean, std).",
                stacklevel=3,
            )
        return pixels
    shift, scale = (
        torch.as_tensor(each, dtype=images.dtype, device=images.device).reshape(-1, 1, 1) for each in normalization
    )
    if not {len(shift), len(scale)} <= {1, images.shape[1]}:
        raise InputError(
            f"normalization has {len(shift)} means and {len(scale)} standard deviations, expected one for each of the "
            f"{images.shape[1]} channels."
        )
    return (pixels - shift) / scale
