"""The solver of ROAD's imputation (Rong et al., 2022): each removed pixel is the mean of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# The residual at which an image is solved, as a share of its right-hand side's norm.
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-10}

# Ratio of the preconditioner's grids: a fifth more iterations than with 2, each at a third of the cost.
COARSER = 4

# The weight of a coarse function's own energy beside that of the kept pixels next to it: fewest iterations.
STIFFNESS = 0.5


@torch.no_grad()
def fill_from_neighbours(images: Tensor, removed: Tensor) -> Tensor:
    r"""Return images in which each removed pixel is the weighted mean of its neighbours, removed ones included.

    .. math:: u_p = \frac{\sum_{q \in N(p)} w_{pq} u_q}{\sum_{q \in N(p)} w_{pq}}

    N(p) are the up to 8 neighbours of p inside the image, w is 1/6 for direct and 1/12 for diagonal ones (section 4.2
    of the paper; at the border, where some are missing, the authors' code divides by the weights that are left). The
    system of all removed pixels is symmetric and positive definite; conjugate gradients with a multilevel
    preconditioner solve each image until its own residual is a millionth of its right-hand side (1e-10 in double
    precision), whatever the other images. An image of which nothing is kept becomes its mean colour.

    Args:
        images: Shape (N, C, H, W), floating point; half precision is computed in single precision.
        removed: Mask of the removed pixels, (N, 1, H, W), or one for each channel, (N, C, H, W).

    Returns:
        Shape (N, C, H, W); kept pixels as they are.
    """
    exact = images.to(torch.promote_types(images.dtype, torch.float32))
    # Adding a number to an image adds it to the solution; without its mean, what remains of an image with nothing
    # kept is 0.
    middle = exact.mean((2, 3), keepdim=True)
    free = removed.to(exact)
    right = free * _around((exact - middle).masked_fill(removed, 0))
    solution = _conjugate_gradients(_System(free), right)
    return torch.where(removed, (solution + middle).to(images.dtype), images)


class _System:
    """The linear system of the removed pixels, where ``free`` is 1, not 0, and an approximate inverse of it."""

    def __init__(self, free: Tensor) -> None:
        self.free, self.weights = free, _around(torch.ones_like(free))
        # How strongly kept neighbours hold a removed pixel.
        held = free * _around(1 - free)
        self.grids: list[tuple[Tensor, Tensor, Tensor]] = []
        while max(held.shape[2:]) > 1:
            rows, columns = (_interpolation(size, free) for size in held.shape[2:])
            held = rows.T @ held @ columns
            self.grids.append((rows, columns, 1 / (STIFFNESS + held)))

    def times(self, values: Tensor) -> Tensor:
        """Return the system times values that are 0 where a pixel is kept."""
        return self.free * (self.weights * values - _around(values))

    def approximately_solved(self, residual: Tensor) -> Tensor:
        """Return the residual on every grid, each divided by its diagonal, summed (Bramble et al., 1990)."""
        parts, coarse = [], residual
        for rows, columns, inverse in self.grids:
            coarse = rows.T @ coarse @ columns
            parts.append(coarse * inverse)
        smooth = torch.zeros_like(coarse)
        for (rows, columns, _), part in zip(reversed(self.grids), reversed(parts), strict=True):
            smooth = rows @ (part + smooth) @ columns.T
        # The weights are 0 in an image of one pixel, which has no neighbour.
        return self.free * (residual / self.weights.clamp(min=1 / 12) + smooth)


def _conjugate_gradients(system: _System, right: Tensor) -> Tensor:
    """Return the solution for each image and channel; one that is solved, or has a NaN, is not changed any more."""
    solution, residual = torch.zeros_like(right), right
    direction = system.approximately_solved(residual)
    product = _dot(residual, direction)
    goal = TOLERANCES[right.dtype] ** 2 * _dot(right, right)
    # In exact arithmetic they need no more steps than there are pixels.
    for _ in range(right.shape[2:].numel()):
        unsolved = _dot(residual, residual) > goal
        if not bool(unsolved.any()):
            break
        image = system.times(direction)
        step = torch.where(unsolved, product / _dot(direction, image), 0)
        solution = solution + step * direction
        residual = residual - step * image
        correction = system.approximately_solved(residual)
        before, product = product, _dot(residual, correction)
        direction = correction + torch.where(unsolved, product / before, 0) * direction
    return solution


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum((2, 3), keepdim=True)


def _around(values: Tensor) -> Tensor:
    """Return the weighted sum of the neighbours, (N, C, H, W), without those beyond the border."""
    # The weights are those of [1, 2, 1] along both axes, but for the pixel itself.
    padded = functional.pad(values, (1, 1, 1, 1))
    rows = torch.add(padded[..., :-2], padded[..., 2:]).add_(padded[..., 1:-1], alpha=2)
    both = torch.add(rows[..., :-2, :], rows[..., 2:, :]).add_(rows[..., 1:-1, :], alpha=2)
    return both.sub_(values, alpha=4).div_(12)


def _interpolation(size: int, like: Tensor) -> Tensor:
    """Return the matrix, (size, coarse), that interpolates linearly from a coarser axis."""
    coarse = torch.eye(-(-size // COARSER), dtype=like.dtype, device=like.device)
    return functional.interpolate(coarse[None], size=size, mode="linear", align_corners=False)[0].T
