"""Percentiles of the rows of a tensor, exact for rows of any length and on every device."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def row_percentiles(rows: Tensor, percentiles: list[float]) -> Tensor:
    """Give percentiles of every row, linearly interpolated as in ``numpy.percentile``.

    ``torch.quantile`` refuses more than 16 million elements in older releases and keeps its interpolation
    index in the precision of the data; this sorts once and has neither limit.

    Args:
        rows: Floating-point tensor of shape (R, F) with F >= 1.
        percentiles: Values in [0, 100].

    Returns:
        Tensor of shape (R, len(percentiles)). A row with a NaN gives NaN from the first percentile that
        reaches it on.
    """
    ordered = rows.sort(dim=1).values
    columns = []
    for percentile in percentiles:
        position = percentile / 100 * (rows.shape[1] - 1)
        below = math.floor(position)
        above = min(below + 1, rows.shape[1] - 1)
        columns.append(torch.lerp(ordered[:, below], ordered[:, above], position - below))
    return torch.stack(columns, dim=1)
