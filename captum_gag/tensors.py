"""What attributions and metrics both need of tensors: dtypes, percentiles, targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from captum_gag.errors import InputError

Target = int | Sequence[int] | Tensor
"""A class for all images, or one for each."""


def row_percentiles(rows: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Return percentiles of every row, linearly interpolated: ``numpy.percentile`` for tensors.

    ``torch.quantile`` refuses more than 16 million elements in older releases, and sorts where selecting will do.

    Args:
        rows: Tensor of shape (R, F) with F >= 1, in single or double precision.
        percentiles: Values in [0, 100].

    Returns:
        Tensor of shape (R, len(percentiles)), dtype and device of ``rows``. A row with a NaN gives NaN.
    """
    found = np.percentile(rows.detach().cpu().numpy(), percentiles, axis=1)
    return torch.as_tensor(found.T, dtype=rows.dtype, device=rows.device)


def row_order_statistics(rows: Tensor, ranks: Sequence[int]) -> Tensor:
    """Return the values of certain ranks in every row.

    Args:
        rows: Tensor of shape (R, F), in single or double precision.
        ranks: In [0, F); 0 is the smallest value.

    Returns:
        Tensor of shape (R, len(ranks)), dtype and device of ``rows``, as ``rows.sort(1).values[:, ranks]``.
    """
    wanted = list(ranks)
    if rows.device.type != "cpu" or not wanted:
        return rows.sort(1).values[:, wanted]
    # Selecting is several times faster than sorting, and only NumPy does it for many ranks at once.
    return torch.from_numpy(np.partition(rows.numpy(), wanted, axis=1)[:, wanted])


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """Return the precision to compute in: double stays double, everything smaller becomes single."""
    return torch.promote_types(dtype, torch.float32)


def class_targets(target: Target, images: Tensor) -> Tensor:
    """Return class indices of shape (N,) on the device of the images.

    Raises:
        InputError: If there is neither one target nor one for each image, or one is negative.
    """
    given = torch.as_tensor(target, device=images.device).reshape(-1)
    targets = given.long()
    if len(targets) not in (1, len(images)) or bool((targets < 0).any()) or bool((targets != given).any()):
        raise InputError(
            f"target is {target!r}, expected one class index >= 0, or one for each of the {len(images)} images."
        )
    return targets.expand(len(images))
