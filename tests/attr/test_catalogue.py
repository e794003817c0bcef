"""Every name of the catalogue runs; rows equal the hosts' own methods on the same noise; bad names are answered."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, IntegratedGradients, LayerAttribution, LayerGradCam, NoiseTunnel, Saliency
from scipy import ndimage
from torch import nn

from captum_gag.attr import (
    BlurIG,
    GuidedAbsoluteGrad,
    GuidedIG,
    Mean,
    SampledGradients,
    Samples,
    Variance,
    saliency_map,
    signed,
)
from captum_gag.attr.catalogue import ENTRIES, FAMILIES, method, rows
from captum_gag.attr.grad_cam import last_feature_map
from captum_gag.attr.together import attribute_together

TARGET = [0, 1, 2]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6, 4)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_entry_runs_and_is_the_same_one_by_one(model: nn.Module, images: torch.Tensor, name: str) -> None:
    entry = method(name)
    assert entry is ENTRIES[name]
    result = entry.attribute(model, images, TARGET, n_samples=4, seed=0)
    assert result.shape in (images.shape, (3, 1, 12, 12))
    assert bool(result.isfinite().all())
    assert not result.requires_grad
    alone = entry.attribute(model, images[1:2], 1, n_samples=4, seed=0)
    torch.testing.assert_close(result[1:2], alone, rtol=1e-3, atol=1e-7)
    state = torch.get_rng_state()
    assert torch.equal(result, entry.attribute(model, images, TARGET, n_samples=4, seed=0))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("each", rows(), ids=lambda each: each["name"])
def test_every_entry_says_in_one_line_what_it_is(each: dict[str, Any]) -> None:
    assert all(each.values())
    assert len(each["summary"]) < 80


def captums_noise_tunnel(model: nn.Module, image: torch.Tensor, nt_type: str, samples: int) -> torch.Tensor:
    torch.manual_seed(7)
    return NoiseTunnel(Saliency(model)).attribute(
        image, nt_type=nt_type, nt_samples=samples, stdevs=0.2, target=0, abs=False
    )


@pytest.mark.parametrize(("name", "nt_type"), [("SG", "smoothgrad"), ("VarGrad", "vargrad")])
def test_noise_rows_are_captums_noise_tunnel_on_the_same_noise(
    model: nn.Module, images: torch.Tensor, name: str, nt_type: str
) -> None:
    host = captums_noise_tunnel(model.double(), images[:1].double(), nt_type, 6)
    torch.manual_seed(7)
    drawn = torch.normal(0, torch.full((6, 3, 12, 12), 0.2))  # in single precision, as Captum does

    class SameNoise:
        n_samples = 6

        def samples(self, inputs: tuple[torch.Tensor, ...], chunk: int) -> Any:
            yield Samples((inputs[0] + drawn.unsqueeze(1),))

    part = ENTRIES[name]
    aggregation = Mean() if name == "SG" else Variance()
    ours = SampledGradients(model, SameNoise(), signed, aggregation).attribute(images[:1].double(), target=0)
    model.float()
    assert type(aggregation).__name__ in part.parts
    factor = 6 / 5 if nt_type == "vargrad" else 1.0  # Captum divides by n, the unbiased variance by n - 1
    torch.testing.assert_close(ours, host * factor, rtol=1e-6, atol=1e-12)


def test_variance_stays_right_where_captums_goes_negative() -> None:
    # A steep plane with a slight curve: gradients of 1e3 that vary by 1e-2.
    def steep(x: torch.Tensor) -> torch.Tensor:
        return (1e3 * x + 0.05 * x**2).flatten(1).sum(1, keepdim=True)

    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    host = NoiseTunnel(Saliency(steep)).attribute(x, nt_type="vargrad", nt_samples=50, stdevs=0.1, target=0, abs=False)
    assert bool((host < 0).any())
    ours = method("VarGrad").attribute(steep, x, 0, n_samples=4000)  # type: ignore[arg-type]
    noise = 0.15 * float(x.max() - x.min())
    np.testing.assert_allclose(ours.mean().item(), (0.1 * noise) ** 2, rtol=0.05)
    assert bool((ours >= 0).all())


def test_rows_are_the_classes(model: nn.Module, images: torch.Tensor) -> None:
    def same(name: str, expected: torch.Tensor) -> None:
        torch.testing.assert_close(method(name).attribute(model, images, TARGET, n_samples=6, seed=3), expected)

    gag = GuidedAbsoluteGrad(model)
    same("GAG-45", gag.attribute(images, target=TARGET, nt_samples=6, percentile=45, seed=3))
    same("SG-GA", gag.attribute(images, target=TARGET, nt_samples=6, percentile=85, seed=3))
    same("GAG-0", method("SG-A").attribute(model, images, TARGET, n_samples=6, seed=3))
    same("Guided IG", GuidedIG(model).attribute(images, target=TARGET, n_steps=6))
    same("Blur IG", BlurIG(model).attribute(images, target=TARGET, n_steps=6))
    # Captum 0.7 gives double precision for single.
    same("IG", IntegratedGradients(model).attribute(images, target=TARGET, n_steps=6).float())
    leaf = images.clone().requires_grad_()
    same("Saliency", Saliency(model).attribute(leaf, target=TARGET))
    same("VG", Saliency(model).attribute(leaf, target=TARGET, abs=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same("GB", GuidedBackprop(model).attribute(leaf, target=TARGET).detach())
    cam = LayerGradCam(model, model[3]).attribute(images, target=TARGET, relu_attributions=True)
    same("Grad-CAM:3", LayerAttribution.interpolate(cam, (12, 12), "bilinear").detach())
    same("Grad-CAM", LayerAttribution.interpolate(cam, (12, 12), "bilinear").detach())


def test_captums_own_smooth_grad_scales_noise_by_each_image(model: nn.Module, images: torch.Tensor) -> None:
    torch.manual_seed(5)
    expected = NoiseTunnel(Saliency(model)).attribute(
        images[2:], nt_samples=4, stdevs=0.15 * float(images[2].max() - images[2].min()), target=2, abs=False
    )
    result = method("SmoothGrad").attribute(model, images, TARGET, n_samples=4, seed=5)
    torch.testing.assert_close(result[2:], expected)


def test_sobel_is_scipys(model: nn.Module, images: torch.Tensor) -> None:
    grey = images[0].mean(0).double().numpy()
    edges = np.hypot(ndimage.sobel(grey, 0, mode="reflect"), ndimage.sobel(grey, 1, mode="reflect"))
    result = method("Sobel").attribute(model, images, 0)[0, 0].numpy()
    np.testing.assert_allclose(result / result.max(), edges / edges.max(), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("gag-85", "GAG-85"),
        ("GAG", "GAG-85"),
        ("gag-70.5", "GAG-70.5"),
        ("GuidedIG", "Guided IG"),
        ("blurig-ga", "Blur IG-GA"),
        ("Blur IG-GA70", "Blur IG-GA70"),
        ("SG-G25", "SG-G25"),
        ("vanilla gradient", "VG"),
        ("sg-R", "SG^R"),
        ("Guided IG+^R", "Guided IG+^R"),
    ],
)
def test_names_are_forgiving(given: str, name: str) -> None:
    assert method(given).name == name


@pytest.mark.parametrize("name", ["SGG", "GAG-101", "IG:layer", "SG-A50", "", "Grad-CAMM"])
def test_unknown_names_are_answered_with_close_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"There is no method '.*'; expected a name such as \w+"):
        method(name)


def test_reversed_maps_keep_their_values(model: nn.Module, images: torch.Tensor) -> None:
    straight = saliency_map(method("SG").attribute(model, images, TARGET))
    turned = method("SG^R").attribute(model, images, TARGET)[:, 0]
    assert not torch.equal(straight, turned)
    torch.testing.assert_close(straight.flatten(1).sort().values, turned.flatten(1).sort().values)


class TestGradCamLayer:
    def test_last_feature_map_of_known_networks(self) -> None:
        torchvision = pytest.importorskip("torchvision")
        image = torch.rand(1, 3, 64, 64)
        for name, layer in [("resnet18", "layer4"), ("densenet121", "features"), ("mobilenet_v3_small", "features")]:
            network = torchvision.models.get_model(name).eval()
            assert last_feature_map(network, image) is network.get_submodule(layer)
            assert not any(module._forward_hooks for module in network.modules())

    def test_models_without_a_feature_map(self) -> None:
        with pytest.raises(ValueError, match="name a layer: 'Grad-CAM:LAYER'"):
            last_feature_map(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.rand(1, 3, 2, 2))

    def test_a_layer_that_is_not_there(self, model: nn.Module, images: torch.Tensor) -> None:
        with pytest.raises(ValueError, match=r"no layer 'layer4'; its outermost ones are 0, 1, 2"):
            method("Grad-CAM:layer4").attribute(model, images, TARGET)


@pytest.mark.parametrize("family", FAMILIES)
def test_methods_of_a_family_together_are_each_by_itself_bit_for_bit(
    family: str, model: nn.Module, images: torch.Tensor
) -> None:
    chosen = [each for each in ENTRIES.values() if each.recipe and each.recipe.family == family]
    assert len(chosen) >= 5
    together = attribute_together(chosen, model, images, 1, n_samples=5, seed=3)
    for each, found in zip(chosen, together, strict=True):
        assert torch.equal(found, each.attribute(model, images, 1, n_samples=5, seed=3)), each.name


def test_methods_of_unlike_families_have_no_gradients_in_common(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="SG, IG are not of one family"):
        attribute_together([method("SG"), method("IG")], model, images, 0)
    with pytest.raises(ValueError, match="SG, Sobel are not of one family"):
        attribute_together([method("SG"), method("Sobel")], model, images, 0)
