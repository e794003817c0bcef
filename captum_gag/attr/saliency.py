"""From an attribution to a map that can be looked at and judged, and the reversed map of Proposition 1."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import SkipValidation
from torch import Tensor

from captum_gag.attr.contract import Seed
from captum_gag.errors import InputError
from captum_gag.options import checked
from captum_gag.tensors import require_dense, seeded_generator


@checked
def saliency_map(attributions: SkipValidation[Tensor], channel_axis: int | Literal["auto"] | None = "auto") -> Tensor:
    """Reduce attributions to one map per example: sum of magnitudes over channels, min-max normalised.

    Args:
        attributions: Shape (N, C, H, W), or any other (N, ...).
        channel_axis: The axis that is summed over: 1 for (N, C, ...), -1 for token embeddings (N, T, E); None if there
            is none. "auto" takes axis 1 of four and more dimensions, and none of (N, H, W) and (N, F): signals
            (N, C, T) look like maps (N, H, W), so give 1 for them.

    Returns:
        Tensor of shape (N, H, W), or (N, ...) without the axis, in [0, 1], in at least single precision, on the same
        device. The map of an example whose attribution is constant has no ranking and is all 0; one with a NaN or an
        infinity is all NaN.

    Raises:
        InputError: There is no such axis, or no more than one dimension.
    """
    if not isinstance(attributions, Tensor):
        raise InputError(f"attributions are a {type(attributions).__name__}, expected a torch tensor (N, C, H, W).")
    require_dense("attributions", attributions)
    axis = (1 if attributions.ndim >= 4 else None) if channel_axis == "auto" else channel_axis
    if attributions.ndim < (2 if axis is None else 3) or attributions.numel() == 0:
        raise InputError(
            f"attributions have shape {tuple(attributions.shape)} with channel_axis {channel_axis!r}, expected "
            "(N, C, H, W), (N, H, W), or (N, ...) with at least one position."
        )
    if axis is not None and not (axis == -1 or 1 <= axis < attributions.ndim):
        raise InputError(
            f"channel_axis is {channel_axis!r} for attributions of shape {tuple(attributions.shape)}, expected an axis "
            'after the first, -1, None or "auto".'
        )
    magnitudes = attributions.detach().to(torch.promote_types(attributions.dtype, torch.float32)).abs()
    maps = magnitudes if axis is None else magnitudes.sum(axis)
    rows = maps.flatten(1)
    lowest = rows.amin(1, keepdim=True)
    spread = rows.amax(1, keepdim=True) - lowest
    normalised = torch.where(spread > 0, (rows - lowest) / spread, torch.zeros_like(rows))
    return torch.where(spread.isfinite(), normalised, torch.full_like(rows, torch.nan)).reshape(maps.shape)


def check_shares(retain: float, swap: float) -> None:
    """Raise InputError where a share of ``reverse_saliency`` is negative, or the sides of its exchange overlap."""
    if min(retain, swap) < 0 or retain + 2 * swap > 1:
        raise InputError(
            f"retain {retain!r} and swap {swap!r} must be shares >= 0 with retain + 2 * swap <= 1, "
            "so that the two sides of the exchange do not overlap."
        )


@checked
def reverse_saliency(
    maps: SkipValidation[Tensor], retain: float = 0.05, swap: float = 0.10, seed: Seed | None = None
) -> Tensor:
    """Misplace saliency as Proposition 1 does: swap the least salient pixels with the next most salient ones.

    The ``retain`` share of most salient pixels stays. The values of the ``swap`` share that follows are exchanged,
    in random order, with those of the ``swap`` share of least salient pixels. The map keeps all its values, so
    that metrics that look at the amount of noise alone cannot tell it from the original; only places change.

    Args:
        maps: Shape (N, H, W), or any other (N, *positions).
        retain: Share of pixels in [0, 1] that stays.
        swap: Share of pixels in [0, 1] on either side of the exchange; ``retain + 2 * swap`` is at most 1.
        seed: Makes the pairing reproducible, the same for all examples, so that a map does not depend on the batch that
            it came in, and leaves torch's global random state alone.

    Returns:
        Tensor of the shape, dtype and device of ``maps``.

    Raises:
        InputError: The shape or the shares do not fit.
    """
    if not isinstance(maps, Tensor) or maps.ndim < 2 or maps.is_complex():
        got = f"shape {tuple(maps.shape)}" if isinstance(maps, Tensor) else f"type {type(maps).__name__}"
        raise InputError(f"maps have {got}, expected a tensor (N, H, W), or (N, ...) with at least one position.")
    require_dense("maps", maps)
    check_shares(retain, swap)
    generator = seeded_generator(seed, maps.device)
    rows = maps.flatten(1)
    pixels = rows.shape[1]
    sources = torch.arange(pixels, device=maps.device).repeat(len(rows), 1)
    retained, swapped = int(pixels * retain), int(pixels * swap)
    fixed = None if generator is None else torch.randperm(swapped, generator=generator, device=maps.device)
    for row, source in zip(rows, sources, strict=True):
        order = row.argsort(descending=True, stable=True)
        pairing = torch.randperm(swapped, device=maps.device) if fixed is None else fixed
        high, low = order[retained : retained + swapped], order[pixels - swapped :][pairing]
        source[high], source[low] = low, high
    return rows.gather(1, sources).reshape(maps.shape)
