"""What is offered to Captum and Quantus gives the numbers of this package (see ``release/contributions.py``)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from captum_gag import RCAP
from captum_gag.attr import GuidedMean, absolute
from captum_gag.attr.aggregations import GradientMoments

RELEASE = Path(__file__).parents[1] / "release"


def module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, RELEASE / path)
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5)).eval()


@pytest.mark.parametrize("percentile", [0.0, 37.0, 85.0, 100.0])
@pytest.mark.parametrize("at_once", [None, 3])
def test_guided_absolute_grad(network: nn.Module, percentile: float, at_once: int | None) -> None:
    gag = module("captum/captum/attr/_core/guided_absolute_grad.py").GuidedAbsoluteGrad(network)
    seen = GradientMoments(absolute)
    gradients_of: Callable[..., Any] = gag.gradient_func

    def watched(*arguments: Any) -> Any:
        found = gradients_of(*arguments)
        seen.update(found[0].unflatten(0, (2, -1)).transpose(0, 1))
        return found

    gag.gradient_func = watched
    images = torch.randn(2, 3, 8, 8)
    found = gag.attribute(images, target=[1, 4], nt_samples=7, nt_samples_batch_size=at_once, percentile=percentile)
    torch.testing.assert_close(found, GuidedMean(percentile)(seen).float(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("shape", [(6, 3, 8, 8), (6, 1, 8, 8), (6, 8, 8)])
def test_rcap(network: nn.Module, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(6, 3, 8, 8)).astype(np.float32)
    # Ties and zeros: a third of the maps' values are none.
    maps = (rng.normal(size=shape).round(1) * (rng.random(shape) > 1 / 3)).astype(np.float32)
    asked = {"model": network, "x_batch": images, "y_batch": np.arange(6) % 5, "a_batch": maps, "device": "cpu"}
    options = {"lower_bound": 20, "interval": 20, "perturb_baseline": 0.3, "disable_warnings": True}
    offered = module("quantus/quantus/metrics/faithfulness/rcap.py").RCAP(**options)
    assert issubclass(type(offered), quantus.Metric)
    np.testing.assert_allclose(offered(**asked), RCAP(output="logits", **options)(**asked), rtol=1e-5)
