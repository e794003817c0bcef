"""Captum's own test configurations, each with every attribution of this package that it applies to.

Where Captum has a method that ours is a special case of, the numbers are Captum's.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import (
    FeatureAblation,
    InputXGradient,
    IntegratedGradients,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from torch import Tensor, nn

from captum_gag.attr import BlurIG, GuidedAbsoluteGrad, GuidedIG, SampledGradients, StraightPath, absolute
from captum_gag.attr.layers import LayerGuidedAbsoluteGrad
from captum_gag.attr.modifications import GaussianNoise
from captum_gag.errors import InputError

configurations = pytest.importorskip(
    "captum.testing.attr.helpers.test_config",
    reason="this Captum does not ship its test configurations",
)
from captum.testing.attr.helpers.gen_test_utils import get_target_layer, parse_test_config  # noqa: E402

Case = dict[str, Any]
Attributions = Any


def cases(*algorithms: type, noise_tunnel: bool | None = None) -> list[Any]:
    """Return Captum's configurations of any of these algorithms, a copy of each."""
    found = []
    for case in configurations.config:
        tunnel = parse_test_config(case)[4]
        wanted = noise_tunnel is None or tunnel == noise_tunnel
        if wanted and not set(algorithms).isdisjoint(case["algorithms"]):
            found.append(pytest.param(case, id=case["name"]))
    return found


def tuple_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def arguments_of(case: Case, *without: str) -> dict[str, Any]:
    return {name: value for name, value in case["attribute_args"].items() if name not in without}


def same(found: Attributions, expected: Attributions, rtol: float = 1e-4) -> None:
    assert isinstance(found, tuple) == isinstance(expected, tuple)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-5, check_dtype=False)


def like(found: Attributions, inputs: Attributions) -> None:
    assert isinstance(found, tuple) == isinstance(inputs, tuple)
    assert [each.shape for each in tuple_of(found)] == [each.shape for each in tuple_of(inputs)]
    assert [each.dtype for each in tuple_of(found)] == [each.dtype for each in tuple_of(inputs)]
    assert all(each.isfinite().all() for each in tuple_of(found))


def without_noise(model: Any) -> SampledGradients:
    return SampledGradients(model, GaussianNoise(1, stdevs=0.0))


def traceable(case: Case) -> bool:
    """Return whether a model is called with tensors only, as Captum's own tests of traced models want it."""
    return all(isinstance(each, Tensor) for each in tuple_of(case["attribute_args"].get("additional_forward_args", ())))


def in_wrappers(params: list[Any]) -> list[Any]:
    """Return each configuration with the name of each wrapper."""
    names = ("plain", "DataParallel", "script", "trace")
    pairs = [(how, each) for each in params for how in names if how != "trace" or traceable(each.values[0])]
    return [pytest.param(each.values[0], how, id=f"{each.id}-{how}") for how, each in pairs]


def wrapped(how: str, case: Case) -> Any:
    """Return the model of a configuration in a wrapper."""
    model, given = case["model"], case["attribute_args"]
    if how == "trace":
        examples = (*tuple_of(given["inputs"]), *tuple_of(given.get("additional_forward_args", ())))
        return torch.jit.trace(model, examples)
    return {
        "plain": lambda: model,
        "DataParallel": lambda: nn.DataParallel(model),
        "script": lambda: torch.jit.script(model),
    }[how]()


GRADIENTS = cases(Saliency, InputXGradient, noise_tunnel=False)
TUNNELS = cases(Saliency, InputXGradient, noise_tunnel=True)
PATHS = cases(IntegratedGradients, noise_tunnel=False)
LAYERS = cases(LayerGradientXActivation, LayerIntegratedGradients)
IMAGES = [param for param in cases(FeatureAblation) if param.id == "conv_with_perturbations_per_eval"]
IN_WRAPPERS = ("case", "how")


def test_captum_has_such_configurations() -> None:
    assert len(GRADIENTS) >= 7
    assert len(TUNNELS) >= 6
    assert len(PATHS) >= 10
    assert len(LAYERS) >= 10


class TestGradients:
    @pytest.mark.parametrize(IN_WRAPPERS, in_wrappers(GRADIENTS))
    def test_magnitudes_without_noise_are_those_of_saliency(self, case: Case, how: str) -> None:
        given = arguments_of(case)
        found = GuidedAbsoluteGrad(wrapped(how, case)).attribute(**given, nt_samples=2, stdevs=0.0, percentile=0.0)
        same(found, Saliency(case["model"]).attribute(**given))

    @pytest.mark.parametrize(IN_WRAPPERS, in_wrappers(GRADIENTS))
    def test_gradients_without_noise_are_those_of_captum(self, case: Case, how: str) -> None:
        given = arguments_of(case)
        found = without_noise(wrapped(how, case)).attribute(**given)
        same(found, Saliency(case["model"]).attribute(**given, abs=False))
        products = [one * each for one, each in zip(tuple_of(found), tuple_of(given["inputs"]), strict=True)]
        same(tuple(products), tuple_of(InputXGradient(case["model"]).attribute(**given)))

    @pytest.mark.parametrize("case", GRADIENTS)
    def test_with_noise_and_guide(self, case: Case) -> None:
        before = copy.deepcopy(case["model"].state_dict())
        found = GuidedAbsoluteGrad(case["model"]).attribute(**arguments_of(case), seed=0)
        like(found, case["attribute_args"]["inputs"])
        assert all((each >= 0).all() for each in tuple_of(found))
        same(case["model"].state_dict(), before, rtol=0)
        assert not any(module._forward_hooks or module._backward_hooks for module in case["model"].modules())

    @pytest.mark.parametrize("case", GRADIENTS)
    def test_each_example_by_itself(self, case: Case) -> None:
        given = arguments_of(case)
        inputs, target = given["inputs"], given["target"]
        extra = given.pop("additional_forward_args", None)
        together = tuple_of(GuidedAbsoluteGrad(case["model"]).attribute(**arguments_of(case), seed=0, percentile=50.0))
        several = isinstance(target, list) or (isinstance(target, Tensor) and target.numel() > 1)

        def row(value: Any, index: int) -> Any:
            return value[index : index + 1] if isinstance(value, Tensor) else value

        for index in range(len(tuple_of(inputs)[0])):
            alone = GuidedAbsoluteGrad(case["model"]).attribute(
                tuple(row(each, index) for each in tuple_of(inputs)),
                target=target[index] if several else target,
                additional_forward_args=None if extra is None else tuple(row(each, index) for each in tuple_of(extra)),
                seed=0,
                percentile=50.0,
            )
            same(alone, tuple(row(each, index) for each in together), rtol=1e-3)


class TestNoiseTunnel:
    """Captum's configurations have no noise in the tunnel, so that the tunnel changes nothing."""

    @pytest.mark.parametrize("case", TUNNELS)
    def test_around_guided_absolute_grad(self, case: Case) -> None:
        given = arguments_of(case)
        tunnel = NoiseTunnel(GuidedAbsoluteGrad(case["model"]))
        found = tunnel.attribute(**given, noise_level=0.0, percentile=0.0)
        plain = arguments_of(case, "nt_samples", "stdevs", "nt_samples_batch_size")
        same(found, Saliency(case["model"]).attribute(**plain))

    @pytest.mark.parametrize("case", TUNNELS)
    def test_instead_of_it(self, case: Case) -> None:
        given = arguments_of(case)
        found = GuidedAbsoluteGrad(case["model"]).attribute(**given, percentile=0.0)
        same(found, NoiseTunnel(Saliency(case["model"])).attribute(**given))

    @pytest.mark.parametrize("case", TUNNELS)
    @pytest.mark.parametrize("method", [GuidedIG, without_noise], ids=["GuidedIG", "SampledGradients"])
    def test_around_the_others(self, case: Case, method: Any) -> None:
        plain = arguments_of(case, "nt_samples", "stdevs", "nt_samples_batch_size")
        same(
            NoiseTunnel(method(case["model"])).attribute(**arguments_of(case)), method(case["model"]).attribute(**plain)
        )

    @pytest.mark.parametrize("of_layer", [False, True])
    def test_its_samples_are_all_that_are_taken_or_it_is_refused(self, of_layer: bool) -> None:
        model, forward_passes = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)), []
        model[2].register_forward_hook(lambda module, inputs, outputs: forward_passes.append(len(outputs)))
        inputs, tunnel = torch.rand(2, 5), {"nt_samples": 3, "stdevs": 0.1, "target": 1}
        gag = LayerGuidedAbsoluteGrad(model, model[0]) if of_layer else GuidedAbsoluteGrad(model)
        for own in ({}, {"noise_level": 0.0}, {"percentile": 0.0}):
            with pytest.raises(InputError, match=r"^NoiseTunnel keeps nt_samples .* noise_level=0.0 and perc"):
                NoiseTunnel(gag).attribute(inputs, **tunnel, **own)
        NoiseTunnel(gag).attribute(inputs, **tunnel, noise_level=0.0, percentile=0.0)
        forward_passes.clear()
        torch.manual_seed(0)
        found = NoiseTunnel(gag).attribute(inputs, **tunnel, noise_level=0.0, percentile=0.0)
        # A layer's activation is read once more.
        assert sum(forward_passes) == 2 * 3 * (1 + of_layer)
        if not of_layer:
            torch.manual_seed(0)
            same(found, NoiseTunnel(Saliency(model)).attribute(inputs, **tunnel))

    def test_samples_that_a_method_was_made_with_are_taken_at_each_of_its_own(self) -> None:
        model = nn.Linear(5, 3)
        found = NoiseTunnel(SampledGradients(model, GaussianNoise(4), absolute)).attribute(torch.rand(2, 5), target=0)
        torch.testing.assert_close(found, model.weight[0].abs().expand(2, 5))


class TestWhatCaptumRefuses:
    METHODS = (GuidedAbsoluteGrad, GuidedIG, BlurIG, without_noise)

    @pytest.mark.parametrize("method", [*METHODS, lambda model: LayerGuidedAbsoluteGrad(model, model[0])])
    def test_a_wrong_target_is_an_assertion_error_and_leaves_no_hook(self, method: Any) -> None:
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
        for target in ((9999,) * 20, 9999, None):
            with pytest.raises(AssertionError, match="target"):
                method(model).attribute(torch.rand(2, 1, 4, 4), target=target)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

    @pytest.mark.parametrize("method", [*METHODS, lambda model: LayerGuidedAbsoluteGrad(model, model[0])])
    def test_an_error_of_the_model_stays_its_own_and_leaves_no_hook(self, method: Any) -> None:
        class Failing(nn.Module):
            def forward(self, *_: Any) -> Tensor:
                raise AssertionError("of the model")

        model = nn.Sequential(nn.Conv2d(1, 2, 3), Failing())
        with pytest.raises(AssertionError, match=r"^of the model$") as caught:
            method(model).attribute(torch.rand(2, 1, 4, 4), target=0)
        assert caught.type is AssertionError
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

    @pytest.mark.parametrize("method", [*METHODS, lambda model: LayerGuidedAbsoluteGrad(model, model)])
    def test_there_are_no_futures(self, method: Any) -> None:
        attribution = method(nn.Linear(2, 2))
        with pytest.raises(NotImplementedError, match=f"^attribute_future is not .* {type(attribution).__name__}$"):
            attribution.attribute_future()

    def test_a_gradient_of_the_inputs_stays(self) -> None:
        inputs = torch.rand(2, 5, requires_grad=True)
        inputs.grad = torch.ones_like(inputs)
        GuidedAbsoluteGrad(nn.Linear(5, 3)).attribute(inputs, target=0)
        assert torch.equal(inputs.grad, torch.ones_like(inputs))


class TestStandardDeviations:
    @pytest.mark.parametrize("form", [list, tuple, torch.tensor, np.array])
    def test_one_for_each_input_in_any_form(self, form: Any) -> None:
        def forward(one: Tensor, other: Tensor) -> Tensor:
            return ((one**3).flatten(1) + (other**3).flatten(1)).sum(1)

        inputs = torch.rand(2, 4), torch.rand(2, 4)
        found = GuidedAbsoluteGrad(forward).attribute(inputs, stdevs=form([0.0, 0.5]), seed=0, percentile=0.0)
        torch.testing.assert_close(found[0], 3 * inputs[0] ** 2)
        assert not torch.allclose(found[1], 3 * inputs[1] ** 2)
        same(found, GuidedAbsoluteGrad(forward).attribute(inputs, stdevs=(0.0, 0.5), seed=0, percentile=0.0), rtol=1e-6)

    @pytest.mark.parametrize("stdevs", [-1.0, (-0.1,), [0.1, -0.1], float("nan"), (float("inf"),), True, "0.1", [None]])
    def test_others_are_refused_in_one_line(self, stdevs: Any) -> None:
        with pytest.raises(InputError, match=r"stdevs is .*, expected a finite number >= 0, or a tuple of them, one f"):
            GuidedAbsoluteGrad(nn.Linear(5, 3)).attribute(torch.rand(2, 5), target=0, stdevs=stdevs)

    @pytest.mark.parametrize("stdevs", [(0.1, 0.2), [0.1, 0.2], ()])
    def test_as_many_as_inputs(self, stdevs: Any) -> None:
        with pytest.raises(InputError, match="entries for 1 inputs; give one for each, or one number"):
            GuidedAbsoluteGrad(nn.Linear(5, 3)).attribute(torch.rand(2, 5), target=0, stdevs=stdevs)


class TestPaths:
    @pytest.mark.parametrize(IN_WRAPPERS, in_wrappers(PATHS))
    def test_the_straight_path_is_integrated_gradients(self, case: Case, how: str) -> None:
        path = StraightPath(50, case["attribute_args"].get("baselines"))
        found = SampledGradients(wrapped(how, case), path).attribute(**arguments_of(case, "baselines"))
        same(found, IntegratedGradients(case["model"]).attribute(**arguments_of(case)))

    @pytest.mark.parametrize("case", PATHS)
    def test_guided_ig_takes_the_same_arguments_and_is_complete(self, case: Case) -> None:
        found, delta = GuidedIG(case["model"]).attribute(
            **arguments_of(case), n_steps=400, return_convergence_delta=True
        )
        like(found, case["attribute_args"]["inputs"])
        total = sum(each.flatten(1).sum(1) for each in tuple_of(found))
        assert delta.shape == total.shape
        assert delta.abs().sum() < 0.01 * total.abs().sum()

    @pytest.mark.parametrize(IN_WRAPPERS, in_wrappers(PATHS))
    def test_guided_ig_of_wrapped_models(self, case: Case, how: str) -> None:
        found = GuidedIG(wrapped(how, case)).attribute(**arguments_of(case))
        same(found, GuidedIG(case["model"]).attribute(**arguments_of(case)), rtol=1e-3)

    @pytest.mark.parametrize("case", PATHS)
    def test_blur_ig_refuses_what_has_nothing_to_blur(self, case: Case) -> None:
        with pytest.raises(InputError, match=r"\(N, C"):
            BlurIG(case["model"]).attribute(**arguments_of(case, "baselines"))

    @pytest.mark.parametrize(IN_WRAPPERS, in_wrappers(IMAGES))
    def test_blur_ig_of_images(self, case: Case, how: str) -> None:
        given = arguments_of(case, "perturbations_per_eval")
        found, delta = BlurIG(wrapped(how, case)).attribute(**given, return_convergence_delta=True)
        like(found, given["inputs"])
        same(found, BlurIG(case["model"]).attribute(**given))
        assert delta.shape == (4,)


class TestLayers:
    """The configurations of layers: in place, of several inputs and outputs, with further arguments and targets."""

    @staticmethod
    def parts(case: Case) -> tuple[nn.Module, list[nn.Module], dict[str, Any]]:
        """Return the model, its layers, and the arguments that belong to no other method."""
        layers = get_target_layer(case["model"], case["layer"])
        given = arguments_of(case, "internal_batch_size", "baselines", "n_steps", "method", "multiply_by_inputs")
        return case["model"], layers if isinstance(layers, list) else [layers], given

    @pytest.mark.parametrize("case", LAYERS)
    @pytest.mark.parametrize("to_input", [False, True])
    def test_without_noise_it_is_the_magnitude_of_captums_gradient(self, case: Case, to_input: bool) -> None:
        model, layers, given = self.parts(case)
        if to_input and case["name"] == "basic_layer_in_place":
            pytest.skip("Captum's own fails here")
        for layer in layers:
            found = LayerGuidedAbsoluteGrad(model, layer).attribute(
                **given, nt_samples=2, stdevs=0.0, percentile=0.0, attribute_to_layer_input=to_input
            )
            # From the inputs to the inputs: the gradient there, through the layer and not around it.
            path = LayerIntegratedGradients(model, layer, multiply_by_inputs=False)
            expected = path.attribute(**given, baselines=given["inputs"], n_steps=2, attribute_to_layer_input=to_input)
            for one, other in zip(tuple_of(found), tuple_of(expected), strict=True):
                same(one, other.abs())

    @pytest.mark.parametrize("case", cases(LayerGradientXActivation))
    def test_of_outputs_it_is_the_magnitude_of_captums_other_gradient(self, case: Case) -> None:
        model, layers, given = self.parts(case)
        for layer in layers:
            found = LayerGuidedAbsoluteGrad(model, layer).attribute(**given, nt_samples=2, stdevs=0.0, percentile=0.0)
            expected = LayerGradientXActivation(model, layer, multiply_by_inputs=False).attribute(**given)
            for one, other in zip(tuple_of(found), tuple_of(expected), strict=True):
                same(one, other.abs())

    @pytest.mark.parametrize("case", LAYERS)
    def test_with_noise_and_in_data_parallel(self, case: Case) -> None:
        model, layers, given = self.parts(case)
        for layer in layers:
            found = LayerGuidedAbsoluteGrad(model, layer).attribute(**given, seed=0)
            assert all(each.isfinite().all() and (each >= 0).all() for each in tuple_of(found))
            parallel = LayerGuidedAbsoluteGrad(nn.DataParallel(model), layer)
            same(parallel.attribute(**given, seed=0), found)
            assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
