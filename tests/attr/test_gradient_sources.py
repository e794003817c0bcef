"""Guided backpropagation: Captum's where that works, right on ReLU6, honest elsewhere."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from captum_gag.attr import GaussianNoise, SampledGradients, guided_backpropagation
from captum_gag.errors import InputError


def network(activation: type[nn.Module], **arguments: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        activation(**arguments),
        nn.Conv2d(6, 6, 3),
        activation(**arguments),
        nn.Flatten(),
        nn.Linear(96, 4),
    ).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def guided(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    row = SampledGradients(model, GaussianNoise(1, stdevs=0.0), gradient_source=guided_backpropagation)
    return row.attribute(images, target=[0, 1, 2])


def captums(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GuidedBackprop(model).attribute(images.clone().requires_grad_(), target=[0, 1, 2])


def test_relu_is_captums(images: torch.Tensor) -> None:
    model = network(nn.ReLU)
    torch.testing.assert_close(guided(model, images), captums(model, images))


@pytest.mark.parametrize("inplace", [False, True])
def test_relu6_is_captums_on_the_same_network_with_relu(images: torch.Tensor, inplace: bool) -> None:
    # No activation reaches 6 here, so both networks compute the same.
    clipped, plain = network(nn.ReLU6, inplace=inplace), network(nn.ReLU)
    assert float(plain[:4](images).max()) < 6
    torch.testing.assert_close(guided(clipped, images), captums(plain, images))
    assert not torch.allclose(captums(clipped, images), captums(plain, images))


def test_relu6_blocks_what_is_clipped() -> None:
    model = nn.Sequential(nn.ReLU6(), nn.Flatten(), nn.Linear(3, 1, bias=False))
    model[2].weight.data = torch.tensor([[2.0, -3.0, 4.0]])
    x = torch.tensor([[1.0, 1.0, 7.0]])
    row = SampledGradients(model, GaussianNoise(1, stdevs=0.0), gradient_source=guided_backpropagation)
    assert row.attribute(x, target=0).tolist() == [[2.0, 0.0, 0.0]]


def test_leaves_no_hooks_and_in_place_as_it_was(images: torch.Tensor) -> None:
    model = network(nn.ReLU6, inplace=True)
    guided(model, images)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
        assert getattr(module, "inplace", True) is True


class Functional(nn.Module):
    """Has a ReLU module, and calls the function."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.linear = nn.Linear(192, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(x.flatten(1)))


class WithoutGradient(nn.Module):
    """Has a ReLU module, which the gradients do not pass."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * self.relu(x.detach()).flatten(1).mean(1, keepdim=True)


def scripted() -> nn.Module:
    return nn.Sequential(torch.jit.script(network(nn.ReLU)[:5]), network(nn.ReLU)[5])


UNGUIDED = {
    "SiLU": lambda: network(nn.SiLU),
    "functional ReLU beside a module that never runs": Functional,
    "scripted": scripted,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", UNGUIDED)
def test_where_nothing_was_guided_a_warning_says_so(images: torch.Tensor, name: str) -> None:
    model = UNGUIDED[name]()
    expected = {"SiLU": "SiLU", "scripted": "none"}.get(name, "ReLU")
    with pytest.warns(UserWarning, match=f"equals the plain gradient; .*activation modules found: {expected}"):
        result = guided(model, images)
    plain = SampledGradients(model, GaussianNoise(1, stdevs=0.0)).attribute(images, target=[0, 1, 2])
    torch.testing.assert_close(result, plain)
    assert not any(module._forward_hooks for module in model.modules() if hasattr(module, "_forward_hooks"))


def test_what_captum_cannot_hook_is_refused(images: torch.Tensor) -> None:
    model = WithoutGradient()
    with pytest.raises(InputError, match=r"^Guided backpropagation: .*hook on a tensor that doesn't require gradient"):
        guided(model, images)
    assert not model.relu._forward_hooks
    assert not model.relu._forward_pre_hooks


def test_a_compiled_model_is_guided_or_says_so(images: torch.Tensor) -> None:
    model = network(nn.ReLU)
    compiled = torch.compile(model, backend="eager")
    compiled(images)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = guided(compiled, images)
    plain = SampledGradients(model, GaussianNoise(1, stdevs=0.0)).attribute(images, target=[0, 1, 2])
    unguided = any("equals the plain gradient" in str(each.message) for each in said)
    torch.testing.assert_close(result, plain if unguided else captums(model, images))


@pytest.mark.parametrize("kind", [nn.ReLU, nn.ReLU6])
def test_nothing_is_warned_of_where_gradients_are_guided(images: torch.Tensor, kind: type[nn.Module]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guided(network(kind), images)
        guided(nn.DataParallel(network(kind)), images)


def test_failure_leaves_nothing_behind(images: torch.Tensor) -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("too dark")

    model = nn.Sequential(*network(nn.ReLU6, inplace=True)[:4], Failing())
    with pytest.raises(RuntimeError, match="too dark"):
        guided(model, images)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert getattr(module, "inplace", True) is True


def test_a_function_has_no_modules(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"got a function, must be a torch\.nn\.Module: .*modules\.$"):
        guided(lambda x: x.flatten(1), images)  # type: ignore[arg-type]


def test_what_is_around_a_module_names_it(images: torch.Tensor) -> None:
    model = network(nn.ReLU)
    for around in (model.forward, partial(model), lambda x: model(x)):
        with pytest.raises(InputError, match="Give the Sequential inside it, or a module that calls it"):
            guided(around, images)  # type: ignore[arg-type]
