"""Interpretation of one sampled gradient: its signs and magnitudes that count (step 2 of the paper's section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Interpretation = Callable[[Tensor], Tensor]
"""A function from gradients of any shape to a tensor of the same shape."""


def signed(gradients: Tensor) -> Tensor:
    """Keep gradients as they are (SmoothGrad, VarGrad, the path methods)."""
    return gradients


def positive(gradients: Tensor) -> Tensor:
    """Keep what raises the class score; the rest is 0 (the paper's superscript +)."""
    return gradients.clamp(min=0)


def negative(gradients: Tensor) -> Tensor:
    """Keep what lowers the class score, with its sign; the rest is 0 (the paper's superscript -)."""
    return gradients.clamp(max=0)


def absolute(gradients: Tensor) -> Tensor:
    """Keep the magnitude (AbsoluteGrad, Guided AbsoluteGrad; the paper's superscript A)."""
    return gradients.abs()


def squared(gradients: Tensor) -> Tensor:
    """Keep the squared magnitude (Captum's ``smoothgrad_sq``)."""
    return gradients.square()
