"""The same network, computed in a cheaper way: what changes is rounding, time and memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn

from captum_gag.errors import InputError, in_one_line
from captum_gag.modules import with_folded_batch_norm

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

Optimization = Literal["fold_batch_norm", "frozen", "channels_last", "compile"]


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Fold batch normalisations into the convolutions before them.

    Raises:
        InputError: The model cannot be traced, or there is nothing that torch.fx can fold.
    """
    folded = with_folded_batch_norm(model, 'optimize = ["fold_batch_norm"]')
    before, after = (sum(isinstance(each, BATCH_NORMS) for each in net.modules()) for net in (model, folded))
    if after >= before:
        raise InputError(
            f'optimize = ["fold_batch_norm"]: none of the {before} batch normalisations of this model can be folded; '
            "torch.fx folds those right behind an nn.Conv1d, Conv2d or Conv3d, not behind a subclass; leave it out"
        )
    return folded


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
    """Return a network in eval mode with some of ``OPTIMIZATIONS``; the one given stays as it is.

    Raises:
        InputError: One of them does not fit the model.
    """
    wanted = set(names)
    found = copy.deepcopy(model) if wanted else model
    for name, apply in OPTIMIZATIONS.items():
        if name in wanted:
            try:
                found = apply(found)
            except InputError:
                raise
            # Scripted and exported models and those of other dimensions refuse in ways of their own.
            except Exception as error:
                raise InputError(f'optimize = ["{name}"] does not fit this model: {in_one_line(error)}') from error
    return found
