"""Running a model so that its modules' hooks see every pass: not compiled, not replicated, and nothing recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.utils import checkpoint as checkpointing

from captum_gag.model_probe import uncompiled
from captum_gag.threads import one_at_a_time

# Torch's hook on saved tensors, in all releases from 2.4, by which blocks that are not re-entrant are recomputed.
_RECOMPUTING = "_checkpoint_hook"


def eager(forward_func: Callable[..., Any]) -> Callable[..., Any]:
    """Return a model without wrappers that hide its layers from hooks: ``torch.compile`` and ``DataParallel``."""
    while isinstance(forward_func, nn.DataParallel) or hasattr(forward_func, "_orig_mod"):
        forward_func = forward_func.module if isinstance(forward_func, nn.DataParallel) else forward_func._orig_mod
    return forward_func


@contextmanager
def seen_by_hooks() -> Iterator[None]:
    """Run compiled models eagerly, and checkpointed blocks once, inside this context.

    A backward pass would recompute a checkpointed block when the hooks of the forward pass are gone. Gradients are the
    same without that; memory is not saved.
    """
    once = (
        _swapped(_RECOMPUTING, lambda frame: nullcontext())
        if hasattr(checkpointing, _RECOMPUTING)
        else torch.autograd.graph.disable_saved_tensors_hooks(
            f"torch {torch.__version__} hides checkpointed blocks from hooks; switch checkpointing off"
        )
    )
    with uncompiled(), reentrant_with_gradients(), once:
        yield


def reentrant_with_gradients() -> AbstractContextManager[None]:
    """Run re-entrantly checkpointed blocks, which have no gradients by inputs, as those that are not re-entrant."""

    def apply(function: Callable[..., Any], preserve_rng_state: bool, *arguments: Any) -> Any:
        options: Any = {"use_reentrant": False, "preserve_rng_state": preserve_rng_state}
        return checkpointing.checkpoint(function, *arguments, **options)

    return _swapped("CheckpointFunction", SimpleNamespace(apply=apply))


@contextmanager
def _swapped(name: str, value: Any) -> Iterator[None]:
    """Replace a name in torch.utils.checkpoint, which models call by many names, inside this context."""
    with one_at_a_time:
        original = getattr(checkpointing, name)
        setattr(checkpointing, name, value)
        try:
            yield
        finally:
            setattr(checkpointing, name, original)
