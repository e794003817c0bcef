"""Attributions of any inputs and models: ranges, order and company of examples, precision, what is left behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fuzz.strategies import FUZZ, JUNK, PRECISE, Case, answered, cases, close, junk_for, network, untouched
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from captum_gag.attr import (
    BlurIG,
    BlurPath,
    GaussianNoise,
    GuidedAbsoluteGrad,
    GuidedIG,
    GuidedMean,
    GuidedPath,
    LayerGuidedAbsoluteGrad,
    Mean,
    SampledGradients,
    StraightPath,
    Variance,
    absolute,
    negative,
    positive,
    reverse_saliency,
    saliency_map,
    signed,
    squared,
)

pytestmark = pytest.mark.fuzz
IMAGES: list[tuple[int, ...]] = [(2, 4, 5), (1, 4, 4), (3, 6), (2, 3, 3, 3)]


def gag(model: Any, inputs: Tensor, target: Any, **options: Any) -> Tensor:
    given = {"nt_samples": 4, "seed": 3, "guide": "relative", **options}
    return GuidedAbsoluteGrad(model).attribute(inputs, target, **given)


EXPLAINERS: dict[str, Callable[..., Tensor]] = {
    "GAG": gag,
    "GAG-0": lambda *given, **options: gag(*given, percentile=0.0, **options),
    "IG": lambda model, x, target: SampledGradients(model, StraightPath(4)).attribute(x, target),
    "VarGrad": lambda model, x, target: SampledGradients(
        model, GaussianNoise(4, seed=1), aggregation=Variance()
    ).attribute(x, target),
    "GuidedIG": lambda model, x, target: GuidedIG(model).attribute(x, None, target, n_steps=4),
    "BlurIG": lambda model, x, target: BlurIG(model).attribute(x, target, n_steps=3, max_sigma=1.5),
    "layer": lambda model, x, target: LayerGuidedAbsoluteGrad(model, model[-1]).attribute(
        x, target, nt_samples=4, seed=3, percentile=0.0
    ),
}
CONTINUOUS = ["GAG-0", "IG", "VarGrad", "BlurIG"]
"""Those of which no order decides, so that rounding changes them by rounding."""


def explain(name: str, case: Case, model: Any = None, inputs: Tensor | None = None, target: Any = None) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = case.inputs if inputs is None else inputs
        return EXPLAINERS[name](model or case.model, given, case.target if target is None else target)


def largest(name: str, case: Case) -> Tensor:
    """Return what rounding is a part of: of a variance the squared gradients, of a sum along a path its parts."""
    x = case.inputs.detach().abs().amax()
    gradient = explain("GAG-0", case).double().amax()
    return gradient * {"VarGrad": gradient, "IG": x, "BlurIG": x}.get(name, 1.0)


@FUZZ
@given(cases(IMAGES), st.sampled_from(list(EXPLAINERS)))
def test_form_and_what_is_left_behind(case: Case, name: str) -> None:
    with untouched(case):
        found = explain(name, case)
    assert found.shape == (case.inputs.shape if name != "layer" else (len(case.inputs), 3))
    assert found.dtype == torch.promote_types(case.dtype, torch.float32)
    assert not found.requires_grad
    assert bool(found.isfinite().all())
    assert name not in ("GAG", "GAG-0", "VarGrad", "layer") or bool((found >= 0).all())


@FUZZ
@given(cases(IMAGES), st.sampled_from(CONTINUOUS), st.randoms(use_true_random=False))
def test_neither_order_nor_company_matters(case: Case, name: str, random: Any) -> None:
    whole, order = explain(name, case), random.sample(range(len(case.inputs)), len(case.inputs))
    turned = explain(name, case, inputs=case.inputs[order], target=[case.target[row] for row in order])
    close(turned, whole[order], case.dtype, largest(name, case))
    for row in range(len(case.inputs)):
        alone = explain(name, case, inputs=case.inputs[row : row + 1], target=case.target[row])
        close(alone, whole[row : row + 1], case.dtype, largest(name, case))


@FUZZ
@given(cases(IMAGES, PRECISE, ("linear", "smooth")), st.sampled_from([*CONTINUOUS, "GAG"]))
def test_single_precision_is_near_double(case: Case, name: str) -> None:
    # Without any variance, or noise, rounding decides the guide.
    if name == "GAG" and (case.network == "linear" or case.kind in ("constant", "zeros")):
        name = "GAG-0"
    model = case.precise()
    # The same noise, and a model in double precision.
    expected = explain(name, case, lambda x: model(x.double()))
    close(explain(name, case), expected, torch.float32, largest(name, case))


@FUZZ
@given(cases(IMAGES, PRECISE, ("linear", "smooth", "norm")), st.integers(1, 9), st.sampled_from(CONTINUOUS))
def test_batch_size_changes_nothing(case: Case, size: int, name: str) -> None:
    parts = {
        "GAG-0": SampledGradients(case.model, GaussianNoise(4, seed=3), absolute),
        "VarGrad": SampledGradients(case.model, GaussianNoise(4, seed=1), aggregation=Variance()),
        "IG": SampledGradients(case.model, StraightPath(4)),
        "BlurIG": SampledGradients(case.model, BlurPath(3, max_sigma=1.5)),
    }
    found = parts[name].attribute(case.inputs, case.target, internal_batch_size=size)
    close(found, explain(name, case), case.dtype, largest(name, case))


@FUZZ
@given(
    cases(IMAGES, PRECISE, ("smooth",)),
    st.sampled_from([GaussianNoise(3, seed=0), StraightPath(3), GuidedPath(3), BlurPath(3, max_sigma=1.0)]),
    st.sampled_from([signed, positive, negative, absolute, squared]),
    st.sampled_from([Mean(), Variance(), GuidedMean(50.0), GuidedMean(85.0, "relative")]),
)
def test_any_composition(case: Case, modification: Any, interpretation: Any, aggregation: Any) -> None:
    sampler = SampledGradients(case.model, modification, interpretation, aggregation)
    with untouched(case), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = sampler.attribute(case.inputs, case.target)
    assert found.shape == case.inputs.shape
    assert bool(found.isfinite().all())
    lowest = interpretation in (positive, absolute, squared) or isinstance(aggregation, Variance)
    assert not lowest or bool((found >= 0).all())
    assert interpretation is not negative or isinstance(aggregation, Variance) or bool((found <= 0).all())


def _known() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    model, x = network((2, 4, 5), "smooth"), torch.rand(2, 2, 4, 5)
    common = {"inputs": x, "target": 0, "additional_forward_args": None}
    noise = {"nt_samples": 2, "nt_samples_batch_size": None, "stdevs": None, "noise_level": 0.1, "percentile": 50.0}
    noise |= {"guide": "paper", "seed": 0, "return_standard_error": False, "guide_window": 1}
    path = {"n_steps": 2, "internal_batch_size": None, "return_convergence_delta": False}
    return {
        "GuidedAbsoluteGrad": (GuidedAbsoluteGrad(model).attribute, {**common, **noise}),
        "LayerGuidedAbsoluteGrad": (LayerGuidedAbsoluteGrad(model, model[0]).attribute, {**common, **noise}),
        "SampledGradients": (
            SampledGradients(model, StraightPath(2)).attribute,
            {**common, "internal_batch_size": None},
        ),
        "GuidedIG": (
            GuidedIG(model).attribute,
            {**common, **path, "baselines": None, "fraction": 0.25, "max_dist": 0.02},
        ),
        "BlurIG": (
            BlurIG(model).attribute,
            {**common, **path, "max_sigma": 1.0, "grad_step": 0.01, "sqrt": False},
        ),
        "SampledGradients()": (
            lambda inputs, **parts: SampledGradients(**parts).attribute(inputs, 0),
            {"inputs": x, "forward_func": model, "modification": StraightPath(2), "interpretation": signed}
            | {"aggregation": Mean(), "gradient_source": None},
        ),
        "LayerGuidedAbsoluteGrad()": (
            lambda inputs, **parts: LayerGuidedAbsoluteGrad(**parts).attribute(inputs, 0, nt_samples=2),
            {"inputs": x, "forward_func": model, "layer": model[0]},
        ),
        "GaussianNoise": (GaussianNoise, {"n_samples": 2, "stdevs": 0.1, "noise_level": 0.1}),
        "GuidedMean": (GuidedMean, {"percentile": 50.0, "guide": "paper", "guide_window": 1}),
        "GuidedMean.guide_window": (GuidedMean, {"guide_window": 3}),
        "saliency_map": (saliency_map, {"attributions": x, "channel_axis": 1}),
        "reverse_saliency": (reverse_saliency, {"maps": x[:, 0], "retain": 0.05, "swap": 0.1, "seed": 0}),
    }


KNOWN = _known()


@pytest.mark.parametrize("name", KNOWN)
@FUZZ
@given(st.data())
def test_arguments_without_meaning(name: str, data: st.DataObject) -> None:
    function, known = KNOWN[name]
    answered(function, **{**known, **data.draw(junk_for(known))})


@FUZZ
@given(JUNK, st.sampled_from([tuple, list, dict, lambda given: {"logits": given}]), st.booleans())
def test_whatever_a_model_returns(returned: Any, wrap: Any, plain: bool) -> None:
    def model(x: Tensor) -> Any:
        dense = isinstance(returned, Tensor) and returned.layout == torch.strided and not returned.is_meta
        linked = returned + x.sum() * 0 if dense else returned
        return linked if plain else wrap([linked] if wrap is not dict else {"out": linked})

    answered(GuidedAbsoluteGrad(model).attribute, torch.rand(2, 2, 4, 5), 0, nt_samples=2)
