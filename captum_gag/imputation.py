"""Baselines that depend on the mask, and the solver of ROAD's (Rong et al., 2022): pixels as their neighbours' mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from captum_gag.errors import InputError, shown
from captum_gag.tensors import require_dense

# The residual at which an image is solved, as a share of its right-hand side's norm.
TOLERANCES = {torch.float64: 1e-10}
TOLERANCE = 1e-6

# Each grid of the preconditioner is coarser than the last by this factor: a fifth more iterations than with a factor of
# 2, each at a third of the cost.
COARSER = 4

# The weight of a coarse function's own energy beside that of the kept pixels next to it: fewest iterations of 1, 1/2
# and 1/4.
STIFFNESS = 0.5


class Imputation:
    """A baseline that depends on which pixels are removed: for each mask of an image other pixels stand in.

    Args:
        function: From images and ``removed``, a mask of one channel or as many as the images, to images like them; what
            it says of pixels that are not removed does not count. Its own random numbers must not depend on the batch.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Keep the function."""
        self.function = function

    def __call__(self, images: Tensor, removed: Tensor | None = None) -> Tensor:
        """Return the images with removed pixels filled in; None removes all, as the baselines of one image do.

        Raises:
            InputError: If the function's result is not like the images.
        """
        known = floating_inputs(images)
        mask = torch.ones_like(known, dtype=torch.bool) if removed is None else _mask(removed, known)
        return torch.where(mask, like_inputs(self.function(images, mask), images), images)


def _mask(removed: Any, images: Tensor) -> Tensor:
    """Return a mask of removed pixels that broadcasts to images as it is; anything else is refused."""
    of_bool = isinstance(removed, Tensor) and removed.dtype == torch.bool and removed.ndim == images.ndim
    if not of_bool or any(own not in (1, side) for own, side in zip(removed.shape, images.shape, strict=True)):
        raise InputError(
            f"removed is {shown(removed)}, expected a mask of bool that broadcasts to the images "
            f"{tuple(images.shape)}, True where to fill in."
        )
    mask: Tensor = removed
    require_dense("masks of removed pixels", mask)
    return mask


@torch.no_grad()
def fill_from_neighbours(images: Tensor, removed: Tensor) -> Tensor:
    r"""Return images in which each removed pixel is the weighted mean of its neighbours, removed ones included.

    .. math:: u_p = \frac{\sum_{q \in N(p)} w_{pq} u_q}{\sum_{q \in N(p)} w_{pq}}

    N(p) are the up to 8 neighbours of p inside the image, w is 1/6 for direct and 1/12 for diagonal ones (section 4.2
    of the paper; at the border, where some are missing, the authors' code divides by the weights that are left). The
    system of all removed pixels is symmetric and positive definite as long as a pixel is kept; conjugate gradients
    with a multilevel preconditioner solve it for all images at once, each until its own residual is a millionth of its
    right-hand side (1e-10 in double precision), so that an image does not depend, but for rounding, on the others.
    Where nothing is kept, any one colour solves the equations, and the image's mean colour is taken.

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
    kept = (exact - middle).masked_fill(removed, 0)
    system = _System(free)
    solution = _conjugate_gradients(system, free * _around(kept), TOLERANCES.get(exact.dtype, TOLERANCE))
    return torch.where(removed, (solution + middle).to(images.dtype), images)


class _System:
    """The linear system of the removed pixels, extended by 0 to the others, and an approximate inverse of it."""

    def __init__(self, free: Tensor) -> None:
        """Take the mask of the removed pixels, 1 where a value is looked for."""
        self.free = free
        self.weights = _around(torch.ones_like(free))
        # How strongly kept neighbours hold a removed pixel.
        held = free * _around(1 - free)
        self.grids: list[tuple[Tensor, Tensor]] = []
        self.inverses: list[Tensor] = []
        while max(held.shape[2:]) > 1:
            rows, columns = (_interpolation(size, free) for size in held.shape[2:])
            held = rows.T @ held @ columns
            self.grids.append((rows, columns))
            self.inverses.append(1 / (STIFFNESS + held))

    def times(self, values: Tensor) -> Tensor:
        """Return the system times values that are 0 where a pixel is kept."""
        return self.free * (self.weights * values - _around(values))

    def approximately_solved(self, residual: Tensor) -> Tensor:
        """Return what the residual says on every grid, each divided by its diagonal, summed (Bramble et al., 1990)."""
        parts, coarse = [], residual
        for (rows, columns), inverse in zip(self.grids, self.inverses, strict=True):
            coarse = rows.T @ coarse @ columns
            parts.append(coarse * inverse)
        smooth = torch.zeros_like(coarse)
        for (rows, columns), part in zip(reversed(self.grids), reversed(parts), strict=True):
            smooth = rows @ (part + smooth) @ columns.T
        # The weights are 0 in an image of one pixel, which has no neighbour.
        return self.free * (residual / self.weights.clamp(min=1 / 12) + smooth)


def _conjugate_gradients(system: _System, right: Tensor, tolerance: float) -> Tensor:
    """Return the solution for each image and channel; one that is solved, or has a NaN, is not touched any more."""
    solution, residual = torch.zeros_like(right), right
    direction = system.approximately_solved(residual)
    product = _dot(residual, direction)
    goal = tolerance**2 * _dot(right, right)
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


def like_inputs(given: Any, images: Tensor) -> Tensor:
    """Return what a user gave as images of the same shape, type and device."""
    try:
        replacement = torch.as_tensor(given, dtype=floating_inputs(images).dtype, device=images.device)
    # What holds no numbers, or lists of different lengths.
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InputError(f"perturb_baseline is {shown(given)}, expected numbers like the images.") from None
    try:
        return replacement.expand_as(images)
    except RuntimeError:
        raise InputError(
            f"perturb_baseline has shape {tuple(replacement.shape)}, expected one that broadcasts to the images' "
            f"{tuple(images.shape)}."
        ) from None


def floating_inputs(images: Any) -> Tensor:
    """Return images or rows as they are; anything else is refused."""
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim < 2:
        found = f"{tuple(images.shape)} of {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"images are {found}, expected a floating-point tensor (N, C, H, W) or (N, ...).")
    require_dense("images", images)
    return images
