"""The modules inside a model, whatever wraps it: their hooks, state and precision."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from captum_gag.errors import InputError, in_one_line, warn
from captum_gag.tensors import is_dense

# What every module has.
_OWN = frozenset(vars(nn.Module()))
_CONTAINERS = (Mapping, list, tuple, set, frozenset)
# Longer collections are data.
MOST_ITEMS = 10_000
# Objects of these packages are no wrappers of models.
_LIBRARIES = sys.stdlib_module_names | {"builtins", "numpy", "pandas", "torch", "PIL", "matplotlib", "ray", "tqdm"}

# Tensors of more values are not copied.
MOST_COPIED = 2**26

_UNTOUCHED = ("torch._dynamo", "torch.distributed", "torch.nn.parallel", "torch.jit", "torch._export")
_kept: ContextVar[frozenset[int]] = ContextVar("kept", default=frozenset())


def modules_inside(model: Any) -> Iterator[nn.Module]:
    """Yield all modules of a model, each once, whatever wraps them.

    Args:
        model: A module; a bound method, a partial or a function that closes over modules or names them globally; an
            object that can be called. Lists, dicts and tuples that any of these holds are searched too.
    """
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, nn.Module):
            yield item
            waiting += item.children()
            # Modules in plain lists and dicts are not registered, but run.
            waiting += [
                value for name, value in vars(item).items() if name not in _OWN and isinstance(value, _CONTAINERS)
            ]
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, _CONTAINERS):
            waiting += item if len(item) <= MOST_ITEMS else ()
        elif isinstance(item, functools.partial):
            waiting += [item.func, *item.args, *item.keywords.values()]
        elif not isinstance(item, type | ModuleType):
            own = isinstance(item, SimpleNamespace) or type(item).__module__.partition(".")[0] not in _LIBRARIES
            waiting += references(item) if own or callable(item) else ()


def references(item: Any) -> list[Any]:
    """Return the objects that a function, a bound method or any other object refers to."""
    slots = [name for cls in type(item).__mro__ for name in getattr(cls, "__slots__", ()) if isinstance(name, str)]
    references = [getattr(item, name, None) for name in ("__self__", "__wrapped__", *slots)]
    for name in ("__defaults__", "__dict__", "__kwdefaults__"):
        values = getattr(item, name, None)
        references += values.values() if isinstance(values, Mapping) else values or ()
    for cell in getattr(item, "__closure__", None) or ():
        # Of a variable that has no value yet.
        with suppress(ValueError):
            references.append(cell.cell_contents)
    variables = getattr(item, "__globals__", {})
    for name in getattr(getattr(item, "__code__", None), "co_names", ()):
        value = variables.get(name)
        # Written in the same file, and not in a library.
        own = getattr(value, "__globals__", None) is variables or type(value).__module__ == variables.get("__name__")
        if own or isinstance(value, nn.Module | Mapping | list | tuple | SimpleNamespace):
            references.append(value)
    return references


def require_module(name: str, model: Any, use: str) -> None:
    """Raise InputError, with the method's name and its use of a module, unless the model is one."""
    if not isinstance(model, nn.Module):
        inside = next(modules_inside(model), None)
        advice = "" if inside is None else f" Give the {type(inside).__name__} inside it, or a module that calls it."
        raise InputError(f"{name} got a {type(model).__name__}, must be a torch.nn.Module: it {use}.{advice}")


def hookable(model: nn.Module) -> nn.Module:
    """Return a model that takes hooks: a scripted module or one of Keras, which do not, inside one that does."""
    of_keras = any(cls.__module__.partition(".")[0] == "keras" for cls in type(model).__mro__)
    return nn.Sequential(model) if of_keras or isinstance(model, torch.jit.ScriptModule) else model


def with_folded_batch_norm(model: nn.Module, caller: str) -> nn.Module:
    """Return a copy of a model in eval mode with batch normalisations folded into the convolutions before them.

    Raises:
        InputError: The model cannot be traced; the message names the caller.
    """
    # Torch has no public function that finds the pairs itself.
    from torch.fx.experimental.optimization import fuse

    try:
        folded = fuse(model)
        # A trace leaves them out; by one the model gets its channels where it has them.
        folded._forward_pre_hooks.update(model._forward_pre_hooks)
        return folded
    # Tracing runs the model's own code on symbols, which can fail in any way.
    except Exception as error:
        reason = in_one_line(error)
        raise InputError(f"{caller} needs a model that torch.fx can trace; this one fails: {reason}") from error


@contextmanager
def single_by_default(model: Any) -> Iterator[Any]:
    """Make single precision torch's default dtype inside this context, but not in the model's forward passes.

    Captum and Quantus draw and integrate in it, whatever the precision of model and inputs. It is one for all threads,
    so that nothing is set where it is the usual one.

    Args:
        model: A module or a function.

    Yields:
        The model, to be called inside this context.
    """
    own = torch.get_default_dtype()
    if own == torch.float32:
        yield model
        return

    def as_own(*arguments: Any) -> Any:
        torch.set_default_dtype(own)
        try:
            return model(*arguments)
        finally:
            torch.set_default_dtype(torch.float32)

    with ExitStack() as stack:
        if isinstance(model, nn.Module):
            enter, leave = (lambda *_, dtype=dtype: torch.set_default_dtype(dtype) for dtype in (own, torch.float32))
            stack.enter_context(model.register_forward_pre_hook(enter, prepend=True))
            stack.enter_context(model.register_forward_hook(leave, always_call=True))
        stack.callback(torch.set_default_dtype, own)
        torch.set_default_dtype(torch.float32)
        yield model if isinstance(model, nn.Module) else as_own


@contextmanager
def computing_in(dtype: torch.dtype | None, model: nn.Module, device: torch.device) -> Iterator[None]:
    """Autocast the model's own forward passes, and nothing around them, inside this context; the innermost counts.

    Args:
        dtype: As for ``torch.autocast``; float32 switches it off, None leaves it as it is.
        model: The module that is called.
        device: Of the model.
    """
    if dtype is None:
        yield
        return
    entered: list[torch.autocast] = []

    def enter(module: nn.Module, args: Any) -> None:
        entered.append(torch.autocast(device.type, dtype, enabled=dtype != torch.float32))
        entered[-1].__enter__()

    def leave(module: nn.Module, args: Any, returned: Any) -> None:
        # None where another hook failed before the model was entered.
        if entered:
            entered.pop().__exit__(None, None, None)

    # The inner context leaves first.
    with model.register_forward_pre_hook(enter), model.register_forward_hook(leave, prepend=True, always_call=True):
        yield


@contextmanager
def state_kept(model: Any) -> Iterator[Callable[[], None]]:
    """Put back the buffers and the attributes of modules that forward passes change; yield what does it earlier.

    Observers of quantization, caches, hidden states, batch statistics and counters are afterwards as they were, after
    failure too. What a model notes inside lists and dicts stays.
    """
    modules = [
        module
        for module in modules_inside(model)
        if id(module) not in _kept.get()
        and not type(module).__module__.startswith(_UNTOUCHED)
        # The first pass makes it.
        and not isinstance(module, nn.modules.lazy.LazyModuleMixin)
    ]
    namespaces: list[tuple[dict[str, Any], dict[str, Any]]] = []
    tensors: list[tuple[str, Tensor, int, Tensor | None]] = []
    for module in modules:
        for namespace in (vars(module), module._buffers):
            state = {name: value for name, value in namespace.items() if name not in _OWN}
            namespaces.append((namespace, state))
            for name, value in state.items():
                if isinstance(value, Tensor):
                    copied = value.detach().clone() if value.numel() <= MOST_COPIED and is_dense(value) else None
                    tensors.append((f"{type(module).__name__}.{name}", value, _version(value), copied))

    def put_back() -> None:
        with torch.inference_mode(False), torch.no_grad():
            for tensor in tensors:
                _restore(*tensor)
            for namespace, state in namespaces:
                for name in namespace.keys() - state.keys() - _OWN:
                    del namespace[name]
                namespace.update(state)

    token = _kept.set(_kept.get() | set(map(id, modules)))
    try:
        yield put_back
    finally:
        _kept.reset(token)
        put_back()


def _restore(name: str, tensor: Tensor, version: int, content: Tensor | None) -> None:
    changed = _version(tensor) != version
    if content is None and changed:
        warn(f"A forward pass changes {name} {tuple(tensor.shape)} of the model, which is too large to be put back.")
    # A change by way of ``data`` is not counted.
    elif content is not None and (changed or (tensor.device.type == "cpu" and not _same(tensor, content))):
        if tensor.shape == content.shape and not tensor.is_inference():
            tensor.detach().copy_(content)
        else:
            tensor.data = content


def _same(tensor: Tensor, content: Tensor) -> bool:
    # Not a number equals itself here; most types cannot be it.
    return torch.equal(tensor, content) or (
        tensor.is_floating_point() and tensor.shape == content.shape and torch.allclose(tensor, content, 0, 0, True)
    )


def _version(tensor: Tensor) -> int:
    # Tensors of inference mode have none.
    return 0 if tensor.is_inference() else tensor._version
