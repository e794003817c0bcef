"""Captum's own config-driven generic tests, with this package's attributions added to the algorithms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor, nn

from captum_gag.attr import GuidedAbsoluteGrad

test_config = pytest.importorskip(
    "captum.testing.attr.helpers.test_config",
    reason="this Captum does not ship its generic test configurations",
)

CASES = [case for case in test_config.config if Saliency in case["algorithms"] and "layer" not in case]
BY_NAME = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])


def attribute(case: dict[str, Any], model: nn.Module | None = None, **changes: Any) -> Tensor | tuple[Tensor, ...]:
    """Run one of Captum's configurations, with a seed, on its model or on a wrapped one."""
    method: Any = GuidedAbsoluteGrad(model or case["model"])
    if case.get("noise_tunnel"):
        torch.manual_seed(1234)
        method = NoiseTunnel(method)
    arguments = {**case["attribute_args"], "seed": 0, **changes}
    arguments.pop("abs", None)
    return method.attribute(**arguments)


def assert_same(actual: Tensor | tuple[Tensor, ...], expected: Tensor | tuple[Tensor, ...], rtol: float = 1e-4) -> None:
    assert isinstance(actual, tuple) == isinstance(expected, tuple)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=1e-5)


def test_captum_has_such_cases() -> None:
    assert len(CASES) >= 12


@BY_NAME
def test_shapes_and_hooks(case: dict[str, Any]) -> None:
    def hooks(module: nn.Module) -> list[int]:
        return [
            len(each._forward_hooks) + len(each._forward_pre_hooks) + len(each._backward_hooks)
            for each in module.modules()
        ]

    before = hooks(case["model"])
    result, inputs = attribute(case), case["attribute_args"]["inputs"]
    assert isinstance(result, tuple) == isinstance(inputs, tuple)
    for one, given in zip(
        result if isinstance(result, tuple) else (result,),
        inputs if isinstance(inputs, tuple) else (inputs,),
        strict=True,
    ):
        assert one.shape == given.shape
    assert hooks(case["model"]) == before


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if isinstance(case["attribute_args"].get("target"), (list, Tensor))
        and len(torch.as_tensor(case["attribute_args"]["target"]).reshape(-1)) > 1
        and not case.get("noise_tunnel")
    ],
    ids=lambda case: case["name"],
)
def test_targets_of_a_batch_are_those_of_its_examples(case: dict[str, Any]) -> None:
    arguments = case["attribute_args"]
    together = attribute(case)
    for index, target in enumerate(arguments["target"]):

        def one(value: Any, index: int = index) -> Any:
            return value[index : index + 1] if isinstance(value, Tensor) else value

        inputs = arguments["inputs"]
        changes: dict[str, Any] = {
            "inputs": tuple(map(one, inputs)) if isinstance(inputs, tuple) else one(inputs),
            "target": int(target) if isinstance(target, Tensor) else target,
        }
        if "additional_forward_args" in arguments:
            extra = arguments["additional_forward_args"]
            changes["additional_forward_args"] = tuple(map(one, extra)) if isinstance(extra, tuple) else one(extra)
        expected = tuple(map(one, together)) if isinstance(together, tuple) else one(together)
        assert_same(attribute(case, **changes), expected, rtol=1e-3)


@BY_NAME
def test_data_parallel_gives_the_same(case: dict[str, Any]) -> None:
    assert_same(attribute(case, nn.DataParallel(case["model"])), attribute(case))


@BY_NAME
def test_jit_trace_gives_the_same(case: dict[str, Any]) -> None:
    arguments = case["attribute_args"]
    inputs = arguments["inputs"] if isinstance(arguments["inputs"], tuple) else (arguments["inputs"],)
    extra = arguments.get("additional_forward_args")
    extra = () if extra is None else extra if isinstance(extra, tuple) else (extra,)
    if all(isinstance(each, Tensor) for each in extra):
        model = torch.jit.trace(case["model"], (*inputs, *extra))
    else:
        model = torch.jit.script(case["model"])
    assert_same(attribute(case, model), attribute(case), rtol=1e-3)
