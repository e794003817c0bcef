"""A user's own callable as a method: its arguments, its options, what it may return."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captum_gag.attr import Method, method
from captum_gag.attr.catalogue import options_of_spec
from captum_gag.errors import InputError
from captum_gag.options import declared, option

IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))


def plain(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int) -> Tensor:
    """Tell what came."""
    return inputs * targets.reshape(-1, 1, 1, 1) + n_samples + (seed or 0)


def further(
    model: Any, x: Tensor, y: Tensor, n_samples: int, seed: int, scale: float = 2.0, *, names: tuple[str, ...]
) -> Tensor:
    return x * scale + len(names)


def no_tensor(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int) -> Any:
    return inputs.numpy()


def too_small(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int) -> Any:
    return inputs.sum()


def four(model: Any, inputs: Tensor, targets: Tensor, n_samples: int) -> Tensor:
    return inputs


class Callable:
    def __call__(self, model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int, k: int = 1) -> Tensor:
        return inputs * k


@declared
class Declared(Method):
    """A method as this package's own are."""

    power: int = option(2, "What the image is raised to.")

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        return inputs**self.power


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_attributions")
    for each in (plain, further, no_tensor, too_small, four, Declared):
        setattr(module, each.__name__, each)
    module.obj, module.number = Callable(), 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_attributions", module)


def test_it_is_called_with_the_class_of_each_image() -> None:
    expected = IMAGES * torch.tensor([1.0, 2.0]).reshape(-1, 1, 1, 1)
    found = method("own_attributions:plain").attribute(MODEL, IMAGES, [1, 2], seed=3)
    assert torch.equal(found, expected + 20 + 3)
    found = method("own_attributions:plain", n_samples=5).attribute(MODEL, IMAGES, [1, 2], seed=None)
    assert torch.equal(found, expected + 5)


def test_further_parameters_are_options() -> None:
    assert options_of_spec({"type": "own_attributions:further"}) == {"n_samples", "scale", "names"}
    made = method({"type": "own_attributions:further", "names": ["a", "b"], "scale": 3})
    assert torch.equal(made.attribute(MODEL, IMAGES, 0), IMAGES * 3 + 2)
    with pytest.raises(InputError, match="own_attributions:further needs names"):
        method("own_attributions:further")
    with pytest.raises(InputError, match="unknown option 'scal'; did you mean scale"):
        method("own_attributions:further", names=(), scal=1)
    with pytest.raises(InputError, match="scale is 'big', expected a valid number"):
        method("own_attributions:further", names=(), scale="big")
    callable_object = method("own_attributions:obj", k=4)
    assert torch.equal(callable_object.attribute(MODEL, IMAGES, 0), IMAGES * 4)
    assert callable_object.shared is None


def test_a_declared_method_is_taken_as_it_is() -> None:
    assert torch.equal(method("own_attributions:Declared", power=3).attribute(MODEL, IMAGES, 0), IMAGES**3)


def test_its_maps_can_be_transformed() -> None:
    assert method("own_attributions:plain^pixel").attribute(MODEL, IMAGES, 1).sum() == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_attributions:nothing", "cannot be imported"),
        ("no_such_module_here:nothing", "cannot be imported"),
        ("own_attributions:number", "is a int, expected a callable"),
        ("own_attributions:four", r"must take \(model, inputs, targets, n_samples, seed\)"),
    ],
)
def test_what_is_no_method_is_one_clear_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        method(name)


def test_what_it_returns_is_checked() -> None:
    with pytest.raises(InputError, match=r"own_attributions:no_tensor returned a ndarray, expected a tensor \(N, C"):
        method("own_attributions:no_tensor").attribute(MODEL, IMAGES, 0)
    with pytest.raises(InputError, match=r"returned shape \(\), expected a tensor"):
        method("own_attributions:too_small").attribute(MODEL, IMAGES, 0)


@pytest.mark.parametrize("target", [-1, [0, 1, 2], 0.5])
def test_targets_that_do_not_fit_are_refused(target: Any) -> None:
    with pytest.raises(InputError, match="must be one class index >= 0, or one for each of the 2 images"):
        method("own_attributions:plain").attribute(MODEL, IMAGES, target)


def like_the_inputs(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int) -> Tensor:
    return inputs * 2


def per_position(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int) -> Tensor:
    return inputs[:, :1]


def transposed(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: int) -> Tensor:
    return inputs.transpose(1, -1)


@pytest.mark.parametrize("shape", [(3, 7), (3, 4, 5), (2, 3, 4, 5), (9,)])
def test_inputs_of_any_number_of_axes(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    for each in (like_the_inputs, per_position, transposed):
        monkeypatch.setattr(sys.modules["own_attributions"], each.__name__, each, raising=False)
    inputs = torch.rand(2, *shape)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3))
    assert torch.equal(method("own_attributions:like_the_inputs").attribute(model, inputs, 0), inputs * 2)
    if len(shape) > 1:
        assert torch.equal(method("own_attributions:per_position").attribute(model, inputs, 0), inputs[:, :1])
        with pytest.raises(InputError, match=r"transposed returned shape .*expected a tensor \(N, C, \*positions\)"):
            method("own_attributions:transposed").attribute(model, inputs, 0)
    else:
        with pytest.raises(InputError, match=r"per_position returned shape \(2, 1\), expected .*here \(2, 9\)"):
            method("own_attributions:per_position").attribute(model, inputs, 0)
