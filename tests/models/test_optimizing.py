"""Cheaper ways to compute a network: the same function, and the network given stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from captum_gag.errors import InputError
from captum_gag.models.catalogue import model
from captum_gag.models.cifar10 import Cifar10Net
from captum_gag.models.optimizing import OPTIMIZATIONS, optimized


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    found = Cifar10Net()
    # Statistics that normalise something.
    found(torch.rand(16, 3, 32, 32))
    return found.eval()


IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def gradients(network: nn.Module) -> torch.Tensor:
    x = IMAGES.clone().requires_grad_()
    [found] = torch.autograd.grad(network(x)[:, 3].sum(), x)
    return found


@pytest.mark.parametrize("name", ["fold_batch_norm", "frozen", "channels_last"])
def test_scores_and_gradients_stay_up_to_rounding(name: str, net: nn.Module) -> None:
    found = optimized(net, [name])
    torch.testing.assert_close(found(IMAGES), net(IMAGES), rtol=1e-4, atol=1e-5)
    tolerance = {"rtol": 0, "atol": 0} if name == "frozen" else {"rtol": 1e-3, "atol": 1e-6}
    torch.testing.assert_close(gradients(found), gradients(net), **tolerance)


@pytest.mark.slow
def test_compiled_and_all_together(net: nn.Module) -> None:
    found = optimized(net, OPTIMIZATIONS)
    torch.testing.assert_close(found(IMAGES), net(IMAGES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients(found), gradients(net), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["fold_batch_norm", "frozen", "channels_last"])
def test_the_network_given_stays_as_it_is(name: str, net: nn.Module) -> None:
    before = {name: each.clone() for name, each in net.state_dict().items()}
    optimized(net, [name])
    assert all(torch.equal(each, net.state_dict()[name]) for name, each in before.items())
    assert all(each.requires_grad and each.is_contiguous() for each in net.parameters())


def test_each_does_what_it_says(net: nn.Module) -> None:
    folded = optimized(net, ["fold_batch_norm"])
    assert not any(isinstance(each, nn.BatchNorm2d) for each in folded.modules())
    assert any(isinstance(each, nn.BatchNorm2d) for each in net.modules())
    assert not any(each.requires_grad for each in optimized(net, ["frozen"]).parameters())
    kernels = [each.weight for each in optimized(net, ["channels_last"]).modules() if isinstance(each, nn.Conv2d)]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in kernels)


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_traced_is_refused() -> None:
    with pytest.raises(InputError, match=r'optimize = \["fold_batch_norm"\] needs a model that torch.fx can trace; '):
        optimized(Branching(), ["fold_batch_norm"])


class SubclassedConv(nn.Conv2d):
    pass


@pytest.mark.parametrize(
    ("network", "number"),
    [(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 0), (nn.Sequential(SubclassedConv(3, 4, 3), nn.BatchNorm2d(4)), 1)],
)
def test_folding_nothing_is_refused(network: nn.Module, number: int) -> None:
    with pytest.raises(InputError, match=f"none of the {number} batch normalisations of this model can be folded"):
        optimized(network.eval(), ["fold_batch_norm"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r'optimize = \["channels_last"\] does not fit this model: .*rank 4'):
        optimized(nn.Conv3d(1, 2, 3), ["channels_last"])


def test_a_spec_says_it(tmp_path: Path) -> None:
    torch.save(Cifar10Net().state_dict(), tmp_path / "net.pth")
    spec = {"type": "cifar10", "weights": str(tmp_path / "net.pth"), "optimize": ["frozen", "fold_batch_norm"]}
    loaded = model(spec).load("cpu").model
    assert not any(each.requires_grad for each in loaded.parameters())
    assert not any(isinstance(each, nn.BatchNorm2d) for each in loaded.modules())
    assert model(model(spec).spec()).optimize == ("frozen", "fold_batch_norm")


def test_what_is_no_optimization_is_refused() -> None:
    with pytest.raises(InputError, match="optimize"):
        model({"type": "demo", "optimize": ["faster"]})
