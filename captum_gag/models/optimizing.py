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


OPTIMIZATIONS: dict[Optimization, Callable[[Any], Any]] = {
    "fold_batch_norm": fold_batch_norm,
    # What only the weights' gradients need is not kept in memory.
    "frozen": lambda model: model.requires_grad_(False),
    # The kernels of two-dimensional convolutions are stored as fast kernels read them.
    "channels_last": lambda model: model.to(memory_format=torch.channels_last),
    # When it is first called; methods that need its modules run them uncompiled.
    "compile": torch.compile,
}
"""By name, in the order in which they are applied."""


def optimized(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """Return a network in eval mode with some of ``OPTIMIZATIONS``; the one given stays as it is.

    Raises:
        InputError: One of them does not fit the model.
    """
    chosen = [name for name in OPTIMIZATIONS if name in set(names)]
    network = copy.deepcopy(model) if chosen else model
    for name in chosen:
        try:
            network = OPTIMIZATIONS[name](network)
        except InputError:
            raise
        # Scripted and exported models and those of other dimensions refuse in ways of their own.
        except Exception as error:
            raise InputError(f'optimize = ["{name}"] does not fit this model: {in_one_line(error)}') from error
    return network
