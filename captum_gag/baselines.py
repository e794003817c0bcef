"""What "no feature" looks like: images that stand in for removed pixels, in the model's input space."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from captum_gag.errors import InputError, shown, warn
from captum_gag.imputation import Imputation as Imputation
from captum_gag.imputation import fill_from_neighbours, floating_inputs, like_inputs
from captum_gag.tensors import is_dense

Baseline = Callable[[Tensor], Tensor]
"""A function from images (N, C, H, W) in model space, any (N, C, *positions) or rows (N, F), to others like them."""


def numbers(value: Any) -> Any:
    """Return arrays and tensors as tuples of their numbers, also inside lists and tuples; all else as it is."""
    if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and is_dense(value)):
        value = value.tolist()
    return tuple(map(numbers, value)) if isinstance(value, list | tuple) else value


Numbers = Annotated[Sequence[float], BeforeValidator(numbers)]
"""Several numbers: a list, a tuple, an array or a tensor (N,)."""

Normalization = Annotated[tuple[Sequence[float], Sequence[float]], BeforeValidator(numbers)]
"""Mean and standard deviation per channel by which pixels in [0, 1] became the model's input."""


def _as_tensor(value: Any) -> Any:
    """Return arrays of numbers as tensors; all else as it is."""
    return torch.as_tensor(value) if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" else value


BaselineLike = Annotated[str | float | Tensor | Baseline | dict[str, Any], BeforeValidator(_as_tensor)]
"""What metrics take as ``perturb_baseline``; see ``resolve``."""


def constant(value: float | Sequence[float], normalization: Normalization | None = None) -> Baseline:
    """Return a baseline of one colour.

    Args:
        value: Colour in pixel space, [0, 1]: one number, or one per channel.
        normalization: (mean, std) of the model's input. Without it the input is taken to be in [0, 1]; an input
            below 0 then warns, because the colour is probably not the one that was meant.
    """

    def baseline(images: Tensor) -> Tensor:
        colour = _per_channel(value, floating_inputs(images), "The colour")
        return from_pixels(colour, images, normalization).expand_as(images)

    return baseline


def black(normalization: Normalization | None = None) -> Baseline:
    """Return a black baseline: pixel value 0."""
    return constant(0.0, normalization)


def mean(normalization: Normalization | None = None) -> Baseline:
    """Return the baseline of each image's own mean colour; the same in pixel space and in model space."""

    def baseline(images: Tensor) -> Tensor:
        # The features of a row are its positions.
        axes = tuple(range(2, floating_inputs(images).ndim)) or 1
        return images.mean(axes, keepdim=True).expand_as(images)

    return baseline


def uniform_rgb(normalization: Normalization | None = None, seed: int | None = 0) -> Baseline:
    """Return a baseline of random colours, uniform over [0, 1] in each channel of pixel space, one for every pixel.

    With a seed all images get the same random colours, whatever batch they come in, and torch's global random
    state is left alone.
    """

    def baseline(images: Tensor) -> Tensor:
        return from_pixels(_drawn(torch.rand, images, seed), images, normalization).expand_as(images)

    return baseline


def blur(normalization: Normalization | None = None, sigma: float = 5.0, kernel_size: int = 11) -> Baseline:
    """Return the baseline of the blurred image, as RISE's insertion does: Gaussian, sigma 5, 11 x 11, in pixels.

    Borders are reflected (RISE pads with 0 in model space). Images smaller than the kernel get the largest odd
    kernel that reflection allows. Blurring is linear, hence the same in pixel space and in model space. Other inputs
    than images (N, C, H, W) are refused.
    """

    def baseline(images: Tensor) -> Tensor:
        for name, given in (("sigma", sigma), ("kernel_size", kernel_size)):
            if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 2**31:
                raise InputError(f"{name} is {shown(given)}, expected a number above 0, in pixels.")
        if kernel_size % 2 != 1:
            raise InputError(f"kernel_size is {kernel_size!r}, expected an odd integer.")
        _require_images(images, "blur")
        height, width = (min(kernel_size, 2 * side - 1) for side in images.shape[-2:])
        # Rows, then columns: the same image for 2 x 11 products per pixel instead of 11 x 11.
        rows = gaussian_blur(images, [width, 1], [sigma, sigma])
        blurred: Tensor = gaussian_blur(rows, [1, height], [sigma, sigma])
        return blurred

    return baseline


def road(normalization: Normalization | None = None, noise: float = 0.01, seed: int | None = 0) -> Imputation:
    """Return ROAD's noisy linear imputation (Rong et al., 2022): removed pixels are the mean of their neighbours.

    The weighted mean of the 8 neighbours, solved for all removed pixels at once (``fill_from_neighbours``), and
    Gaussian noise, so that removed pixels cannot be told by being smooth. With a seed the noise of a pixel is the same
    in all images and for all masks, and torch's global random state is left alone. An image of which nothing is kept
    is its mean colour, with the noise. Other inputs than images (N, C, H, W) are refused.

    Args:
        normalization: (mean, std) of the model's input; without it the noise is in the input's own units.
        noise: Standard deviation of the noise, of pixels in [0, 1].
        seed: Of the noise.
    """

    def impute(images: Tensor, removed: Tensor) -> Tensor:
        if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 <= noise < float("inf"):
            raise InputError(f"noise is {shown(noise)}, expected a number of at least 0.")
        _require_images(images, "road")
        scale = _scaling(images, normalization)[1]
        return fill_from_neighbours(images, removed) + (_drawn(torch.randn, images, seed) * noise / scale).to(images)

    return Imputation(impute)


BASELINES: dict[str, Callable[..., Baseline]] = {
    "black": black,
    "mean": mean,
    "uniform_rgb": uniform_rgb,
    "blur": blur,
    "road": road,
}


def resolve(perturb_baseline: BaselineLike, normalization: Normalization | None = None) -> Baseline:
    """Return what a user may give as ``perturb_baseline`` as a function of the images.

    Args:
        perturb_baseline: A name from ``BASELINES`` (a colour in pixel space), or a dict with such a name as ``type``
            and its options, as in {"type": "blur", "sigma": 16, "kernel_size": 33}; a number or a tensor broadcastable
            to the images (both in model space), or a callable from images to images like them, which is an
            ``Imputation`` where it depends on the removed pixels.
        normalization: (mean, std) of the model's input, for the names.

    Raises:
        InputError: If the name or an option is unknown, or the result is not like the images.
    """
    if normalization is not None:
        _statistics(normalization)
    if isinstance(perturb_baseline, str | dict):
        return _named(perturb_baseline, normalization)
    if isinstance(perturb_baseline, Imputation):
        return perturb_baseline

    def baseline(images: Tensor) -> Tensor:
        return like_inputs(perturb_baseline(images) if callable(perturb_baseline) else perturb_baseline, images)

    return baseline


def _named(given: str | dict[str, Any], normalization: Normalization | None) -> Baseline:
    options = dict(given) if isinstance(given, dict) else {"type": given}
    name = options.pop("type", None)
    if not isinstance(name, str) or name not in BASELINES:
        raise InputError(
            f"perturb_baseline is {given!r}, expected one of {sorted(BASELINES)}, a dict with such a type and its "
            "options, a number, a tensor or a callable from images to images."
        )
    known = [each for each in inspect.signature(BASELINES[name]).parameters if each != "normalization"]
    for option in options:
        if option not in known:
            raise InputError(
                f"perturb_baseline {name!r} has no option {option!r}; it has {', '.join(known) or 'none'}."
            )
    return BASELINES[name](normalization, **options)


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
        removed = np.zeros(arr.shape, bool)
        removed[np.arange(len(arr))[:, None], indices] = True
        mask = torch.as_tensor(removed).reshape(images.shape)
        replacement = baseline(images, mask) if isinstance(baseline, Imputation) else baseline(images)
        return np.where(removed, replacement.reshape(len(arr), -1).numpy(), arr)

    return perturb


def from_pixels(pixels: Tensor, images: Tensor, normalization: Normalization | None) -> Tensor:
    """Return colours in [0, 1] in the space of ``images``."""
    if normalization is None:
        # Signals and tables have negative values of their own.
        if images.ndim == 4 and bool((images < 0).any()):
            lowest = images.nan_to_num().min().item()
            warn(
                f"The input reaches down to {lowest:.3g}, so it seems to be normalised and pixel value 0 "
                "is probably not black; pass normalization=(mean, std)."
            )
        return pixels
    shift, scale = _scaling(images, normalization)
    return (pixels - shift) / scale


def _scaling(images: Tensor, normalization: Normalization | None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation by which pixels became the images; 0 and 1 without ``normalization``."""
    known = (0.0, 1.0) if normalization is None else normalization
    shift, scale = (_per_channel(each, images, None) for each in _statistics(known))
    if not {len(shift), len(scale)} <= {1, images.shape[1]}:
        raise InputError(
            f"normalization has {len(shift)} means and {len(scale)} standard deviations, expected one for each of the "
            f"{images.shape[1]} channels."
        )
    return shift, scale


def _drawn(draw: Callable[..., Tensor], images: Tensor, seed: int | None) -> Tensor:
    """Return random numbers, (C, ...) for all images with a seed, (N, C, ...) of the global state without."""
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or abs(seed) >= 2**63):
        raise InputError(f"seed is {shown(seed)}, expected an integer or None.")
    images = floating_inputs(images)
    generator = None if seed is None else torch.Generator(images.device).manual_seed(seed)
    shape = images.shape if seed is None else images.shape[1:]
    return draw(shape, generator=generator, device=images.device).to(images.dtype)


def _statistics(normalization: Any) -> tuple[Any, Any]:
    """Return means and standard deviations, as tensors in double precision."""
    try:
        read = [torch.as_tensor(numbers(each), dtype=torch.float64).reshape(-1) for each in normalization]
        if not all(map(is_dense, read)):
            raise TypeError
        shift, scale = read
    # Not two, or no numbers.
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InputError(
            f"normalization is {shown(normalization)}, expected (mean, std), one number for each channel."
        ) from None
    if not bool(shift.isfinite().all() and scale.isfinite().all() and (scale > 0).all()):
        raise InputError(
            f"normalization has means {shift.tolist()} and standard deviations {scale.tolist()}, expected finite "
            "numbers and deviations above 0, by which pixels were divided; a channel that was not scaled has 1."
        )
    return shift, scale


def _per_channel(value: Any, images: Tensor, what: str | None) -> Tensor:
    """Return one number, or one for each channel, as a tensor that broadcasts to the images."""
    try:
        given = torch.as_tensor(value, dtype=images.dtype, device=images.device).reshape(-1)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InputError(f"{what} is {shown(value)}, expected one number, or one for each channel.") from None
    if what and len(given) not in (1, images.shape[1]):
        raise InputError(f"{what} has {len(given)} numbers, expected 1 or one for each of {images.shape[1]} channels.")
    return given.reshape(-1, *[1] * (images.ndim - 2))


def _require_images(images: Tensor, name: str) -> None:
    if floating_inputs(images).ndim != 4:
        raise InputError(
            f'The baseline "{name}" is for images (N, C, H, W), not for inputs {tuple(images.shape)}; pass '
            'perturb_baseline="mean".'
        )
