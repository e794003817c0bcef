"""Manipulated maps: what they keep, and that they are made of the original's attributions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from captum_gag.attr import reverse_saliency, saliency_map
from captum_gag.attr.catalogue import method
from captum_gag.errors import InputError


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 10, 10, generator=torch.Generator().manual_seed(1))


def test_reversed_maps_keep_their_values(model: nn.Module, images: torch.Tensor) -> None:
    straight = saliency_map(method("SG").attribute(model, images, [0, 1]))
    turned = method("SG^R").attribute(model, images, [0, 1])[:, 0]
    assert not torch.equal(straight, turned)
    torch.testing.assert_close(straight.flatten(1).sort().values, turned.flatten(1).sort().values)


def test_retain_and_swap_have_an_effect(model: nn.Module, images: torch.Tensor) -> None:
    straight = saliency_map(method("Sobel").attribute(model, images, 0))
    for retain, swap in ((0.3, 0.1), (0.05, 0.4)):
        made = method({"of": "Sobel", "transform": "reverse", "retain": retain, "swap": swap})
        turned = made.attribute(model, images, 0, seed=4)[:, 0]
        assert torch.equal(turned, reverse_saliency(straight, retain, swap, seed=4))
        top = straight[0].flatten().topk(int(100 * retain)).indices
        assert torch.equal(turned[0].flatten()[top], straight[0].flatten()[top])
        assert int((turned[0] != straight[0]).sum()) == int(200 * swap)


def test_sharp_binary_and_one_pixel(model: nn.Module, images: torch.Tensor) -> None:
    base = saliency_map(method("Sobel").attribute(model, images, 0))
    sharp = method("Sobel^sharp").attribute(model, images, 0)[:, 0]
    assert torch.equal(sharp.flatten(1).argsort(stable=True), base.flatten(1).argsort(stable=True))
    assert torch.equal(sharp, base.double() ** 8)
    assert torch.equal(method("Sobel^sharp", power=2).attribute(model, images, 0)[:, 0], base.double() ** 2)
    for options, count in (({}, 10), ({"share": 0.25}, 25), ({"share": 0.001}, 1)):
        binary = method("Sobel^binary", **options).attribute(model, images, 0)[:, 0]
        assert binary.sum((1, 2)).tolist() == [count, count]
        assert torch.equal(method("Sobel^binary", **options).attribute(model, images[:1], 0)[:, 0], binary[:1])
        assert bool((base[binary == 1].min() >= base[binary == 0].min()).all())
    pixel = method("Sobel^pixel").attribute(model, images, 0)[:, 0]
    assert pixel.sum((1, 2)).tolist() == [1, 1]
    assert bool((base[pixel == 1] == 1).all())


def test_of_equal_pixels_the_first_is_taken(model: nn.Module, images: torch.Tensor) -> None:
    made: Any = method({"of": "Constant", "transform": "one_pixel"})
    found = made.attribute(model, images, 0)[:, 0]
    assert found.flatten(1).argmax(1).tolist() == [0, 0]


@pytest.mark.parametrize("suffix", ["R", "sharp", "binary", "pixel"])
def test_a_transform_of_known_attributions_is_the_same(model: nn.Module, images: torch.Tensor, suffix: str) -> None:
    original = method("SG", n_samples=3)
    name = {"R": "reverse", "sharp": "sharpen", "binary": "binarise", "pixel": "one_pixel"}[suffix]
    made: Any = method({"of": original, "transform": name})
    assert made.of is original
    assert made.transform == name
    assert original.of is None
    assert original.transform == ""
    known = original.attribute(model, images, [0, 1], seed=2)
    assert torch.equal(made.transformed(known, 2), made.attribute(model, images, [0, 1], seed=2))
    by_name = method(f"SG^{suffix}", n_samples=3)
    assert torch.equal(by_name.attribute(model, images, [0, 1], seed=2), made.transformed(known, 2))


def test_a_map_that_is_not_finite_stays_so() -> None:
    attributions = torch.ones(2, 1, 3, 3)
    attributions[0, 0, 1, 1] = torch.nan
    made: Any = method("Constant^pixel")
    found = made.transformed(attributions, 0)
    assert bool(found[0].isnan().all())
    assert found[1].sum() == 1


def test_the_original_is_prepared() -> None:
    asked: list[str] = []

    def images(name: str, n: int) -> torch.Tensor:
        asked.append(name)
        return torch.zeros(n, 3, 10, 10)

    method({"of": {"type": "DeepSHAP", "baselines": "train"}, "transform": "reverse"}).prepare(images)
    assert asked == ["train"]


INPUTS = {"signals": (3, 16), "images": (3, 6, 8), "volumes": (2, 4, 5, 6), "tables": (20,)}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("suffix", ["R", "sharp", "binary", "pixel"])
def test_maps_of_any_number_of_axes_are_those_of_their_positions_in_a_row(kind: str, suffix: str) -> None:
    shape = INPUTS[kind]
    inputs = torch.rand(2, *shape, generator=torch.Generator().manual_seed(3))
    places = shape[1:] or shape
    scores = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3))
    made: Any = method(f"Random^{suffix}")
    found = made.attribute(scores, inputs, 0, seed=4)
    assert found.shape == ((2, *places) if kind == "tables" else (2, 1, *places))
    original = method("Random").attribute(scores, inputs, 0, seed=4)
    assert original.shape == found.shape
    # As many pixels in one row of an image.
    flat = made.transformed(original.reshape(2, 1, 1, -1), 4)
    torch.testing.assert_close(found.flatten(1), flat.flatten(1))


@pytest.mark.parametrize("kind", INPUTS)
def test_constant_maps_have_one_value_per_position(kind: str) -> None:
    inputs = torch.rand(2, *INPUTS[kind])
    scores = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3))
    found = method("Constant").attribute(scores, inputs, 0)
    assert torch.equal(found, torch.ones_like(inputs if kind == "tables" else inputs[:, :1]))


def test_edges_of_a_volume_are_where_it_changes_whatever_the_axis() -> None:
    scores = nn.Sequential(nn.Flatten(), nn.Linear(512, 3))
    for axis in (2, 3, 4):
        volume = torch.zeros(1, 1, 8, 8, 8)
        volume.narrow(axis, 4, 4).fill_(1)
        edges = method("Sobel").attribute(scores, volume, 0).movedim(axis, 2)
        assert edges.shape == volume.shape
        change = torch.tensor([False, False, False, True, True, False, False, False])
        assert torch.equal(edges[0, 0].flatten(1).amin(1) > 0, change)
        assert torch.equal(edges[0, 0].flatten(1).amax(1) > 0, change)


@pytest.mark.parametrize("kind", ["signals", "tables"])
def test_signals_and_tables_have_no_edges(kind: str) -> None:
    inputs = torch.rand(2, *INPUTS[kind])
    scores = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3))
    with pytest.raises(InputError, match=r"Sobel got inputs \(2, .*expected images \(N, C, H, W\) or volumes"):
        method("Sobel").attribute(scores, inputs, 0)
