"""From an attribution to a map that can be looked at and judged, and the reversed map of Proposition 1."""

from __future__ import annotations

import torch
from torch import Tensor

from captum_gag.errors import InputError


def saliency_map(attributions: Tensor) -> Tensor:
    """Reduce attributions to one map per image: sum of magnitudes over channels, min-max normalised.

    Args:
        attributions: Shape (N, C, H, W), or (N, H, W) for maps without channels.

    Returns:
        Tensor of shape (N, H, W) in [0, 1], in at least single precision, on the same device. The map of an image
        whose attribution is constant has no ranking and is all 0; one with a NaN or an infinity is all NaN.

    Raises:
        InputError: If the shape is another one.
    """
    if attributions.ndim not in (3, 4):
        raise InputError(f"attributions have shape {tuple(attributions.shape)}, expected (N, C, H, W) or (N, H, W).")
    magnitudes = attributions.detach().to(torch.promote_types(attributions.dtype, torch.float32)).abs()
    maps = magnitudes.sum(1) if attributions.ndim == 4 else magnitudes
    lowest = maps.amin((1, 2), keepdim=True)
    spread = maps.amax((1, 2), keepdim=True) - lowest
    normalised = torch.where(spread > 0, (maps - lowest) / spread, torch.zeros_like(maps))
    return torch.where(spread.isfinite(), normalised, torch.full_like(maps, torch.nan))


def check_shares(retain: float, swap: float) -> None:
    """Refuse shares of ``reverse_saliency`` whose sides overlap.

    Raises:
        InputError: One is negative, or ``retain + 2 * swap`` is above 1.
    """
    if min(retain, swap) < 0 or retain + 2 * swap > 1:
        raise InputError(
            f"retain {retain!r} and swap {swap!r} must be shares >= 0 with retain + 2 * swap <= 1, "
            "so that the two sides of the exchange do not overlap."
        )


def reverse_saliency(maps: Tensor, retain: float = 0.05, swap: float = 0.10, seed: int | None = None) -> Tensor:
    """Misplace saliency as Proposition 1 does: swap the least salient pixels with the next most salient ones.

    The ``retain`` share of most salient pixels stays. The values of the ``swap`` share that follows are exchanged,
    in random order, with those of the ``swap`` share of least salient pixels. The map keeps all its values, so
    that metrics that look at the amount of noise alone cannot tell it from the original; only places change.

    Args:
        maps: Shape (N, H, W).
        retain: Share of pixels in [0, 1] that stays.
        swap: Share of pixels in [0, 1] on either side of the exchange; ``retain + 2 * swap`` is at most 1.
        seed: Makes the pairing reproducible and leaves torch's global random state alone.

    Returns:
        Tensor of the shape, dtype and device of ``maps``.

    Raises:
        InputError: If the shape or the shares have no meaning.
    """
    if maps.ndim != 3:
        raise InputError(f"maps have shape {tuple(maps.shape)}, expected (N, H, W).")
    check_shares(retain, swap)
    generator = None if seed is None else torch.Generator(maps.device).manual_seed(seed)
    reversed_maps = maps.flatten(1).clone()
    pixels = reversed_maps.shape[1]
    kept, swapped = int(pixels * retain), int(pixels * swap)
    for row in reversed_maps:
        order = row.argsort(descending=True)
        pairing = torch.randperm(swapped, generator=generator, device=maps.device)
        high, low = order[kept : kept + swapped], order[pixels - swapped :][pairing]
        row[high], row[low] = row[low], row[high]
    return reversed_maps.reshape(maps.shape)
