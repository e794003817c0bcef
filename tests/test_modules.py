"""What is inside a model, whatever wraps it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from captum_gag.attr.catalogue import method
from captum_gag.errors import InputError
from captum_gag.modules import computing_in, modules_inside

INNER = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))


class Holder:
    """An object that can be called, with its model somewhere in a dict of lists."""

    def __init__(self, model: nn.Module) -> None:
        self.parts = {"models": [model]}

    def __call__(self, x: Any) -> Any:
        return self.parts["models"][0](x)

    def predict(self, x: Any) -> Any:
        return self(x)


class Slotted:
    """An object that cannot be called, with its model in a slot."""

    __slots__ = ("model",)

    def __init__(self, model: nn.Module) -> None:
        self.model = model


class Unregistered(nn.Module):
    """A module whose blocks are in a plain list."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._blocks = [model]
        self.eval()


def _through(holder: Any) -> Callable[[Any], Any]:
    return lambda x: holder.model(x)


HOLDER = Holder(INNER)
WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "itself": lambda model: model,
    "DataParallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "bound method": lambda model: model.forward,
    "partial": lambda model: functools.partial(torch.nn.functional.relu, model),
    "closure": lambda model: lambda x: model(x),
    "default": lambda model: lambda x, run=model: run(x),
    "object": Holder,
    "method of an object": lambda model: Holder(model).predict,
    "plain list of a module": Unregistered,
    "global": lambda model: lambda x: INNER(x),
    "global object": lambda model: lambda x: HOLDER(x),
    "keyword default": lambda model: lambda x, *, run=model: run(x),
    "namespace": lambda model: _through(SimpleNamespace(model=model)),
    "slot": lambda model: _through(Slotted(model)),
    "function in a function": lambda model: functools.wraps(print)(lambda x: (lambda y: model(y))(x)),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_every_wrapper_shows_its_modules(name: str) -> None:
    wrapped = WRAPPERS[name](INNER.train())
    found = list(modules_inside(wrapped))
    assert {id(each) for each in INNER.modules()} <= {id(each) for each in found}
    assert len({id(each) for each in found}) == len(found)


class Computes(nn.Module):
    """Remembers the dtype that its layer computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(2, 2), []

    def forward(self, x: torch.Tensor, fail: bool = False) -> torch.Tensor:
        self.seen.append(self.layer(x).dtype)
        if fail:
            raise ArithmeticError
        return x


def test_only_the_models_own_passes_compute_in_less() -> None:
    model, x = Computes(), torch.ones(1, 2)
    with computing_in(torch.bfloat16, model, x.device):
        model(x)
        assert (x @ x.T).dtype == torch.float32
        with computing_in(torch.float32, model, x.device):
            model(x)
        model(x)
        with computing_in(torch.float16, model, x.device):
            model(x)
        with pytest.raises(ArithmeticError):
            model(x, fail=True)
        assert (x @ x.T).dtype == torch.float32
    model(x)
    assert model.seen == [torch.bfloat16, torch.float32, torch.bfloat16, torch.float16, torch.bfloat16, torch.float32]
    assert not torch.is_autocast_enabled("cpu")


def test_gradients_of_passes_in_less_are_near_those_in_single_precision() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1)), torch.randn(4, 8, requires_grad=True)
    [exact] = torch.autograd.grad(model(x).sum(), x)
    with computing_in(torch.bfloat16, model, x.device):
        [found] = torch.autograd.grad(model(x).sum(), x)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("name", ["Grad-CAM", "DeepSHAP", "GB", "captum:DeepLift", "captum:LRP"])
def test_a_function_has_no_layers_and_the_module_in_it_is_named(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    said = "got a function, must be a torch.nn.Module: it .* (layers|ReLU modules). Give the Sequential inside it"
    with pytest.raises(InputError, match=said):
        method(name).attribute(lambda x: net(x), torch.rand(1, 3, 8, 8), [0])


def test_what_is_no_score_is_said_before_what_has_no_layers() -> None:
    with pytest.raises(InputError, match="The model returned a NoneType"):
        method("Grad-CAM").attribute(lambda x: None, torch.rand(1, 3, 8, 8), [0])
