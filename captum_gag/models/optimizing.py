"""The same network, computed in a cheaper way: what changes is rounding, time and memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

from captum_gag.errors import InputError, in_one_line

Optimization = Literal["fold_batch_norm", "frozen", "channels_last", "compile"]


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Fold batch normalisations into the convolutions before them, in a copy.

    Raises:
        InputError: The model cannot be traced.
    """
    # Torch has no public place for it that finds the pairs itself.
    from torch.fx.experimental.optimization import fuse

    try:
        return fuse(model)
    # Tracing runs the model's own code on symbols, which can fail in any way.
    except Exception as error:
        raise InputError(
            f'"fold_batch_norm" needs a model that torch.fx can trace; this one fails: {in_one_line(error)}'
        ) from error


def frozen(model: nn.Module) -> nn.Module:
    """Let no weight require a gradient: what only their gradients need is not kept in memory."""
    return model.requires_grad_(False)


def channels_last(model: nn.Module) -> nn.Module:
    """Store the kernels of two-dimensional convolutions with channels innermost, as fast kernels read them."""
    to: Callable[..., nn.Module] = model.to
    return to(memory_format=torch.channels_last)


def compiled(model: nn.Module) -> nn.Module:
    """Compile the model, when it is first called; methods that need its modules run them uncompiled."""
    found: Any = torch.compile(model)
    return found  # type: ignore[no-any-return]


OPTIMIZATIONS: dict[Optimization, Callable[[nn.Module], nn.Module]] = {
    "fold_batch_norm": fold_batch_norm,
    "frozen": frozen,
    "channels_last": channels_last,
    "compile": compiled,
}
"""By name, in the order in which they are applied."""


def optimized(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """Return a network with some of ``OPTIMIZATIONS``, in eval mode; the one given stays as it is.

    Raises:
        InputError: One of them does not fit the model.
    """
    wanted = set(names)
    found = copy.deepcopy(model).eval() if wanted else model
    for name, apply in OPTIMIZATIONS.items():
        if name in wanted:
            found = apply(found)
    return found
