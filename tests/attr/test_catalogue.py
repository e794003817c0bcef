"""Names become specs in one place, specs become methods; every name runs; what is misspelt is answered."""

from __future__ import annotations

import inspect
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
    BlurPath,
    GaussianNoise,
    GuidedAbsoluteGrad,
    GuidedIG,
    GuidedMean,
    Mean,
    SampledGradients,
    Samples,
    absolute,
    guided_backpropagation,
    positive,
)
from captum_gag.attr.catalogue import method, method_class, options_of_spec
from captum_gag.attr.feature_grids import Activations
from captum_gag.attr.grad_cam import last_layer
from captum_gag.attr.methods import shared_gradients
from captum_gag.errors import InputError
from captum_gag.names import FAMILIES, METHOD_TYPES, METHODS, parse_method
from captum_gag.options import options_of

TARGET = [0, 1, 2]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6, 4)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def sampled(name: str, n: int) -> Any:
    """Build a method of the catalogue with so many samples or references, where it takes any."""
    taken = options_of_spec(parse_method(name)) & {"n_samples", "n_references"}
    return method(name, **dict.fromkeys(taken, n))


@pytest.mark.parametrize("name", list(METHODS))
def test_every_entry_runs_and_is_the_same_one_by_one(model: nn.Module, images: torch.Tensor, name: str) -> None:
    entry = sampled(name, 4)
    state = torch.get_rng_state()
    result = entry.attribute(model, images, TARGET, seed=0)
    assert result.shape in (images.shape, (3, 1, 12, 12))
    assert bool(result.isfinite().all())
    assert not result.requires_grad
    alone = entry.attribute(model, images[1:2], 1, seed=0)
    torch.testing.assert_close(result[1:2], alone, rtol=1e-3, atol=1e-7)
    assert torch.equal(result, sampled(name, 4).attribute(model, images, TARGET, seed=0))
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


@pytest.mark.parametrize("name", METHODS)
def test_every_entry_says_in_one_line_what_it_is(name: str) -> None:
    assert all(METHODS[name])
    assert len(METHODS[name].summary) < 80


def test_the_parts_of_a_method() -> None:
    parts = {name: method(name).parts for name in ("GAG-45", "GB+", "Blur IG-GA")}  # type: ignore[attr-defined]
    assert parts["GAG-45"] == (GaussianNoise(), absolute, GuidedMean(45.0), None)
    assert parts["GB+"] == (GaussianNoise(), positive, Mean(), guided_backpropagation)
    assert parts["Blur IG-GA"] == (BlurPath(20), absolute, GuidedMean(), None)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "spec"),
        [
            ("GAG-85", {"type": "GAG", "percentile": 85.0}),
            ("gag-70.5", {"type": "GAG", "percentile": 70.5}),
            ("SG-GA70", {"type": "SG", "interpretation": "absolute", "aggregation": "guided", "percentile": 70.0}),
            ("SG-G25", {"type": "SG", "aggregation": "guided", "percentile": 25.0}),
            ("IG+", {"type": "IG", "interpretation": "positive"}),
            ("blur ig-", {"type": "Blur IG", "interpretation": "negative"}),
            ("Grad-CAM:layer4.1", {"type": "Grad-CAM", "layer": "layer4.1"}),
            ("gradcam:layer4", {"type": "Grad-CAM", "layer": "layer4"}),
            ("Random:07", {"type": "Random", "seed": 7}),
            ("SG^R", {"of": "SG", "transform": "reverse"}),
            ("sg-R", {"of": "SG", "transform": "reverse"}),
            ("Guided IG+^r", {"of": "Guided IG+", "transform": "reverse"}),
            ("gag-85^SHARP", {"of": "GAG-85", "transform": "sharpen"}),
            ("SG^binary", {"of": "SG", "transform": "binarise"}),
            ("SG^R^pixel", {"of": "SG^R", "transform": "one_pixel"}),
            ("GAG", {"type": "GAG"}),
            ("captum:Occlusion", {"type": "captum:Occlusion"}),
            ("package.module:callable", {"type": "package.module:callable"}),
        ],
    )
    def test_a_name_is_a_spec(self, name: str, spec: dict[str, Any]) -> None:
        assert parse_method(name) == spec

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("gag-85", "GAG-85"),
            ("GuidedIG", "Guided IG"),
            ("blurig-ga", "Blur IG-GA"),
            ("Blur IG-GA85", "Blur IG-GA"),
            ("vanilla gradient", "VG"),
            ("edge", "Sobel"),
            ("gradient X input", "Gradient x Input"),
        ],
    )
    def test_they_are_forgiving(self, given: str, name: str) -> None:
        assert parse_method(given) | {"percentile": 0} == parse_method(name) | {"percentile": 0}

    def test_a_type_is_its_own_name(self) -> None:
        for name in METHOD_TYPES:
            assert parse_method(parse_method(name)["type"])["type"] == parse_method(name)["type"]

    @pytest.mark.parametrize("name", ["SGG", "GAG-101", "IG:layer", "SG-A50", "", "Grad-CAMM", "SGG^R", "GAG-85^shrp"])
    def test_unknown_ones_are_answered_with_close_ones(self, name: str) -> None:
        with pytest.raises(InputError, match=r"unknown method '.*'; .*[Ee]xpected [\w-]+") as caught:
            method(name)
        assert "\n" not in str(caught.value)
        if name == "SGG":
            assert "did you mean SG" in str(caught.value)


class TestSpecs:
    def test_name_dict_and_options_are_the_same(self, model: nn.Module, images: torch.Tensor) -> None:
        expected = method("GAG-70", n_samples=4).attribute(model, images, TARGET)
        for made in (
            method({"type": "GAG", "percentile": 70, "n_samples": 4}),
            method({"type": "GAG-70", "n_samples": 4}),
            method({"type": "GAG", "percentile": 30}, percentile=70.0, n_samples=np.int64(4)),
            method("SG", interpretation="absolute", aggregation="guided", percentile=70, n_samples=4),
        ):
            assert torch.equal(made.attribute(model, images, TARGET), expected)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"type": "SG", "n_sample": 50}, "SG: unknown option 'n_sample'; did you mean n_samples"),
            ({"type": "Guided IG", "fraction": 0}, "Guided IG: fraction is 0, expected greater than 0"),
            ({"type": "GAG", "percentile": 101}, "GAG: percentile is 101, expected less than or equal to 100"),
            ({"type": "GAG", "guide": "papers"}, "GAG: guide is 'papers', expected 'paper' or 'relative'"),
            ({"type": "GAG", "aggregation": "mean"}, "GAG: unknown option 'aggregation'"),
            ({"nam": "SG"}, "has no type; expected a name"),
            ({"type": 3}, "has no type; expected a name"),
            ({"of": "SG", "transform": "revers"}, "unknown transform 'revers'; did you mean reverse"),
            ({"of": "SG"}, "unknown transform None; expected reverse"),
            ({"of": 3, "transform": "reverse"}, "of is 3, expected an instance of Method"),
            ({"of": "SGG", "transform": "reverse"}, "unknown method 'SGG'"),
            ({"of": "SG", "transform": "sharpen", "retain": 0.1}, "Sharpen: unknown option 'retain'"),
            ({"of": "SG", "transform": "reverse", "retain": 0.5, "swap": 0.3}, "do not overlap"),
            ({"type": "SG", "percentile": 85.0}, 'SG: percentile has no effect with aggregation "mean"; leave it out'),
            ({"type": "VarGrad", "guide": "paper"}, 'guide has no effect with aggregation "variance"'),
            ({"type": "GAG", "stdevs": 0.1, "noise_level": 0.15}, "noise_level has no effect where stdevs is given"),
            ({"type": "VarGrad", "n_samples": 1}, 'aggregation "variance" needs n_samples of at least 2'),
        ],
    )
    def test_what_has_no_meaning_is_one_line(self, spec: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            method(spec)
        assert "\n" not in str(caught.value)

    def test_one_sample_is_enough_without_a_variance(self, model: nn.Module, images: torch.Tensor) -> None:
        assert method("GAG-0", n_samples=1).attribute(model, images, TARGET).shape == images.shape

    def test_options_of_the_original_go_through_a_transform(self) -> None:
        made: Any = method("SG^R", n_samples=7, retain=0.2)
        assert (made.of.n_samples, made.retain) == (7, 0.2)
        assert options_of_spec(parse_method("SG^R")) >= {"n_samples", "retain", "swap"}
        guided: Any = method("SG^R", aggregation="guided", percentile=70, retain=0.2)
        assert (guided.of.percentile, guided.retain) == (70, 0.2)
        deep: Any = method("SG^R^sharp", n_samples=7, swap=0.2, power=2)
        assert (deep.of.of.n_samples, deep.of.swap, deep.power) == (7, 0.2, 2)

    def test_options_are_those_of_the_signature(self) -> None:
        listed = {name: options_of(method_class(name)) for name in METHOD_TYPES}
        assert [each.name for each in listed["GAG"]] == [
            *("nt_samples", "stdevs", "noise_level", "percentile", "guide", "seed", "guide_window")
        ]
        assert {each.name: each.range for each in listed["GAG"]}["percentile"] == ">= 0, <= 100"
        parameters = inspect.signature(GuidedAbsoluteGrad.attribute).parameters
        for each in listed["GAG"]:
            assert parameters[each.name].default == each.default
        for name, options in listed.items():
            assert all(each.help and each.help != "See the docstring." for each in options), name
            made = method_class(name)()
            assert {each.name: each.default for each in options} == made.options()

    def test_n_samples_is_the_number_of_gradients_whatever_a_class_calls_it(self) -> None:
        assert method("GAG-85", n_samples=7).options()["nt_samples"] == 7
        assert method("captum:IntegratedGradients", n_samples=7).options()["n_steps"] == 7
        with pytest.raises(InputError, match="Sobel: unknown option 'n_samples'"):
            method("Sobel", n_samples=7)

    def test_a_seed_of_its_own_counts_more(self, model: nn.Module, images: torch.Tensor) -> None:
        for name in ("GAG-85", "SG", "Random", "SmoothGrad"):
            own = method(name, seed=5)
            expected = method(name).attribute(model, images, TARGET, seed=5)
            assert torch.equal(own.attribute(model, images, TARGET, seed=1), expected)


def captums_noise_tunnel(model: nn.Module, image: torch.Tensor, nt_type: str, samples: int) -> torch.Tensor:
    torch.manual_seed(7)
    return NoiseTunnel(Saliency(model)).attribute(
        image, nt_type=nt_type, nt_samples=samples, stdevs=0.2, target=0, abs=False
    )


@pytest.mark.parametrize(
    ("name", "nt_type"), [("SG", "smoothgrad"), ("SG-SQ", "smoothgrad_sq"), ("VarGrad", "vargrad")]
)
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

    parts = method(name).parts
    assert parts is not None
    sampler = SampledGradients(model, SameNoise(), parts.interpretation, parts.aggregation)
    ours = sampler.attribute(images[:1].double(), target=0)
    model.float()
    factor = 6 / 5 if nt_type == "vargrad" else 1.0  # Captum divides by n, the unbiased variance by n - 1
    torch.testing.assert_close(ours, host * factor, rtol=1e-6, atol=1e-12)


def test_the_mean_square_of_a_curve_is_known() -> None:
    # Of 2 x + 3/2 x^2 the noisy gradient is 2 + 3 (x + 0.5 z): its mean square (2 + 3 x)^2 + 9 * 0.25.
    x = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = method("SG-SQ", n_samples=6000, stdevs=0.5).attribute(
        lambda x: (2 * x + 1.5 * x**2).flatten(1).sum(1, keepdim=True).expand(-1, 2),  # type: ignore[arg-type]
        x,
        0,
    )
    torch.testing.assert_close(found, (2 + 3 * x) ** 2 + 2.25, rtol=0.08, atol=0)


def test_expected_gradients_of_a_curve_are_known_and_add_up() -> None:
    # Of x^2 / 2 from b: the mean of (x - b) (b + t (x - b)) over t in [0, 1] is (x^2 - b^2) / 2.
    x = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    curve = lambda x: (0.5 * x**2).flatten(1).sum(1, keepdim=True).expand(-1, 2)  # noqa: E731
    found = method("Expected Gradients", baselines=-0.5, n_samples=20_000).attribute(curve, x, 0)  # type: ignore[arg-type]
    torch.testing.assert_close(found, (x**2 - 0.25) / 2, rtol=0, atol=0.02)
    colours = method("Expected Gradients", n_references=200, n_samples=20_000).attribute(curve, x, 0)  # type: ignore[arg-type]
    lowest, highest = x.min(), x.max()
    mean_square = (highest**3 - lowest**3) / (3 * (highest - lowest))
    torch.testing.assert_close(colours, (x**2 - mean_square) / 2, rtol=0, atol=0.06)


def test_variance_stays_right_where_captums_goes_negative() -> None:
    # A steep plane with a slight curve: gradients of 1e3 that vary by 1e-2.
    def steep(x: torch.Tensor) -> torch.Tensor:
        return (1e3 * x + 0.05 * x**2).flatten(1).sum(1, keepdim=True)

    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    host = NoiseTunnel(Saliency(steep)).attribute(x, nt_type="vargrad", nt_samples=50, stdevs=0.1, target=0, abs=False)
    assert bool((host < 0).any())
    ours = method("VarGrad", n_samples=4000).attribute(steep, x, 0)  # type: ignore[arg-type]
    noise = 0.15 * float(x.max() - x.min())
    np.testing.assert_allclose(ours.mean().item(), (0.1 * noise) ** 2, rtol=0.05)
    assert bool((ours >= 0).all())


def test_rows_are_the_classes(model: nn.Module, images: torch.Tensor) -> None:
    def same(name: str, expected: torch.Tensor) -> None:
        torch.testing.assert_close(sampled(name, 6).attribute(model, images, TARGET, seed=3), expected)

    gag = GuidedAbsoluteGrad(model)
    same("GAG-45", gag.attribute(images, target=TARGET, nt_samples=6, percentile=45, seed=3))
    same("SG-GA", gag.attribute(images, target=TARGET, nt_samples=6, percentile=85, seed=3))
    same("GAG-0", method("SG-A", n_samples=6).attribute(model, images, TARGET, seed=3))
    same("Guided IG", GuidedIG(model).attribute(images, target=TARGET, n_steps=6))
    same("Blur IG", BlurIG(model).attribute(images, target=TARGET, n_steps=6))
    # Captum 0.7 gives double precision for single.
    same("IG", IntegratedGradients(model).attribute(images, target=TARGET, n_steps=6).float())
    leaf = images.clone().requires_grad_()
    same("Saliency", Saliency(model).attribute(leaf, target=TARGET))
    same("VG", Saliency(model).attribute(leaf, target=TARGET, abs=False))
    same("Gradient x Input", (images * Saliency(model).attribute(leaf, target=TARGET, abs=False)).detach())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same("GB", GuidedBackprop(model).attribute(leaf, target=TARGET).detach())
    cam = LayerGradCam(model, model[3]).attribute(images, target=TARGET, relu_attributions=True)  # type: ignore[index]
    same("Grad-CAM:3", LayerAttribution.interpolate(cam, (12, 12), "bilinear").detach())
    same("Grad-CAM", LayerAttribution.interpolate(cam, (12, 12), "bilinear").detach())


class TestOptionsHaveAnEffect:
    """Each option against the class of parts that has it, or Captum's."""

    @pytest.mark.parametrize(
        ("name", "host", "options"),
        [
            ("GAG", GuidedAbsoluteGrad, {"guide": "relative", "percentile": 60}),
            ("GAG", GuidedAbsoluteGrad, {"noise_level": 0.4}),
            ("GAG", GuidedAbsoluteGrad, {"stdevs": 0.03, "percentile": 20}),
            *[("Guided IG", GuidedIG, each) for each in ({"baselines": 0.5}, {"fraction": 0.9}, {"max_dist": 0.5})],
            *[("Blur IG", BlurIG, each) for each in ({"max_sigma": 3.0}, {"grad_step": 0.1}, {"sqrt": True})],
            *[("IG", IntegratedGradients, each) for each in ({"baselines": 0.5}, {"method": "riemann_left"})],
        ],
    )
    def test_as_in_its_class(
        self, model: nn.Module, images: torch.Tensor, name: str, host: Any, options: dict[str, Any]
    ) -> None:
        count = {"nt_samples": 5, "seed": 0} if name == "GAG" else {"n_steps": 5}
        # Captum 0.7 gives double precision for single.
        expected = host(model).attribute(images, target=TARGET, **count, **options).float()
        found = method(name, n_samples=5, **options).attribute(model, images, TARGET)
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, method(name, n_samples=5).attribute(model, images, TARGET))

    def test_the_mean_square_is_the_squared_mean_and_the_variance(self, model: nn.Module, images: torch.Tensor) -> None:
        names = ("SG", "VarGrad", "SG-SQ")
        mean, variance, square = (method(name, n_samples=8).attribute(model, images, TARGET) for name in names)
        torch.testing.assert_close(square, variance * 7 / 8 + mean**2)

    def test_guided_backpropagation_of_noisy_images(self, model: nn.Module, images: torch.Tensor) -> None:
        noiseless = method("SG", backpropagation="guided", stdevs=0.0, n_samples=3).attribute(model, images, TARGET)
        torch.testing.assert_close(noiseless, method("GB").attribute(model, images, TARGET))

    def test_a_random_maps_own_seed(self, model: nn.Module, images: torch.Tensor) -> None:
        a, b = (method("Random", seed=seed).attribute(model, images, 0) for seed in (1, 2))
        assert not torch.equal(a, b)
        assert torch.equal(a, method("Random").attribute(model, images, 0, seed=1))
        assert torch.equal(a, method("random:01").attribute(model, images, 0, seed=99))

    def test_without_a_seed_noise_is_drawn_from_the_global_state(self, model: nn.Module, images: torch.Tensor) -> None:
        for name in ("SG", "Random", "SmoothGrad", "DeepSHAP", "captum:GradientShap"):
            options = {"baselines": "random"} if name == "captum:GradientShap" else {}
            first, second = (method(name, **options).attribute(model, images, TARGET, seed=None) for _ in range(2))
            assert not torch.equal(first, second), name


def test_controls_say_what_they_are(model: nn.Module) -> None:
    assert {name: method(name).control for name in METHOD_TYPES if method(name).control} == {
        "Random": "random",
        "Sobel": "edges",
        "Constant": "constant",
        "Truth": "truth",
    }


def test_sobel_is_scipys(model: nn.Module, images: torch.Tensor) -> None:
    grey = images[0].mean(0).double().numpy()
    edges = np.hypot(ndimage.sobel(grey, 0, mode="reflect"), ndimage.sobel(grey, 1, mode="reflect"))
    result = method("Sobel").attribute(model, images, 0)[0, 0].numpy()
    np.testing.assert_allclose(result / result.max(), edges / edges.max(), atol=1e-5)


class TestGradCamLayer:
    def test_last_feature_map_of_known_networks(self) -> None:
        torchvision = pytest.importorskip("torchvision")
        image = torch.rand(1, 3, 64, 64)
        for name, layer in [("resnet18", "layer4"), ("densenet121", "features"), ("mobilenet_v3_small", "features")]:
            network = torchvision.models.get_model(name).eval()
            assert last_layer(Activations(network, image)).module is network.get_submodule(layer)
            assert not any(module._forward_hooks for module in network.modules())

    def test_models_without_a_feature_map(self) -> None:
        with pytest.raises(InputError, match="name a layer: 'Grad-CAM:LAYER'"):
            last_layer(Activations(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.rand(1, 3, 2, 2)))

    def test_a_layer_that_is_not_there(self, model: nn.Module, images: torch.Tensor) -> None:
        with pytest.raises(InputError, match=r"no layer 'layer4'; its outermost ones are 0, 1, 2"):
            method("Grad-CAM:layer4").attribute(model, images, TARGET)


class TestSharedGradients:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_methods_of_a_family_are_each_by_itself_bit_for_bit(
        self, family: str, model: nn.Module, images: torch.Tensor
    ) -> None:
        key = method(FAMILIES[family].spec, n_samples=5).shared
        chosen = [each for each in (sampled(name, 5) for name in METHODS) if each.shared == key]
        assert len(chosen) >= 5
        for each, found in zip(chosen, shared_gradients(chosen, model, images, 1, seed=3), strict=True):
            assert torch.equal(found, each.attribute(model, images, 1, seed=3)), each

    def test_what_changes_the_gradients_is_not_shared(self) -> None:
        assert method("GAG-85").shared == method("SG").shared == method("VarGrad").shared
        others = [
            method("SG", n_samples=21),
            method("SG", noise_level=0.1),
            method("SG", stdevs=0.1),
            method("SG", backpropagation="guided"),
            method("IG"),
            method("IG", baselines=0.5),
            method("Guided IG"),
            method("Guided IG", fraction=0.5),
        ]
        assert len({each.shared for each in [method("SG"), *others]}) == len(others) + 1
        assert method("Sobel").shared is method("SG^R").shared is method("VG").shared is None

    def test_others_are_refused(self, model: nn.Module, images: torch.Tensor) -> None:
        for names in (["SG", "IG"], ["SG", "Sobel"], []):
            with pytest.raises(InputError, match="not the same gradients; expected such as GAG-85"):
                shared_gradients([method(name) for name in names], model, images, 0)
