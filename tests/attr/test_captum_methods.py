"""Captum's classes by name: equal to calling Captum, seeded, smaller when memory runs out, clear when misused."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import captum.attr as ca
import numpy as np
import pytest
import torch
from captum.attr._utils.custom_modules import Addition_Module
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, relu
from torchvision import models

from captum_gag.attr.captum_methods import as_maps, captum_method, class_names, square_regions
from captum_gag.attr.catalogue import method, method_class
from captum_gag.batching import smaller_batches, with_less_memory
from captum_gag.errors import InputError
from captum_gag.model_probe import behaviour_of
from captum_gag.models.cifar10 import Cifar10Net
from captum_gag.options import options_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TARGET = [1, 2]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(5 * 4 * 4, 4)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 11, 11, generator=torch.Generator().manual_seed(1))


def leaf(images: torch.Tensor) -> torch.Tensor:
    return images.clone().requires_grad_()


def test_occlusion_of_a_spec_is_captums(model: nn.Module, images: torch.Tensor) -> None:
    spec = {"type": "captum:Occlusion", "sliding_window_shapes": [3, 4, 4], "strides": [3, 2, 2], "baselines": 0.5}
    expected = ca.Occlusion(model).attribute(
        images, sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), baselines=0.5, target=TARGET
    )
    torch.testing.assert_close(method(spec).attribute(model, images, TARGET), expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Saliency", {"abs": False}),
        ("InputXGradient", {}),
        ("IntegratedGradients", {"n_steps": 7, "method": "riemann_left", "baselines": 0.2}),
        ("DeepLift", {"baselines": 0.3}),
        ("DeepLift", {"multiply_by_inputs": False}),
        ("GuidedBackprop", {}),
        ("Deconvolution", {}),
    ],
)
def test_classes_without_layer_are_captums(
    model: nn.Module, images: torch.Tensor, name: str, options: dict[str, Any]
) -> None:
    own = {key: value for key, value in options.items() if key != "multiply_by_inputs"}
    made = getattr(ca, name)(model, **{key: value for key, value in options.items() if key not in own})
    expected = made.attribute(leaf(images), target=TARGET, **own).float()
    torch.testing.assert_close(method(f"captum:{name}", **options).attribute(model, images, TARGET), expected.detach())


def test_features_in_square_regions_are_captums_feature_mask(model: nn.Module, images: torch.Tensor) -> None:
    numbers = [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]
    small = torch.zeros(1, 2, 3, 5)
    assert torch.equal(square_regions(2, small), torch.tensor(numbers).expand(1, 2, 3, 5))
    assert torch.equal(square_regions(1, small)[0, 0], torch.arange(15).reshape(3, 5))
    with pytest.raises(InputError, match="feature_mask is 0, expected the side of square regions"):
        square_regions(0, small)
    mask = square_regions(4, images)
    for name in ("FeatureAblation", "ShapleyValues"):
        mask = square_regions(6, images) if name == "ShapleyValues" else mask
        expected = getattr(ca, name)(model).attribute(images, target=TARGET, feature_mask=mask, baselines=0.1)
        side = 6 if name == "ShapleyValues" else 4
        found = method(f"captum:{name}", feature_mask=side, baselines=0.1).attribute(model, images, TARGET)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["LayerGradCam", "LayerActivation", "LayerGradientXActivation", "LayerConductance"])
def test_layers_are_captums_summed_and_interpolated(model: nn.Module, images: torch.Tensor, name: str) -> None:
    target = {} if name == "LayerActivation" else {"target": TARGET}
    expected = getattr(ca, name)(model, model[3]).attribute(leaf(images), **target).float().sum(1, keepdim=True)
    expected = interpolate(expected, size=(11, 11), mode="bilinear", align_corners=False).detach()
    torch.testing.assert_close(
        method(f"captum:{name}", layer="3").attribute(model, images, TARGET).float(), expected, rtol=1e-4, atol=1e-6
    )


def test_neurons_are_captums(model: nn.Module, images: torch.Tensor) -> None:
    expected = ca.NeuronGradient(model, model[2]).attribute(leaf(images), (1, 2, 3))
    found = method("captum:NeuronGradient", layer="2", neuron_selector=[1, 2, 3]).attribute(model, images, TARGET)
    torch.testing.assert_close(found, expected.detach())


class Times100(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 100 * x


RANDOM: list[tuple[str, dict[str, Any]]] = [
    ("NoiseTunnel", {"attribution_method": "Saliency", "abs": False, "nt_type": "vargrad", "stdevs": 0.2}),
    ("NoiseTunnel", {"attribution_method": "IntegratedGradients", "n_steps": 3, "stdevs": 0.2}),
    ("NoiseTunnel", {"attribution_method": "FeatureAblation", "feature_mask": 4, "stdevs": 0.2}),
    ("GradientShap", {"baselines": 0.1, "stdevs": 0.1}),
    ("ShapleyValueSampling", {"feature_mask": 4, "n_samples": 3}),
    ("KernelShap", {"feature_mask": 4, "n_samples": 20}),
    ("Lime", {"feature_mask": 4, "n_samples": 20}),
]


@pytest.mark.parametrize(("name", "options"), RANDOM)
def test_random_classes_are_captums_at_the_seed_image_by_image(
    model: nn.Module, images: torch.Tensor, name: str, options: dict[str, Any]
) -> None:
    if name in ("KernelShap", "Lime"):
        pytest.importorskip("sklearn")
    chosen = method(f"captum:{name}", **options)
    model = nn.Sequential(model, Times100())  # Lime's Lasso would take small outputs for nothing
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    found = chosen.attribute(model, images, TARGET, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # type: ignore[index]
    torch.testing.assert_close(found[1:], chosen.attribute(model, images[1:], 2, seed=5))
    assert not torch.equal(found, chosen.attribute(model, images, TARGET, seed=6))

    given = dict(options)
    inner = given.pop("attribution_method", None)
    if "feature_mask" in given:
        given["feature_mask"] = square_regions(4, images)
    if "baselines" in given:
        given["baselines"] = torch.full_like(images[:1], given["baselines"])
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = np.random.get_state()
        np.random.seed(5)
        host = getattr(ca, name)(getattr(ca, inner)(model) if inner else model)
        expected = host.attribute(leaf(images[1:]), target=2, **given)
        np.random.set_state(state)
    torch.testing.assert_close(found[1:], expected.detach().to(found.dtype), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [("LayerGradientShap", {"layer": "2"}), ("NeuronGradientShap", {"layer": "2", "neuron_selector": [1, 2, 3]})],
)
def test_random_classes_of_layers_are_the_same_at_the_seed_image_by_image(
    model: nn.Module, images: torch.Tensor, name: str, options: dict[str, Any]
) -> None:
    chosen = method(f"captum:{name}", baselines=0.1, stdevs=0.1, **options)
    before = torch.get_rng_state()
    found = chosen.attribute(model, images, TARGET, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(found[1:], chosen.attribute(model, images[1:], 2, seed=5))
    assert not torch.equal(found, chosen.attribute(model, images, TARGET, seed=6))


def test_permutations_need_other_images(model: nn.Module, images: torch.Tensor) -> None:
    chosen = method("captum:FeaturePermutation", feature_mask=4)
    torch.manual_seed(3)
    expected = ca.FeaturePermutation(model).attribute(
        images, target=TARGET, feature_mask=square_regions(4, images).bool() | True
    )
    assert expected.shape == chosen.attribute(model, images, TARGET, seed=3).shape
    with pytest.raises(InputError, match="exchanges features among the images of a batch; this one has one"):
        chosen.attribute(model, images[:1], 1)


class Small(nn.Module):
    """Runs out of memory for more than some images at a time, or more than that many gradients."""

    def __init__(self, net: nn.Module, most: int) -> None:
        super().__init__()
        self.net, self.most, self.sizes, self.sizes_with_gradient = net, most, [], []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        self.sizes_with_gradient += [len(x)] if x.requires_grad else []
        if len(x) > self.most:
            raise MemoryError("too many images")
        return self.net(x)


MEMORY: list[tuple[str, dict[str, Any]]] = [
    ("DeepSHAP", {"n_references": 7}),
    ("SmoothGrad", {"n_samples": 7}),
    ("VarGrad (Captum)", {"n_samples": 7}),
    ("SG", {"n_samples": 7}),
    ("Sensitivity", {}),
    ("Grad-CAM", {"layer": "net.3"}),
    ("captum:Occlusion", {"sliding_window_shapes": [3, 4, 4]}),
    ("captum:IntegratedGradients", {"n_steps": 9}),
    ("captum:LayerIntegratedGradients", {"n_steps": 9, "layer": "net.2"}),
    ("captum:NoiseTunnel", {"attribution_method": "Saliency", "nt_samples": 9, "stdevs": 0.1}),
    ("captum:GradientShap", {"baselines": "random", "n_samples": 7}),
    ("captum:ShapleyValueSampling", {"feature_mask": 4, "n_samples": 2}),
    ("captum:FeatureAblation", {"feature_mask": 4}),
]


@pytest.mark.parametrize(("name", "options"), MEMORY, ids=[name for name, _ in MEMORY])
def test_less_memory_gives_the_same_map(
    model: nn.Module, images: torch.Tensor, name: str, options: dict[str, Any]
) -> None:
    chosen = method(name, **options)
    whole = chosen.attribute(Small(model, 10**6), images, TARGET, seed=2)
    # DeepLIFT takes the image and a reference at once.
    small = Small(model, 2 if "Deep" in name else 1)
    found = with_less_memory(lambda: chosen.attribute(small, images, TARGET, seed=2))
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-6)
    assert max(small.sizes) > small.most  # it did fail at first


def test_what_cannot_get_smaller_fails_after_each_size_once(model: nn.Module, images: torch.Tensor) -> None:
    for name in ("DeepSHAP", "SmoothGrad", "captum:Saliency"):
        small = Small(model, 0)
        with pytest.raises(MemoryError):
            with_less_memory(lambda name=name, small=small: method(name).attribute(small, images[:1], 0))  # type: ignore[misc]
        assert len(set(small.sizes_with_gradient)) == len(small.sizes_with_gradient), name


def test_every_class_is_offered_with_its_options() -> None:
    names = class_names()
    assert {"Occlusion", "ShapleyValueSampling", "LayerGradCam", "KernelShap", "NoiseTunnel"} <= set(names)
    assert not {"LLMAttribution", "LimeBase", "DataLoaderAttribution"} & set(names)
    for name in names:
        cls = method_class(f"captum:{name}")
        assert str(cls.__doc__).splitlines()[0].endswith((".", "...")), name
        for option in options_of(cls):
            assert option.help, (name, option)
            assert not callable(option.default)


# LayerFeaturePermutation fails in Captum 0.9 itself; LRP knows no rule for nn.Flatten.
LAYERS = [name for name in class_names() if name.startswith(("Layer", "Neuron", "Guided"))]


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("LayerFeaturePermutation", "LayerLRP")])
def test_every_class_with_a_layer_runs(model: nn.Module, images: torch.Tensor, name: str) -> None:
    given = {"layer": "2", "neuron_selector": (0, 1, 1), "baselines": 0.0, "n_samples": 3, "n_steps": 3}
    taken = {each.name for each in options_of(method_class(f"captum:{name}"))}
    required = {each.name for each in options_of(method_class(f"captum:{name}")) if each.required}
    assert required <= set(given)
    chosen = method(f"captum:{name}", **{key: value for key, value in given.items() if key in taken})
    found = chosen.attribute(model, images, TARGET)
    assert found.shape in (images.shape, (2, 1, 11, 11))
    assert bool(found.isfinite().all())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "captum:Occlusion"}, "captum:Occlusion needs sliding_window_shapes: Shape of patch"),
        ({"type": "captum:LayerGradCam"}, "captum:LayerGradCam needs layer: Name of a module"),
        ({"type": "captum:GradientShap"}, 'captum:GradientShap needs baselines: .*"random"'),
        ({"type": "captum:NoiseTunnel"}, "captum:NoiseTunnel needs attribution_method: Class of captum.attr"),
        ({"type": "captum:Saliency", "abz": True}, "captum:Saliency: unknown option 'abz'; did you mean abs"),
        (
            {"type": "captum:Occlusion", "sliding_window_shape": 3, "sliding_window_shapes": [3, 2, 2]},
            "did you mean sliding_window_shapes",
        ),
        ({"type": "captum:IntegratedGradients", "n_steps": "3"}, "n_steps is '3', expected a valid integer"),
        ({"type": "captum:IntegratedGradients", "n_steps": 2**70}, "n_steps is inf, expected a valid integer"),
        ({"type": "DeepSHAP", "n_references": 10**400}, "n_references is inf, expected a valid integer"),
        ({"type": "captum:IntegratedGradients", "baselines": "train"}, "baselines is 'train', expected"),
        ({"type": "captum:Oclusion", "strides": 3}, "unknown class of captum.attr 'Oclusion'; did you mean Occlusion"),
        ({"type": "captum:NoiseTunnel", "attribution_method": "NoiseTunnel"}, "cannot explain with itself"),
        (
            {"type": "captum:NoiseTunnel", "attribution_method": "Saliency", "n_steps": 3},
            "unknown option 'n_steps'; .*abs",
        ),
        ({"type": "captum:LimeBase"}, "unknown class of captum.attr 'LimeBase'; did you mean Lime"),
    ],
)
def test_what_a_class_needs_is_one_clear_line(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        method(spec)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_the_image_is_one_clear_line(model: nn.Module, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="captum:Occlusion: Occlusion shape for input index 0"):
        method("captum:Occlusion", sliding_window_shapes=(3, 3)).attribute(model, images, TARGET)
    with pytest.raises(InputError, match=r"no layer 'layer4'; its outermost ones are 0, 1"):
        method("captum:LayerGradCam", layer="layer4").attribute(model, images, TARGET)
    with pytest.raises(InputError, match=r"LayerActivation gives attributions \(2, 80\), expected \(N, channels"):
        method("captum:LayerActivation", layer="4").attribute(model, images, TARGET)
    with pytest.raises(InputError, match=r"captum:LRP: Module of type .*Flatten"):
        method("captum:LRP").attribute(model, images, TARGET)


def test_lrp_is_captums(model: nn.Module, images: torch.Tensor) -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = model[:4], model[5]  # type: ignore[index]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features(x).flatten(1))  # type: ignore[no-any-return]

    expected = ca.LRP(Functional()).attribute(leaf(images), target=TARGET).detach()
    torch.testing.assert_close(method("captum:LRP").attribute(Functional(), images, TARGET), expected)
    layer = ca.LayerLRP(Functional(), model[2]).attribute(leaf(images), target=TARGET).sum(1, keepdim=True)  # type: ignore[index]
    expected = interpolate(layer, size=(11, 11), mode="bilinear", align_corners=False).detach()
    found = method("captum:LayerLRP", layer="features.2").attribute(Functional(), images, TARGET)
    torch.testing.assert_close(found, expected)


class TestReferences:
    def test_deep_shap_sums_to_the_difference_from_its_references_and_repeats(
        self, model: nn.Module, images: torch.Tensor
    ) -> None:
        chosen = method("DeepSHAP", n_references=5)
        first = chosen.attribute(model, images, TARGET, seed=3)
        assert torch.equal(first, chosen.attribute(model, images, TARGET, seed=3))
        noise = torch.rand(5, 3, 11, 11, generator=torch.Generator().manual_seed(3))
        for row, target in enumerate(TARGET):
            lowest, highest = images[row].min(), images[row].max()
            with torch.no_grad():
                references = model(lowest + noise * (highest - lowest))[:, target].mean()
                difference = model(images[[row]])[0, target] - references
            assert first[row].sum().item() == pytest.approx(difference.item(), rel=2e-2, abs=2e-3)

    @pytest.mark.parametrize("what", ["train", "some/folder"])
    def test_images_of_a_data_set(self, model: nn.Module, images: torch.Tensor, what: str) -> None:
        asked = []

        def fetch(name: str, n: int) -> torch.Tensor:
            asked.append((name, n))
            return torch.rand(n, 3, 11, 11, generator=torch.Generator().manual_seed(9))

        chosen = method("DeepSHAP", baselines=what, n_references=4)
        with pytest.raises(InputError, match=r"call prepare\(images\) first"):
            chosen.attribute(model, images, TARGET)
        chosen.prepare(fetch)
        assert asked == [(what, 4)]
        expected = ca.DeepLiftShap(model).attribute(leaf(images), fetch("", 4), target=TARGET)
        torch.testing.assert_close(chosen.attribute(model, images, TARGET), expected.detach())

    def test_one_colour_is_deep_lift(self, model: nn.Module, images: torch.Tensor) -> None:
        expected = ca.DeepLift(model).attribute(leaf(images), 0.4, target=TARGET).detach()
        torch.testing.assert_close(method("DeepSHAP", baselines=0.4).attribute(model, images, TARGET), expected)

    def test_a_method_without_references_asks_for_none(self) -> None:
        for name in ("GAG-85", "DeepSHAP", "captum:Saliency", "SG^R"):
            method(name).prepare(lambda *_: pytest.fail("asked for images"))  # type: ignore[arg-type, return-value]


def test_sensitivity_is_the_largest_magnitude_over_channels(model: nn.Module, images: torch.Tensor) -> None:
    gradients = ca.Saliency(model).attribute(leaf(images), target=TARGET, abs=True)
    found = method("Sensitivity").attribute(model, images, TARGET)
    assert found.shape == (2, 1, 11, 11)
    assert torch.equal(found[:, 0], gradients.max(1).values)


def test_smaller_batches_are_used_where_asked_for(model: nn.Module, images: torch.Tensor) -> None:
    watched = Small(model, 10**6)
    behaviour_of(watched, (images,))
    behaviour_of(watched, (images[:1],))
    watched.sizes.clear()
    with smaller_batches(1e-9):
        method("captum:Occlusion", sliding_window_shapes=(3, 4, 4)).attribute(watched, images, TARGET)
    assert set(watched.sizes) == {1}
    watched.sizes.clear()
    method("captum:Occlusion", sliding_window_shapes=(3, 4, 4), perturbations_per_eval=3).attribute(
        watched, images[:1], 1
    )
    assert max(watched.sizes) == 3


class TestDeepTaylor:
    @pytest.fixture(scope="class")
    def net(self) -> nn.Module:
        torch.manual_seed(0)
        net = Cifar10Net().eval()
        # Statistics as after some training: the folded biases are then not 0.
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2)
                module.bias.data.uniform_(-0.2, 0.2)
        return net

    @pytest.fixture
    def photos(self) -> torch.Tensor:
        return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def test_one_linear_layer_by_hand(self) -> None:
        layer = nn.Linear(4, 2, bias=False)
        layer.weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
        net = nn.Sequential(nn.Flatten(), layer).eval()
        x = torch.tensor([[[[1.0, 1.0], [0.5, 2.0]]]])
        # R_j = x_j w_j+ / sum_k x_k w_k+ times the output 1 - 2 + 1.5 = 0.5
        expected = torch.tensor([[[[1 / 2.5, 0.0], [1.5 / 2.5, 0.0]]]]) * 0.5
        torch.testing.assert_close(method("Deep Taylor").attribute(net, x, 0), expected)

    def test_it_keeps_the_score_and_has_one_sign(self, net: nn.Module, photos: torch.Tensor) -> None:
        found = method("Deep Taylor").attribute(net.double(), photos.double(), TARGET)
        scores = net(photos.double())[[0, 1], TARGET]
        net.float()
        torch.testing.assert_close(found.sum((1, 2, 3)), scores.detach(), rtol=1e-4, atol=1e-6)
        assert bool((found * scores.sign()[:, None, None, None] >= 0).all())

    def test_it_leaves_the_model_alone_and_refuses_what_it_cannot_explain(
        self, net: nn.Module, photos: torch.Tensor
    ) -> None:
        before = {name: value.clone() for name, value in net.state_dict().items()}
        method("Deep Taylor").attribute(net, photos, 0)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert not any(hasattr(module, "rule") for module in net.modules())
        unknown = nn.Sequential(nn.Conv2d(3, 2, 1), nn.SiLU(), nn.Flatten()).eval()
        with pytest.raises(InputError, match="Deep Taylor has no rule for a layer"):
            method("Deep Taylor").attribute(unknown, photos, 0)


def test_captums_own_smooth_grad_scales_noise_by_each_image(model: nn.Module, images: torch.Tensor) -> None:
    with torch.random.fork_rng(), warnings.catch_warnings():
        torch.manual_seed(5)
        expected = ca.NoiseTunnel(ca.Saliency(model)).attribute(
            images[1:], nt_samples=4, stdevs=0.15 * float(images[1].max() - images[1].min()), target=2, abs=False
        )
    result = method("SmoothGrad", n_samples=4).attribute(model, images, TARGET, seed=5)
    torch.testing.assert_close(result[1:], expected)


def network(shape: tuple[int, ...]) -> nn.Module:
    convolution = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}.get(len(shape))
    torch.manual_seed(0)
    first = nn.Linear(shape[0], 5) if convolution is None else convolution(shape[0], 4, 3)
    features = int(first(torch.zeros(1, *shape)).numel())
    return nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(features, 4)).eval()


SHAPES = {"signals": (3, 12), "images": (3, 6, 7), "volumes": (2, 4, 5, 6), "tables": (10,)}
ANY_SHAPE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Saliency", {"abs": False}, {"abs": False}),
    ("InputXGradient", {}, {}),
    ("DeepLift", {"baselines": 0.3}, {"baselines": 0.3}),
    ("FeatureAblation", {"feature_mask": 3}, {"feature_mask": None}),
]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(("name", "options", "given"), ANY_SHAPE, ids=[each[0] for each in ANY_SHAPE])
def test_inputs_of_any_number_of_axes_are_captums(
    kind: str, name: str, options: dict[str, Any], given: dict[str, Any]
) -> None:
    net, inputs = network(SHAPES[kind]), torch.rand(2, *SHAPES[kind], generator=torch.Generator().manual_seed(0))
    if "feature_mask" in given:
        given = {"feature_mask": square_regions(3, inputs)}
    expected = getattr(ca, name)(net).attribute(leaf(inputs), target=TARGET, **given).detach()
    torch.testing.assert_close(method(f"captum:{name}", **options).attribute(net, inputs, TARGET), expected)


@pytest.mark.parametrize("name", ["DeepSHAP", "SmoothGrad", "Sensitivity", "Deep Taylor", "GB"])
@pytest.mark.parametrize("kind", SHAPES)
def test_the_papers_methods_explain_inputs_of_any_number_of_axes(kind: str, name: str) -> None:
    net, inputs = network(SHAPES[kind]), torch.rand(2, *SHAPES[kind], generator=torch.Generator().manual_seed(0))
    found = method(name).attribute(net, inputs, TARGET)
    per_position = inputs[:, :1].shape if name == "Sensitivity" and kind != "tables" else inputs.shape
    assert found.shape == per_position
    assert bool(found.isfinite().all())


@pytest.mark.parametrize(
    ("shape", "numbers"),
    [
        ((1, 2, 5), [0, 0, 1, 1, 2]),
        ((1, 5), [0, 0, 1, 1, 2]),
        ((1, 1, 2, 2, 3), [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]),
    ],
)
def test_regions_of_signals_tables_and_volumes(shape: tuple[int, ...], numbers: list[int]) -> None:
    mask = square_regions(2, torch.zeros(shape))
    assert mask.shape == (1, *shape[1:])
    for channel in mask.reshape(-1, len(numbers)):
        assert channel.tolist() == numbers


class Segments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["SmoothGrad", "DeepSHAP", "Deep Taylor", "captum:InputXGradient", "captum:DeepLift"])
def test_targets_of_outputs_with_further_axes_are_those_of_the_chosen_place_alone(
    images: torch.Tensor, name: str
) -> None:
    torch.manual_seed(0)
    found = method(name).attribute(Segments().eval(), images, [(1, 2, 2), (3, 6, 6)])
    assert bool(found.any())
    # A place sees 3 x 3 pixels.
    outside = found.clone()
    outside[0, :, 2:5, 2:5] = 0
    outside[1, :, 6:9, 6:9] = 0
    assert not bool(outside.any())


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU()
        self.head = nn.Linear(4 * 49, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.second(self.relu(self.first(x)))).flatten(1))  # type: ignore[no-any-return]


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(363, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x if float(x.detach().sum()) > 0 else -x).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "build", "message"),
    [
        ("captum:DeepLift", Reused, "captum:DeepLift: "),
        ("DeepSHAP", Reused, "captum:DeepLiftShap: "),
        (
            "captum:LRP",
            lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(), nn.Flatten()),
            "captum:LRP: Module of type",
        ),
        ("Deep Taylor", lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(), nn.Flatten()), "Deep Taylor has no rule"),
        ("Deep Taylor", Branches, "Deep Taylor needs a model that torch.fx can trace"),
    ],
)
def test_what_captum_cannot_explain_is_one_clear_line_and_leaves_no_hook(
    images: torch.Tensor, name: str, build: Any, message: str
) -> None:
    net = build().eval()
    with pytest.raises(InputError, match=message) as caught:
        method(name).attribute(net, images, TARGET)
    assert "\n" not in str(caught.value)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_an_error_of_the_model_itself_stays_the_models(images: torch.Tensor) -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyError("weights of the second stage")

    for name in ("captum:Saliency", "DeepSHAP", "SmoothGrad"):
        with pytest.raises(KeyError, match="second stage"):
            method(name).attribute(Failing(), images, TARGET)


class OneActivation(nn.Module):
    """Has an activation for which Captum has no rule of DeepLIFT."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation, self.head = activation, nn.Linear(4, 2, bias=False)
        nn.init.ones_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.activation(x).flatten(1))


@pytest.mark.parametrize(("activation", "complete"), [(nn.ReLU(), True), (nn.ReLU6(), False)], ids=["ReLU", "ReLU6"])
def test_deep_lift_says_where_it_does_not_add_up(activation: nn.Module, complete: bool) -> None:
    # ReLU6 is flat at 9, so its plain gradient gives nothing of f(9) - f(0) = 24; ReLU's rule gives all of 36.
    inputs = torch.full((1, 1, 2, 2), 9.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = method("captum:DeepLift").attribute(OneActivation(activation), inputs, 0)
    assert float(found.sum()) == (36.0 if complete else 0.0)
    assert any("add up" in str(each.message) for each in caught) is not complete


class Residual(nn.Module):
    """Two branches that are joined, a convolution, a pooling and a head, with biases; ReLUs are functions."""

    def __init__(self, join: Any, pool: Any = None, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.join, self.norm, self.scale = join, nn.BatchNorm2d(4), scale
        self.third, self.pool, self.head = nn.LazyConv2d(4, 3), pool or nn.AdaptiveAvgPool2d(2), nn.Linear(16, 4)
        self.norm.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr, operator]
        self.eval()(torch.rand(1, 3, 11, 11))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = relu(self.first(x))
        x = relu(self.third(relu(self.join(x, self.norm(self.second(x))))))
        return self.head(self.pool(x).flatten(1)) * self.scale  # type: ignore[no-any-return]


def no_join(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return y


def concatenated(*branches: torch.Tensor) -> torch.Tensor:
    return torch.cat(branches, 1)


def without_biases(net: nn.Module) -> nn.Module:
    net = copy.deepcopy(net)
    for name, values in net.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            values.zero_()
    return net


# Whether LRP adds up, and deep Taylor, in whose traced copy Captum's module for additions is an addition again.
SUMS: dict[str, tuple[Callable[[], nn.Module], bool, bool]] = {
    "one branch": (lambda: Residual(no_join), True, True),
    "concatenation": (lambda: Residual(lambda x, y: concatenated(y, y)), True, True),
    "concatenation with a shortcut": (lambda: Residual(concatenated), False, False),
    "addition": (lambda: Residual(torch.add), False, False),
    "Captum's addition": (lambda: Residual(Addition_Module()), True, False),
    "functional pooling": (lambda: Residual(no_join, pool=partial(adaptive_avg_pool2d, output_size=2)), False, True),
    "temperature": (lambda: Residual(no_join, scale=0.5), False, False),
    "squeezenet1_1": (lambda: models.squeezenet1_1(num_classes=4), True, True),
    "resnet18": (lambda: models.resnet18(num_classes=4), False, False),
}


@pytest.mark.parametrize("name", SUMS)
def test_relevance_says_where_it_does_not_add_up_but_for_biases(name: str) -> None:
    build, *complete = SUMS[name]
    torch.manual_seed(0)
    net, images = build().eval(), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for chosen, sums in zip(("captum:LRP", "Deep Taylor"), complete, strict=True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            method(chosen).attribute(net, images, TARGET)
        assert any("relevance misses more than a hundredth" in str(each.message) for each in caught) is not sums
        unbiased = without_biases(net)
        relevance, scores = method(chosen).attribute(unbiased, images, TARGET), unbiased(images)[[0, 1], TARGET]
        assert torch.allclose(relevance.sum((1, 2, 3)), scores, rtol=0.01, atol=1e-6) is sums


@pytest.mark.parametrize("join", [torch.add, Addition_Module()], ids=["addition", "Captum's addition"])
def test_relevance_of_a_layer_and_of_noisy_images_says_it_too(join: Any, images: torch.Tensor) -> None:
    # The addition gives all relevance to each of its branches, so that the layer's sum is right.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        method("captum:LayerLRP", layer="second").attribute(Residual(join), images, TARGET)
        method("captum:NoiseTunnel", attribution_method="LRP", nt_samples=2).attribute(Residual(join), images, TARGET)
    names = {str(each.message).split(": ")[0] for each in caught if "relevance misses" in str(each.message)}
    assert names == ({"captum:LayerLRP", "captum:NoiseTunnel"} if join is torch.add else set())


def test_an_attribution_that_is_not_finite_is_said() -> None:
    def root(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.flatten(1).sum(1), x.flatten(1).sqrt().sum(1)], 1)

    # The slope of a root is infinite at 0; the other image has none there.
    inputs = torch.stack([torch.zeros(1, 2, 2), torch.full((1, 2, 2), 4.0)])
    with pytest.warns(UserWarning, match="The attributions of 1 of 2 examples have a NaN or an infinity"):
        found = method("captum:Saliency").attribute(root, inputs, 1)
    torch.testing.assert_close(found[1], torch.full((1, 2, 2), 0.25))


def test_a_map_may_be_four_times_as_coarse_along_one_axis_as_along_another() -> None:
    images = torch.zeros(1, 3, 8, 16)
    torch.testing.assert_close(as_maps(torch.ones(1, 2, 8, 4), images, "it"), torch.full((1, 1, 8, 16), 2.0))
    with pytest.raises(InputError, match=r"it gives attributions .*, in proportion to inputs"):
        as_maps(torch.ones(1, 2, 8, 3), images, "it")


def test_options_that_must_be_given_come_first_of_a_class_inside_another_too() -> None:
    required = [each.required for each in options_of(captum_method("NoiseTunnel", "Occlusion"))]
    assert required == sorted(required, reverse=True)
    assert any(required)
