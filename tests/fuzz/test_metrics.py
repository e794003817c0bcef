"""Metrics of any maps, inputs and models: ranges, order and company of images, precision, what is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fuzz.strategies import (
    FUZZ,
    JUNK,
    PRECISE,
    SCALES,
    Case,
    answered,
    cases,
    close,
    junk_for,
    network,
    untouched,
    values,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from captum_gag import baselines
from captum_gag.metrics import (
    aopc,
    aopc_curve,
    deletion,
    evaluate,
    faithfulness,
    insertion,
    log_cosh_dice,
    metric,
    rcap,
    rcap_factors,
    segmentation_mae,
)
from captum_gag.names import METRICS
from captum_gag.options import options_of
from captum_gag.outputs import OutputReader
from captum_gag.tensors import class_targets, positions

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

SMALL = {"internal_batch_size": None}
FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[float, float]]] = {
    "rcap": (rcap, (0, 1)),
    "deletion": (lambda *given, **how: deletion(*given, **how, n_steps=3, perturb_baseline="mean"), (0, 1)),
    "insertion": (lambda *given, **how: insertion(*given, **how, n_steps=3, perturb_baseline=0.2), (0, 1)),
    "aopc": (lambda *given, **how: aopc(*given, **how, n_steps=5), (-1, 1)),
    "aopc lerf": (
        lambda *given, **how: aopc(*given, **how, n_steps=5, order="lerf", perturb_baseline="uniform_rgb"),
        (-1, 1),
    ),
    "aopc curve": (lambda *given, **how: aopc_curve(*given, **how, n_steps=4, order="random"), (-1, 1)),
    "faithfulness": (lambda *given, **how: faithfulness(*given, **how, n_pixels=5), (-1, 1)),
}
OF_PROBABILITIES = [name for name in FUNCTIONS if name != "faithfulness"]


@st.composite
def maps_for(draw: Any, case: Case, kinds: list[str] = SCALES) -> Tensor:
    """Return maps of the inputs of a case, in any of the forms that metrics take."""
    n, *shape = case.inputs.shape
    forms = [(n, *shape), (n, *positions(case.inputs))] + ([(n, 1, *shape[1:])] if len(shape) > 1 else [])
    kind, dtype = draw(st.sampled_from(kinds)), draw(st.sampled_from([torch.float32, torch.float64, torch.float16]))
    dtype = torch.float64 if kind in ("tiny", "huge", "wide") else dtype
    return values(draw(st.sampled_from(forms)), kind, draw(st.integers(0, 999))).to(dtype)


def scored(name: str, case: Case, maps: Tensor, rows: Any = slice(None), model: Any = None) -> Tensor:
    targets = [case.target[row] for row in rows] if isinstance(rows, list) else case.target
    inputs = case.inputs.detach()[rows]
    return FUNCTIONS[name][0](
        model or case.model, inputs if model is None else inputs.double(), maps[rows], targets, output="logits"
    )


@FUZZ
@given(cases(), st.sampled_from(list(FUNCTIONS)), st.data())
def test_range_form_and_what_is_left_behind(case: Case, name: str, data: st.DataObject) -> None:
    maps = data.draw(maps_for(case))
    before = maps.clone()
    with untouched(case):
        found = scored(name, case, maps)
    assert torch.equal(maps, before)
    assert len(found) == len(case.inputs)
    assert found.dtype in PRECISE
    lowest, highest = FUNCTIONS[name][1]
    assert bool(((found >= lowest - 1e-5) & (found <= highest + 1e-5) | found.isnan()).all())
    rankable = maps.flatten(1).double().abs().amax(1) > 0
    assert name in ("faithfulness", "aopc curve") or bool(found.isnan().reshape(len(found), -1).any(1)[~rankable].all())


@FUZZ
@given(cases(dtypes=PRECISE), st.sampled_from(list(FUNCTIONS)), st.data(), st.randoms(use_true_random=False))
def test_neither_order_nor_company_matters(case: Case, name: str, data: st.DataObject, random: Any) -> None:
    maps, rows = data.draw(maps_for(case)), random.sample(range(len(case.inputs)), len(case.inputs))
    whole = scored(name, case, maps)
    one = torch.ones(())
    close(scored(name, case, maps, rows), whole[rows], case.dtype, one)
    close(scored(name, case, maps, rows[:1]), whole[rows[:1]], case.dtype, one)


@FUZZ
@given(cases(dtypes=[torch.float32]), st.sampled_from(OF_PROBABILITIES), st.data())
def test_single_precision_is_near_double(case: Case, name: str, data: st.DataObject) -> None:
    maps = data.draw(maps_for(case))
    found, expected = (scored(name, case, maps, model=each) for each in (None, case.precise()))
    close(found, expected, torch.float32, torch.ones(()))


@FUZZ
@given(cases(dtypes=PRECISE), st.data(), st.sampled_from([1e-30, 1e-6, 1e6, 1e30]))
def test_no_metric_knows_the_scale_of_a_map(case: Case, data: st.DataObject, scale: float) -> None:
    maps = data.draw(maps_for(case, ["plain", "positive", "constant", "zeros"])).double()
    for name in FUNCTIONS:
        found, expected = scored(name, case, maps * scale), scored(name, case, maps)
        close(found, expected, torch.float32, torch.ones(()))


@FUZZ
@given(cases(dtypes=PRECISE), st.data())
def test_all_at_once_is_each_by_itself(case: Case, data: st.DataObject) -> None:
    maps = {"a": data.draw(maps_for(case)), "b": data.draw(maps_for(case))}
    metrics = {"RCAP": metric("RCAP", {}), "AOPC": metric("AOPC", {"n_steps": 4})}
    found = evaluate(case.model, case.inputs, maps, case.target, metrics, output="logits")
    for name, each in maps.items():
        for label, some in metrics.items():
            alone = some.evaluate(case.model, case.inputs, each, case.target, output="logits").score
            close(found[name][label], alone, case.dtype, torch.ones(()))


@FUZZ
@given(cases(), st.data())
def test_segmentation_losses(case: Case, data: st.DataObject) -> None:
    maps = data.draw(maps_for(case))
    mask = (values((len(maps), *positions(case.inputs)), "plain", 5) > 0).to(
        data.draw(st.sampled_from([torch.uint8, torch.float32, torch.bool]))
    )
    if positions(case.inputs) == tuple(maps.shape[1:]) or maps.ndim == case.inputs.ndim:
        for function, highest in ((log_cosh_dice, 0.4338), (segmentation_mae, 1)):
            found = function(maps, mask)
            assert bool(((found >= 0) & (found <= highest) | found.isnan()).all())
            close(function(maps[:1], mask[:1]), found[:1], torch.float32, torch.ones(()))


@FUZZ
@given(cases(dtypes=PRECISE, kinds=["positive", "plain", "constant"]), st.sampled_from(sorted(baselines.BASELINES)))
def test_baselines(case: Case, name: str) -> None:
    def made(rows: Any) -> Tensor | None:
        return answered(lambda: baselines.resolve(name)(case.inputs.detach()[rows], *masks(rows)))

    def masks(rows: Any) -> list[Tensor]:
        return [torch.zeros_like(case.inputs[rows], dtype=torch.bool)] if name == "road" else []

    with untouched(case):
        whole = made(slice(None))
    assert (whole is None) == (name in baselines.LOCAL and case.inputs.ndim not in baselines.LOCAL[name])
    if whole is not None:
        assert whole.shape == case.inputs.shape
        assert whole.dtype == case.dtype
        close(made([0]), whole[:1], case.dtype, torch.ones(()))  # type: ignore[arg-type]


def _known() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    model, x = network((2, 4, 5), "smooth"), torch.rand(2, 2, 4, 5)
    common = {"model": model, "inputs": x, "maps": x[:, 0], "target": 0, "output": "auto", "channel_axis": 1}
    common |= {"internal_batch_size": None, "perturb_baseline": "mean", "normalization": None}
    mask = (x[:, 0] > 0.5).float()
    return {
        "rcap": (rcap, {**common, "lower_bound": 50.0, "interval": 10.0, "factor": "both"}),
        "rcap_factors": (rcap_factors, {**common, "lower_bound": 50.0, "interval": 25.0}),
        "deletion": (deletion, {**common, "n_steps": 3}),
        "insertion": (insertion, {**common, "n_steps": 3}),
        "aopc": (aopc, {**common, "n_steps": 3, "order": "morf", "region_size": 1, "seed": 0}),
        "aopc_curve": (aopc_curve, {**common, "n_steps": 3, "order": "random", "region_size": 2, "seed": 0}),
        "faithfulness": (faithfulness, {**common, "n_pixels": 3, "seed": 0}),
        "log_cosh_dice": (log_cosh_dice, {"maps": x, "segmentation": mask}),
        "segmentation_mae": (segmentation_mae, {"maps": x, "segmentation": mask}),
        "evaluate": (
            evaluate,
            {"model": model, "inputs": x, "maps": {"a": x}, "target": 0, "metrics": {"RCAP": metric("RCAP", {})}}
            | {"output": "auto", "channel_axis": 1, "internal_batch_size": 2},
        ),
        "constant": (lambda images, **given: baselines.constant(**given)(images), {"images": x, "value": 0.5}),
        "blur": (
            lambda images, **given: baselines.blur(**given)(images),
            {"images": x, "normalization": None, "sigma": 1.0, "kernel_size": 3},
        ),
        "uniform_rgb": (
            lambda images, **given: baselines.uniform_rgb(**given)(images),
            {"images": x, "normalization": ((0.5,), (0.5,)), "seed": 0},
        ),
        "road": (
            lambda images, removed, **given: baselines.road(**given)(images, removed),
            {"images": x, "removed": x > 0.5, "normalization": None, "noise": 0.01, "seed": 0},
        ),
        "mean": (lambda images: baselines.mean()(images), {"images": x}),
        "resolve": (
            lambda images, **given: baselines.resolve(**given)(images),
            {"images": x, "perturb_baseline": "black", "normalization": None},
        ),
        "class_targets": (lambda target: class_targets(target, x), {"target": [0, 1]}),
        "OutputReader": (
            lambda output, returned: OutputReader(output).scores(returned),
            {"output": "auto", "returned": torch.rand(2, 3)},
        ),
        "probabilities": (
            lambda output, returned: OutputReader(output).probabilities(returned),
            {"output": "logits", "returned": torch.randn(2, 3)},
        ),
    }


KNOWN = _known()


@pytest.mark.parametrize("name", KNOWN)
@FUZZ
@given(st.data())
def test_arguments_without_meaning(name: str, data: st.DataObject) -> None:
    function, known = KNOWN[name]
    answered(function, **{**known, **data.draw(junk_for(known))})


@FUZZ
@given(st.data(), st.sampled_from(sorted(METRICS)))
def test_options_without_meaning(data: st.DataObject, name: str) -> None:
    there = {each.name: each.default for each in options_of(METRICS[name].load())}
    if there:
        answered(metric, name, data.draw(junk_for(there)))
    answered(metric, data.draw(JUNK), {})


@FUZZ
@given(JUNK, st.sampled_from([tuple, list, dict]), st.booleans())
def test_whatever_a_model_returns(returned: Any, wrap: Any, plain: bool) -> None:
    def model(x: Tensor) -> Any:
        return returned if plain else wrap([returned] if wrap is not dict else {"logits": returned})

    answered(deletion, model, torch.rand(2, 2, 4, 5), torch.rand(2, 4, 5), 0, n_steps=2)
