"""The one engine behind the metrics: show some pixels, hide the others, read the probability of the class."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

Model = Callable[[Tensor], Tensor]

# Images per forward pass when the caller does not say: 2 per CPU thread was best for EfficientNet-Lite0 on 2 threads
# (benchmarks/metrics.py). The accelerator's value is an assumption that only a GPU can check.
IMAGES_PER_CPU_THREAD, IMAGES_PER_ACCELERATOR = 2, 64


class Reveal(NamedTuple):
    """S versions of each of N images: a pixel is shown where ``compare(order, level)`` and hidden elsewhere.

    Attributes:
        shown: Images (N, C, H, W) seen where the comparison holds.
        hidden: Images (N, C, H, W) seen elsewhere.
        order: Saliency or rank of each pixel, (N, H, W).
        levels: What ``order`` is compared with, (N, S).
        compare: For example ``torch.ge`` for saliency against thresholds, ``torch.lt`` for ranks against counts.
    """

    shown: Tensor
    hidden: Tensor
    order: Tensor
    levels: Tensor
    compare: Callable[[Tensor, Tensor], Tensor] = torch.ge


@torch.no_grad()
def class_probabilities(
    model: Model,
    reveal: Reveal,
    target: Tensor,
    softmax: bool = True,
    internal_batch_size: int | None = None,
) -> Tensor:
    """Give the probability of each image's class for each of its versions.

    Forward passes are filled across images and versions; memory does not grow with the number of versions.

    Args:
        model: From images (B, C, H, W) to scores (B, classes). A module must be in evaluation mode.
        reveal: The versions of the images.
        target: Class index of each image, shape (N,).
        softmax: Turn the model's scores into probabilities. False takes them as they are.
        internal_batch_size: Images in one forward pass. None picks a number.

    Returns:
        Tensor of shape (N, S), in at least single precision.

    Raises:
        ValueError: If the model is in training mode or its output does not fit the targets.
    """
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("The model is in training mode, so its probabilities are random; call model.eval() first.")
    device = reveal.shown.device
    size = internal_batch_size or (
        IMAGES_PER_CPU_THREAD * torch.get_num_threads() if device.type == "cpu" else IMAGES_PER_ACCELERATOR
    )
    n, steps = reveal.levels.shape
    image_of, step_of = torch.meshgrid(torch.arange(n), torch.arange(steps), indexing="ij")
    batches = zip(image_of.flatten().split(size), step_of.flatten().split(size), strict=True)
    probabilities = []
    for rows, columns in batches:
        rows, columns = rows.to(device), columns.to(device)
        level = reveal.levels[rows, columns].reshape(-1, 1, 1)
        mask = reveal.compare(reveal.order[rows], level).unsqueeze(1)
        images = torch.where(mask, reveal.shown[rows], reveal.hidden[rows])
        probabilities.append(_read(model(images), target[rows], softmax))
    return torch.cat(probabilities).reshape(n, steps)


def relevance_of(maps: Tensor) -> Tensor:
    """Sum attributions (N, C, H, W) over channels, with their sign; maps (N, H, W) stay as they are."""
    relevance = maps.detach().to(torch.promote_types(maps.dtype, torch.float32))
    return relevance.sum(1) if relevance.ndim == 4 else relevance


def pixel_ranks(relevance: Tensor, descending: bool = True) -> Tensor:
    """Rank the pixels of each map, 0 first; equal ones in reading order.

    Args:
        relevance: Shape (N, H, W).
        descending: Most relevant first.

    Returns:
        Integer tensor (N, H, W) with every rank from 0 to H W - 1 once per map.
    """
    order = relevance.flatten(1).argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).reshape(relevance.shape)


def without_ranking(relevance: Tensor) -> Tensor:
    """Say which maps (N, H, W) have no ranking, as a mask (N,): constant ones, and ones with a NaN or an infinity."""
    pixels = relevance.flatten(1)
    return ~pixels.isfinite().all(1) | (pixels.amax(1) == pixels.amin(1))


def require_evaluation_mode(model: Model) -> None:
    """Refuse a module in training mode.

    Raises:
        ValueError: If it is.
    """
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("The model is in training mode, so its outputs are random; call model.eval() first.")


def _read(outputs: Tensor, target: Tensor, softmax: bool) -> Tensor:
    """Pick the probability of the target class out of a batch of model outputs."""
    if outputs.ndim != 2 or len(outputs) != len(target) or int(target.max()) >= outputs.shape[1]:
        raise ValueError(
            f"The model gave an output of shape {tuple(outputs.shape)} for {len(target)} images with targets up to "
            f"{int(target.max())}, expected (images, classes) with more classes than the highest target."
        )
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    if softmax:
        sums = outputs.sum(1)
        if bool((outputs >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
            warnings.warn(
                "The model's outputs are already probabilities and softmax=True flattens them once more; "
                "pass softmax=False.",
                stacklevel=4,
            )
        outputs = outputs.softmax(1)
    return outputs.gather(1, target.unsqueeze(1)).squeeze(1)


def class_targets(target: int | Sequence[int] | Tensor, images: Tensor) -> Tensor:
    """Give class indices of shape (N,) on the device of the images.

    Raises:
        ValueError: If there is neither one target nor one for each image, or one is negative.
    """
    targets = torch.as_tensor(target, device=images.device).long().reshape(-1)
    if len(targets) not in (1, len(images)) or bool((targets < 0).any()):
        raise ValueError(
            f"target is {target!r}, expected one class index >= 0, or one for each of the {len(images)} images."
        )
    return targets.expand(len(images))


def fit_to_images(maps: Tensor, images: Tensor) -> Tensor:
    """Bring maps to the images' device and resolution (bilinear, with a warning).

    Raises:
        ValueError: If there is not one map for each image, or the images are not (N, C, H, W).
    """
    if images.ndim != 4 or maps.ndim not in (3, 4) or len(maps) != len(images) or maps.numel() == 0:
        raise ValueError(
            f"inputs have shape {tuple(images.shape)} and maps {tuple(maps.shape)}, expected images (N, C, H, W) with "
            "N >= 1 and one map (H, W) or (C, H, W) for each."
        )
    maps = maps.to(images.device)
    if maps.shape[-2:] == images.shape[-2:]:
        return maps
    warnings.warn(
        f"The maps are {tuple(maps.shape[-2:])} for images of {tuple(images.shape[-2:])}; they are interpolated.",
        stacklevel=4,
    )
    channels = maps if maps.ndim == 4 else maps.unsqueeze(1)
    return torch.nn.functional.interpolate(channels, size=images.shape[-2:], mode="bilinear", align_corners=False)


def warn_undefined(metric: str, scores: list[float]) -> None:
    """Name the images whose score is NaN, in one warning."""
    undefined = [index for index, score in enumerate(scores) if score != score]
    if undefined:
        warnings.warn(
            f"{metric} is NaN for image {', '.join(map(str, undefined))}: the map is constant or has a NaN or an "
            "infinity in it, so its pixels have no ranking.",
            stacklevel=3,
        )
