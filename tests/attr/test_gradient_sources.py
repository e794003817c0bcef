"""Guided backpropagation: Captum's where that works, right on ReLU6, honest elsewhere."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from captum_gag.attr import GaussianNoise, SampledGradients, guided_backpropagation


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


def test_other_activations_are_named_in_a_warning(images: torch.Tensor) -> None:
    model = network(nn.SiLU)
    with pytest.warns(UserWarning, match="equals the plain gradient; activation modules found: SiLU"):
        result = guided(model, images)
    plain = SampledGradients(model, GaussianNoise(1, stdevs=0.0)).attribute(images, target=[0, 1, 2])
    torch.testing.assert_close(result, plain)


def test_functional_activations_cannot_be_seen(images: torch.Tensor) -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(192, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(torch.relu(x.flatten(1)))

    with pytest.warns(UserWarning, match=r"found: none \(functional ones cannot be seen\)"):
        guided(Functional(), images)


def test_a_function_has_no_modules(images: torch.Tensor) -> None:
    with pytest.raises(TypeError, match=r"got a function, expected a torch\.nn\.Module"):
        guided(lambda x: x.flatten(1), images)
