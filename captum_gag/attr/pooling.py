"""Neighbours that share their samples: the variance that a guide sees, averaged over a box around each position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from pydantic import AfterValidator
from torch import Tensor

from captum_gag.errors import InputError
from captum_gag.options import checked

Pooling = Callable[[Tensor], Tensor]
"""From variances (N, ...) to variances of the same shape, each example by itself."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("an odd number")
    return value


Side = Annotated[int, Ge(1), AfterValidator(_odd)]
Window = Side | tuple[Side, ...]
"""Sides of a box, odd so that it has a middle: one for all axes after the second, or one for each after the first."""


@checked
@dataclass(frozen=True)
class BoxPooling:
    r"""Mean over a box around each position; at the border over the part of the box that is inside.

    Of variances :math:`V_j` that are estimated from n samples with normal noise, and of true values :math:`v_j`:

    .. math::
        E[\bar V] = \bar v, \qquad
        \mathrm{Var}[\bar V] = \frac{2}{(n - 1) m^2} \sum_{j, l} \rho_{jl}^2 v_j v_l

    with sums and means over the m positions of the box and :math:`\rho_{jl}` the correlation of the gradients at j and
    l. Away from the border the bias :math:`\bar v - v` is 0 where v is linear in the positions; for a smooth v and a
    side of k positions it is about :math:`(k^2 - 1) / 24` times the sum of its second derivatives. Of equal
    :math:`v_j` the variance is 1/m of that of one position where gradients are independent, and no other than that
    where they are the same.

    Args:
        window: Side of the box in positions, odd: a number for all axes after the second of (N, C, *positions), or a
            tuple with one for each axis after the first, such as (1, 5, 5) for (N, C, H, W). 1 does nothing. A number
            needs inputs of at least four dimensions, because (N, C, T) may be a signal, (1, 5), or token embeddings, of
            which only the tokens are neighbours: (5, 1).
    """

    window: Window = 1

    def __call__(self, variance: Tensor) -> Tensor:
        """Return the means, shaped as the variance (N, ...).

        Raises:
            InputError: The window does not fit the shape, or is larger than it.
        """
        pooled = variance
        for axis, side in enumerate(self._sides(variance), start=1):
            pooled = pooled if side == 1 else _mean_along(pooled, axis, side)
        return pooled

    def _sides(self, variance: Tensor) -> tuple[int, ...]:
        """Return the side along each axis after the first."""
        shape = tuple(variance.shape[1:])
        if self.window == 1:
            return (1,) * len(shape)
        dimensions = f"({', '.join(['N', *map(str, shape)])})"
        if isinstance(self.window, int):
            if len(shape) < 3:
                raise InputError(
                    f"guide_window {self.window} for inputs {dimensions}: which axes have neighbours cannot be told; "
                    "give a side for each axis after the first, such as (1, 5) of signals (N, C, T), or leave it at 1."
                )
            sides: tuple[int, ...] = (1, *[self.window] * (len(shape) - 1))
        else:
            sides = self.window
        if len(sides) != len(shape) or any(side > size for side, size in zip(sides, shape, strict=True)):
            raise InputError(
                f"guide_window {self.window} for inputs {dimensions}: expected a side for each axis after the first, "
                "none larger than the axis."
            )
        return sides


def _mean_along(values: Tensor, axis: int, side: int) -> Tensor:
    """Return means over ``side`` neighbours along one axis, and over those that there are at its ends."""
    rows = values.movedim(axis, -1)
    means = torch.nn.functional.avg_pool1d(
        rows.reshape(-1, 1, rows.shape[-1]), side, stride=1, padding=side // 2, count_include_pad=False
    )
    return means.reshape(rows.shape).movedim(-1, axis)
