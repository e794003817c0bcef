"""Every method of the catalogue, and every class of Captum: form, range, company of examples, what is left behind."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

# Which draws from Python's random numbers when it is first imported, as Lime and KernelShap do.
import sklearn.linear_model  # noqa: F401
import torch
from fuzz.strategies import FUZZ, HALVES, JUNK, Case, answered, cases, close, junk_for, network, untouched
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from captum_gag import explain
from captum_gag.attr.captum_methods import class_names
from captum_gag.attr.catalogue import method, method_class
from captum_gag.attr.methods import shared_gradients
from captum_gag.names import METHOD_TYPES, METHODS
from captum_gag.options import options_of

pytestmark = pytest.mark.fuzz
IMAGES: list[tuple[int, ...]] = [(2, 8, 9), (1, 8, 8)]
TRANSFORMED = ["GAG-85^R", "SG^sharp", "IG^binary", "VG^pixel", "Sobel^R", "GAG-0^sharp"]
NAMES = [*METHODS, *[name for name in METHOD_TYPES if name != "Truth"], *TRANSFORMED]
NEEDED = {"layer": "2", "neuron_selector": (0, 0, 0), "baselines": 0.1, "attribution_method": "Saliency"}
FEW = {"n_samples": 2, "nt_samples": 2, "n_steps": 3, "n_references": 2, "stdevs": 0.1}
REGIONS = {"Lime", "KernelShap", "ShapleyValues", "ShapleyValueSampling", "FeatureAblation", "FeaturePermutation"}
POSITIVE = {"Saliency", "Sensitivity", "SG-SQ", "VarGrad", "Random", "Sobel", "Constant"}
POSITIVE |= {name for name in NAMES if name.startswith("GAG") or "^" in name}
COMPARED = [name for name in NAMES if name not in ("Deep Taylor", "GAG-85 fast")]
"""Those that take any images: neither white and black as bounds, nor windows of nine pixels."""


def made(name: str) -> Any:
    with_options = {each.name for each in options_of(type(method(name)))}
    given = {} if "^" in name else {key: value for key, value in FEW.items() if key in with_options}
    return method(name, **{key: value for key, value in given.items() if key != "stdevs"})


def captums(name: str, channels: int) -> Any:
    there = options_of(method_class(f"captum:{name}", NEEDED if name == "NoiseTunnel" else {}))
    given = {each.name: NEEDED[each.name] for each in there if each.required and each.name in NEEDED}
    given |= {each.name: FEW[each.name] for each in there if each.name in FEW and name != "NoiseTunnel"}
    given |= {"sliding_window_shapes": (channels, 3, 3)} if name == "Occlusion" else {}
    given |= {"feature_mask": 4} if name in REGIONS else {}
    return method(f"captum:{name}", **given)


def attributed(some: Any, case: Case, rows: list[int] | None = None) -> Tensor:
    rows = list(range(len(case.inputs))) if rows is None else rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return some.attribute(case.model, case.inputs[rows], [case.target[row] for row in rows], seed=3)


def check(some: Any, case: Case) -> Tensor:
    with untouched(case):
        found = attributed(some, case)
    assert found.shape in (case.inputs.shape, case.inputs[:, :1].shape)
    assert found.dtype == torch.promote_types(found.dtype, torch.float32)
    assert not found.requires_grad
    # Which is said, where a host's arithmetic leaves half precision.
    assert bool(found.isfinite().all()) or case.dtype in HALVES
    return found


@pytest.mark.filterwarnings("ignore")
@FUZZ
@given(cases(IMAGES, networks=("conv",)), st.sampled_from(NAMES))
def test_every_method(case: Case, name: str) -> None:
    # Refused where it does not fit: Captum's noise in half precision, a window that is wider than the image.
    found = answered(check, made(name), case)
    if found is None:
        assert name not in COMPARED or case.dtype in HALVES
    else:
        assert name not in POSITIVE or bool((found.nan_to_num() >= 0).all())
        assert "^" not in name or bool((found.nan_to_num() <= 1).all())


@pytest.mark.filterwarnings("ignore")
@FUZZ
@given(
    cases(IMAGES, [torch.float64], ("conv",), ["plain", "tied"]),
    st.sampled_from(COMPARED),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_company_matters(case: Case, name: str, random: Any) -> None:
    some = made(name)
    if case.layout == "requires_grad":
        case.inputs = case.inputs.detach()
    whole, rows = attributed(some, case), random.sample(range(len(case.inputs)), len(case.inputs))
    close(attributed(some, case, rows), whole[rows], case.dtype)
    close(attributed(some, case, rows[:1]), whole[rows[:1]], case.dtype)


@pytest.mark.filterwarnings("ignore")
@FUZZ
@given(cases(IMAGES, [torch.float32], ("conv",)), st.sampled_from([*set(class_names()) - {"LRP", "LayerLRP"}]))
def test_every_class_of_captum(case: Case, name: str) -> None:
    some = captums(name, case.inputs.shape[1])
    answered(lambda: check(some, case))


@FUZZ
@given(cases(IMAGES, networks=("conv", "smooth")))
def test_shared_gradients_are_those_of_each_method(case: Case) -> None:
    some = [method(name, n_samples=3) for name in ("GAG-85", "SG", "VarGrad", "SG+", "SG-GA")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = shared_gradients(some, case.model, case.inputs, case.target, seed=3)
    for each, shared in zip(some, found, strict=True):
        torch.testing.assert_close(shared, attributed(each, case), rtol=0, atol=0)


@FUZZ
@given(st.data(), st.sampled_from(NAMES))
def test_options_without_meaning(data: st.DataObject, name: str) -> None:
    there = {each.name: each.default for each in options_of(type(method(name)))}
    if there:
        built = answered(method, name, **data.draw(junk_for(there)))
        if built is not None and getattr(built, "n_samples", 2) < 5:
            answered(built.attribute, network((2, 8, 9), "conv"), torch.rand(2, 2, 8, 9), 0)


@FUZZ
@given(JUNK, st.dictionaries(st.sampled_from(["type", "of", "transform", "percentile", "x"]), JUNK, max_size=3))
def test_specs_without_meaning(name: Any, spec: Any) -> None:
    answered(method, name)
    answered(method, spec)


KNOWN = {
    "model": network((2, 8, 9), "conv"),
    "inputs": torch.rand(2, 2, 8, 9),
    "target": 0,
    "seed": 0,
    "output": "auto",
}


@FUZZ
@given(st.sampled_from(["GAG-85", "VG", "GB", "Grad-CAM", "Sobel", "SmoothGrad", "IG^R"]), junk_for(KNOWN))
def test_arguments_without_meaning(name: str, junk: dict[str, Any]) -> None:
    answered(method(name).attribute, **{**KNOWN, **junk})


EXPLAIN = {"model": KNOWN["model"], "inputs": torch.rand(2, 2, 8, 9).numpy(), "targets": [0, 1], "method": "VG"}
EXPLAIN |= {"seed": 0, "device": None, "output": "auto", "channel_axis": 1, "n_samples": 2}


@FUZZ
@given(junk_for(EXPLAIN))
def test_explain_for_quantus(junk: dict[str, Any]) -> None:
    answered(explain, **{**EXPLAIN, **junk})
