"""What is inside a model, whatever wraps it, and what of it must not change."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from captum_gag.errors import InputError, in_one_line, warn

_OWN = frozenset(vars(nn.Module()))
_CONTAINERS = (Mapping, list, tuple, set, frozenset)


def modules_inside(model: Any) -> Iterator[nn.Module]:
    """Yield all modules of a model, each once, whatever wraps them.

    Args:
        model: A module; a bound method, a partial or a function that closes over modules or names them globally; an
            object that can be called. Lists, dicts and tuples that any of these holds are looked through.
    """
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, nn.Module):
            yield each
            waiting += each.children()
            # Modules in plain lists and dicts are not registered, but run.
            waiting += [
                value for name, value in vars(each).items() if name not in _OWN and isinstance(value, _CONTAINERS)
            ]
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, _CONTAINERS):
            waiting += each
        elif isinstance(each, functools.partial):
            waiting += [each.func, *each.args, *each.keywords.values()]
        elif callable(each) and not isinstance(each, type):
            waiting += _held(each)


def _held(function: Any) -> list[Any]:
    """Return what a function, a bound method or an object that can be called holds."""
    held = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _filled(cell)]
    held += [*(getattr(function, "__defaults__", None) or ()), *getattr(function, "__dict__", {}).values()]
    names = getattr(function, "__globals__", {})
    named = [names[name] for name in getattr(getattr(function, "__code__", None), "co_names", ()) if name in names]
    held += [each for each in named if isinstance(each, nn.Module | Mapping | list | tuple) or _same_file(each, names)]
    owner = getattr(function, "__self__", None)
    if isinstance(owner, nn.Module):
        held.append(owner)
    elif owner is not None and not isinstance(owner, type | ModuleType):
        held += getattr(owner, "__dict__", {}).values()
    return held


def _same_file(value: Any, names: dict[str, Any]) -> bool:
    """Return whether something was written where the names are, and not in a library."""
    return getattr(value, "__globals__", None) is names or type(value).__module__ == names.get("__name__")


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    # A cell whose variable has no value yet.
    except ValueError:
        return False


_HOLDERS = (
    *("torch.nn.modules.container", "torch.nn.modules.module", "torch.nn.parallel", "torch.nn.utils"),
    *("torch.fx", "torch.export", "torch._"),
)
"""Where modules live that only call others: their own training mode changes nothing, and some have no eval()."""


def require_evaluation_mode(model: Any) -> None:
    """Refuse a model in training mode, or with a module in it that is and that can behave otherwise then.

    Raises:
        InputError: It is.
    """
    training = [
        type(module).__name__
        for module in modules_inside(model)
        if module.training and not type(module).__module__.startswith(_HOLDERS)
    ]
    if training:
        raise InputError(
            f"The model is in training mode ({training[0]}), so its outputs are random; call model.eval() first."
        )


def require_module(name: str, model: Any, use: str) -> None:
    """Refuse a model that is only called, for what reaches into it.

    Args:
        name: Of the method.
        model: What came.
        use: What the method does with a module.

    Raises:
        InputError: It is no module; the message names the one inside it.
    """
    if not isinstance(model, nn.Module):
        inside = next(modules_inside(model), None)
        way_out = "" if inside is None else f" Give the {type(inside).__name__} inside it, or a module that calls it."
        raise InputError(f"{name} got a {type(model).__name__}, expected a torch.nn.Module: it {use}.{way_out}")


def hookable(model: nn.Module) -> nn.Module:
    """Return a model that takes hooks: what is scripted does not, but what is around it does."""
    return nn.Sequential(model) if isinstance(model, torch.jit.ScriptModule) else model


@contextmanager
def buffers_kept(model: Any) -> Iterator[None]:
    """Give the modules that are in training mode their buffers back afterwards: batch statistics, for example."""
    kept = [
        (module, name, buffer, buffer.clone())
        for module in modules_inside(model)
        if module.training
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, values in kept:
                buffer.copy_(values)
                setattr(module, name, buffer)


def warn_of_batch_statistics(model: Any) -> None:
    """Warn once if running a model changes it: batch normalisation in training mode."""
    changing = [
        type(module).__name__
        for module in modules_inside(model)
        if module.training and isinstance(getattr(module, "running_mean", None), torch.Tensor)
    ]
    if changing:
        warn(
            f"The model has batch statistics in training mode ({changing[0]}), which every forward pass changes; pass "
            "freeze_statistics=True or call model.eval()."
        )


def with_folded_batch_norm(model: nn.Module, what: str) -> nn.Module:
    """Return a copy of a model in eval mode with batch normalisations folded into the convolutions before them.

    Args:
        model: To be copied.
        what: Needs this, for the message.

    Raises:
        InputError: The model cannot be traced.
    """
    # Torch has no public place for it that finds the pairs itself: should a release move it, only what folds fails.
    from torch.fx.experimental.optimization import fuse

    try:
        return fuse(model)
    # Tracing runs the model's own code on symbols, which can fail in any way.
    except Exception as error:
        said = in_one_line(error)
        raise InputError(f"{what} needs a model that torch.fx can trace; this one fails: {said}") from error


@contextmanager
def computing_in(dtype: torch.dtype | None, model: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a model compute in another dtype what stands it, inside this context.

    Only the model's own passes: what is around them keeps its precision. Of contexts in one another the inner one
    counts.

    Args:
        dtype: As for ``torch.autocast``; float32 switches it off, None leaves it as it is around this.
        model: Whose passes they are.
        device: Where it is.
    """
    if dtype is None:
        yield
        return
    entered: list[torch.autocast] = []

    def enter(module: nn.Module, given: Any) -> None:
        entered.append(torch.autocast(device.type, dtype, enabled=dtype != torch.float32))
        entered[-1].__enter__()

    def leave(module: nn.Module, given: Any, returned: Any) -> None:
        # None where another hook failed before the model was entered.
        if entered:
            entered.pop().__exit__(None, None, None)

    # The inner context leaves first.
    left = model.register_forward_hook(leave, prepend=True, always_call=True)
    handles = [model.register_forward_pre_hook(enter), left]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
