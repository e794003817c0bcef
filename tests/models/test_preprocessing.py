"""Photographs are prepared as the makers of the models did, without weights and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from captum_gag.models import Preprocessing
from captum_gag.models.catalogue import model


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(300, 240), (100, 400), (1, 1), (300, 10)])
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_b0", "vit_h_14", "inception_v3", "swin_v2_t"])
def test_preprocessing_is_torchvisions_own(name: str, size: tuple[int, int]) -> None:
    preprocessing = model(name).preprocessing()
    published = torchvision.models.get_model_weights(name).DEFAULT
    expected = published.transforms()(noise(*size))
    torch.testing.assert_close(preprocessing.preprocess(noise(*size)), expected, rtol=0, atol=1e-6)
    sized = model({"type": "torchvision", "name": name, "image_size": preprocessing.crop}).preprocessing()
    assert sized.preprocess(noise(*size)).equal(preprocessing.preprocess(noise(*size)))
    assert preprocessing.labels == published.meta["categories"]
    assert preprocessing.normalization == (tuple(published.transforms().mean), tuple(published.transforms().std))


@pytest.mark.parametrize("spec", ["demo", "resnet18", {"type": "cifar10", "weights": "gone.pth"}])
def test_it_needs_neither_weights_nor_a_network(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(nn.Conv2d, "__init__", refuse)
    preprocessing = model(spec).preprocessing()
    assert preprocessing.label(3) in ("cat", "tiger shark")
    assert preprocessing.preprocess(noise(40, 40)).shape == (3, preprocessing.crop, preprocessing.crop)


def test_labels_are_those_of_the_weights_and_unknown_where_these_are_gone(tmp_path: Path) -> None:
    for classes, label in ((1000, "tiger shark"), (3, "class 3")):
        weights = tmp_path / f"{classes}.pth"
        torch.save(torchvision.models.squeezenet1_1(num_classes=classes).state_dict(), weights)
        spec = model({"type": "torchvision", "name": "squeezenet1_1", "weights": weights})
        assert spec.preprocessing().label(3) == spec.load("cpu").label(3) == label
        weights.unlink()
        assert spec.preprocessing().label(3) == "class 3"
        assert spec.preprocessing().crop == 224


def test_a_mask_is_cut_as_the_photograph_is() -> None:
    photo = noise(300, 200)
    mask = Image.new("L", photo.size)
    mask.paste(255, (100, 50, 300, 120))
    found = Preprocessing(resize=100, crop=80).preprocess_mask(mask)
    # Half the size; the crop begins 35 pixels from the left and 10 from the top.
    expected = torch.zeros(1, 80, 80)
    expected[:, 15:50, 15:80] = 1
    assert torch.equal(found, expected)


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1)])
def test_a_strip_is_cut_before_it_is_resized(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    resized: list[tuple[int, int]] = []
    plain = Image.Image.resize

    def recording(self: Image.Image, target: tuple[int, int], *args: Any, **kwargs: Any) -> Image.Image:
        resized.append(target)
        return plain(self, target, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", recording)
    x = Preprocessing().preprocess(Image.new("RGB", size, "white"))
    assert x.shape == (3, 224, 224)
    assert x.std((1, 2)).max() == 0
    assert max(map(max, resized)) <= 16 * 256


def test_pixels_come_back_from_the_input() -> None:
    preprocessing = Preprocessing(resize=32, crop=20)
    x = preprocessing.preprocess(noise(32, 32))
    expected = np.asarray(noise(32, 32))[6:26, 6:26].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(preprocessing.to_pixels(x).numpy(), expected, atol=1e-6)
    assert preprocessing.to_pixels(x[None] * 100).amin() == 0
    assert preprocessing.to_pixels(x[None] * 100).amax() == 1


def test_labels_fall_back_to_numbers() -> None:
    named = Preprocessing(labels=["cat"])
    assert [named.label(0), named.label(1)] == ["cat", "class 1"]
    assert Preprocessing().label(7) == "class 7"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_torchs_default_dtype_changes_no_input(dtype: torch.dtype) -> None:
    image, preprocessing = noise(40, 30), Preprocessing(resize=32, crop=20)
    expected = preprocessing.preprocess(image), preprocessing.preprocess_mask(image.convert("L"))
    torch.set_default_dtype(dtype)
    try:
        found = preprocessing.preprocess(image), preprocessing.preprocess_mask(image.convert("L"))
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
