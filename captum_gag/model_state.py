"""The state of a model, which forward passes change, put back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from captum_gag.errors import warn
from captum_gag.modules import modules_inside
from captum_gag.tensors import is_dense

# Tensors of more values are not copied.
MOST_COPIED = 2**26

_MODULE_STATE = frozenset(vars(nn.Module()))
_UNTOUCHED = ("torch._dynamo", "torch.distributed", "torch.nn.parallel", "torch.jit", "torch._export")
_kept: ContextVar[frozenset[int]] = ContextVar("kept", default=frozenset())


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
            state = {name: value for name, value in namespace.items() if name not in _MODULE_STATE}
            namespaces.append((namespace, state))
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors.append((f"{type(module).__name__}.{name}", value, _version(value), _copied(value)))

    def put_back() -> None:
        with torch.inference_mode(False), torch.no_grad():
            for tensor in tensors:
                _restore(*tensor)
            for namespace, state in namespaces:
                for name in namespace.keys() - state.keys() - _MODULE_STATE:
                    del namespace[name]
                namespace.update(state)

    token = _kept.set(_kept.get() | set(map(id, modules)))
    try:
        yield put_back
    finally:
        _kept.reset(token)
        put_back()


def _copied(tensor: Tensor) -> Tensor | None:
    return tensor.detach().clone() if tensor.numel() <= MOST_COPIED and is_dense(tensor) else None


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
