"""How Captum is called: with a seed, in batches that memory holds, and for maps of the size of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import captum.attr
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from captum_gag.attr.sampled_gradients import gradients_per_batch, rows_of
from captum_gag.errors import InputError

# Those whose every row of a batch has a gradient of its own, so that its batches can be divided.
ROW_BY_ROW = (
    captum.attr.Deconvolution,
    captum.attr.GradientShap,
    captum.attr.GuidedBackprop,
    captum.attr.InputXGradient,
    captum.attr.IntegratedGradients,
    captum.attr.Saliency,
)


@contextmanager
def seeded(device: torch.device, seed: int | None) -> Iterator[None]:
    """Fix the global random state of torch and of NumPy, which Captum draws from, and leave it as it was."""
    if seed is None:
        yield
        return
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            np.random.set_state(state)


def in_batches(explainer: Any) -> Any:
    """Let an object of Captum take its gradients in batches that memory holds, where each row has one of its own."""
    if not isinstance(explainer, ROW_BY_ROW):
        return explainer
    gradient_func = explainer.gradient_func

    def in_parts(
        forward_fn: Callable[..., Any], inputs: Any, target_ind: Any = None, additional_forward_args: Any = None
    ) -> Any:
        total = len(inputs[0])
        size = gradients_per_batch(inputs[0], total)
        if size >= total:
            return gradient_func(forward_fn, inputs, target_ind, additional_forward_args)
        batches = []
        for first in range(0, total, size):
            rows = slice(first, first + size)
            some = tuple(each[rows].detach().requires_grad_() for each in inputs)
            batches.append(gradient_func(forward_fn, some, rows_of(target_ind, rows, total), additional_forward_args))
        return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))

    explainer.gradient_func = in_parts
    return explainer


def mean_over_references(attribute: Callable[[Tensor], Tensor], references: Tensor) -> Tensor:
    """Return the mean of the attributions against each reference, taking as many at once as memory holds.

    Args:
        attribute: From some references (k, C, H, W) to the mean of the attributions against them.
        references: All of them, (n, C, H, W).
    """
    chunks = references.split(gradients_per_batch(references, len(references)))
    return torch.stack([attribute(each) * (len(each) / len(references)) for each in chunks]).sum(0)


def as_maps(attributions: Any, images: Tensor, what: str) -> Tensor:
    """Return attributions at the size of the images.

    Args:
        attributions: Like the images (N, C, H, W), or of a layer: (N, c, h, w).
        images: What was explained.
        what: Which method it was, for the message.

    Returns:
        Attributions of the images' shape as they are; those of a layer summed over channels and interpolated
        bilinearly to (N, 1, H, W).

    Raises:
        InputError: They are no map.
    """
    [found] = attributions if isinstance(attributions, tuple | list) and len(attributions) == 1 else [attributions]
    if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != len(images):
        shape = tuple(found.shape) if isinstance(found, Tensor) else f"of a {type(found).__name__}"
        raise InputError(f"{what} gives attributions {shape}, expected (N, channels, height, width): another layer?")
    if found.shape == images.shape:
        return found
    size = tuple(images.shape[-2:])
    return interpolate(found.sum(1, keepdim=True), size=size, mode="bilinear", align_corners=False)


def square_regions(side: int, images: Tensor) -> Tensor:
    """Return a feature mask (1, C, H, W) of square regions, over all channels, numbered from 0 in reading order.

    Raises:
        InputError: The side is no length.
    """
    if side < 1:
        raise InputError(f"feature_mask is {side!r}, expected the side of square regions in pixels, at least 1")
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) // side
    columns = torch.arange(width, device=images.device) // side
    mask = rows[:, None] * (int(columns[-1]) + 1) + columns
    return mask.expand(1, images.shape[1], -1, -1).contiguous()


def as_input(explainer: Any, images: Tensor) -> Tensor:
    """Return images as a class of Captum likes them: leaves that require gradients, unless it only perturbs."""
    if isinstance(explainer, captum.attr.PerturbationAttribution):
        return images.detach()
    return images.detach().clone().requires_grad_()
