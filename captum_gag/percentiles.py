"""Percentiles of the rows of a tensor, for rows of any length and tensors on any device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def row_percentiles(rows: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Give percentiles of every row, linearly interpolated: ``numpy.percentile`` for tensors.

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
    """Give the values of certain ranks in every row.

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
