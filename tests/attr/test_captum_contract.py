"""Captum's own config-driven generic tests, with this package's attributions added to the algorithms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import Tensor, nn

from captum_gag.attr import GuidedAbsoluteGrad, GuidedIG

test_config = pytest.importorskip(
    "captum.testing.attr.helpers.test_config",
    reason="this Captum does not ship its generic test configurations",
)


def cases(host: type) -> list[dict[str, Any]]:
    return [case for case in test_config.config if host in case["algorithms"] and "layer" not in case]


# GuidedAbsoluteGrad takes what Saliency takes, GuidedIG what IntegratedGradients takes.
METHODS = [(GuidedAbsoluteGrad, Saliency), (GuidedIG, IntegratedGradients)]
CASES = [(method, case) for method, host in METHODS for case in cases(host)]
IDS = [f"{method.__name__}-{case['name']}" for method, case in CASES]
BY_NAME = pytest.mark.parametrize(("method", "case"), CASES, ids=IDS)


def attribute(
    method: type, case: dict[str, Any], model: nn.Module | None = None, **changes: Any
) -> Tensor | tuple[Tensor, ...]:
    """Run one of Captum's configurations, with a seed, on its model or on a wrapped one."""
    attribution = method(model or case["model"])
    if case.get("noise_tunnel"):
        torch.manual_seed(1234)
        attribution = NoiseTunnel(attribution)
    arguments = {**case["attribute_args"], **changes}
    if method is GuidedAbsoluteGrad and case.get("noise_tunnel"):
        arguments |= {"noise_level": 0.0, "percentile": 0.0}
    if method is GuidedAbsoluteGrad:
        arguments["seed"] = 0
    for other in ("abs", "method"):  # of Saliency and of IntegratedGradients
        arguments.pop(other, None)
    return attribution.attribute(**arguments)


def assert_same(actual: Tensor | tuple[Tensor, ...], expected: Tensor | tuple[Tensor, ...], rtol: float = 1e-4) -> None:
    assert isinstance(actual, tuple) == isinstance(expected, tuple)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=1e-5)


def test_captum_has_such_cases() -> None:
    assert len(CASES) >= 24


@BY_NAME
def test_shapes_and_hooks(method: type, case: dict[str, Any]) -> None:
    def hooks(module: nn.Module) -> list[int]:
        return [
            len(each._forward_hooks) + len(each._forward_pre_hooks) + len(each._backward_hooks)
            for each in module.modules()
        ]

    before = hooks(case["model"])
    result, inputs = attribute(method, case), case["attribute_args"]["inputs"]
    assert isinstance(result, tuple) == isinstance(inputs, tuple)
    for one, given in zip(
        result if isinstance(result, tuple) else (result,),
        inputs if isinstance(inputs, tuple) else (inputs,),
        strict=True,
    ):
        assert one.shape == given.shape
    assert hooks(case["model"]) == before


def has_a_target_per_example(case: dict[str, Any]) -> bool:
    target = case["attribute_args"].get("target")
    several = isinstance(target, (list, Tensor)) and torch.as_tensor(target).numel() > 1
    return several and not case.get("noise_tunnel")


BY_TARGET = [(method, case) for method, case in CASES if has_a_target_per_example(case)]


@pytest.mark.parametrize(
    ("method", "case"), BY_TARGET, ids=[f"{method.__name__}-{case['name']}" for method, case in BY_TARGET]
)
def test_targets_of_a_batch_are_those_of_its_examples(method: type, case: dict[str, Any]) -> None:
    arguments = case["attribute_args"]
    together = attribute(method, case)
    for index, target in enumerate(arguments["target"]):

        def one(value: Any, index: int = index) -> Any:
            return value[index : index + 1] if isinstance(value, Tensor) else value

        inputs = arguments["inputs"]
        changes: dict[str, Any] = {
            "inputs": tuple(map(one, inputs)) if isinstance(inputs, tuple) else one(inputs),
            "target": int(target) if isinstance(target, Tensor) else target,
        }
        if isinstance(arguments.get("baselines"), Tensor | tuple):
            baselines = arguments["baselines"]
            changes["baselines"] = tuple(map(one, baselines)) if isinstance(baselines, tuple) else one(baselines)
        if "additional_forward_args" in arguments:
            extra = arguments["additional_forward_args"]
            changes["additional_forward_args"] = tuple(map(one, extra)) if isinstance(extra, tuple) else one(extra)
        expected = tuple(map(one, together)) if isinstance(together, tuple) else one(together)
        assert_same(attribute(method, case, **changes), expected, rtol=1e-3)


@BY_NAME
def test_data_parallel_gives_the_same(method: type, case: dict[str, Any]) -> None:
    assert_same(attribute(method, case, nn.DataParallel(case["model"])), attribute(method, case))


@BY_NAME
def test_jit_trace_gives_the_same(method: type, case: dict[str, Any]) -> None:
    arguments = case["attribute_args"]
    inputs = arguments["inputs"] if isinstance(arguments["inputs"], tuple) else (arguments["inputs"],)
    extra = arguments.get("additional_forward_args")
    extra = () if extra is None else extra if isinstance(extra, tuple) else (extra,)
    if all(isinstance(each, Tensor) for each in extra):
        model = torch.jit.trace(case["model"], (*inputs, *extra))
    else:
        model = torch.jit.script(case["model"])
    assert_same(attribute(method, case, model), attribute(method, case), rtol=1e-3)
