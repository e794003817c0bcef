"""Every statistic refuses what cannot be a confidence, a number of resamples or a seed, by name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError

NAMES = [
    "against_baselines",
    "faults",
    "implementation_sensitivity",
    "inter_method",
    "inter_rater",
    "internal_consistency",
    "report",
    "stability",
    "summary",
    "tricks",
    "validity",
]
BAD = {
    "confidence": [0, 1, 2, -0.5, float("nan"), "high", None, [0.9, 0.95]],
    "n_bootstrap": [0, -1, 2.5, float("nan"), "many", None],
    "seed": [-1, 0.5, float("inf"), None],
}
STATISTICS = {name: getattr(reliability, name) for name in NAMES}
CASES = [
    (statistic, name)
    for statistic, function in STATISTICS.items()
    for name in BAD
    if name in inspect.signature(function).parameters
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return reliability.from_arrays({name: {each: rng.random(6) for each in "abc"} for name in ("RCAP", "DAUC")})


@pytest.mark.parametrize(("statistic", "name"), CASES)
def test_it_is_refused(table: pd.DataFrame, statistic: str, name: str) -> None:
    first: dict[str, Any] = {"truth": ["DAUC"]} if statistic == "validity" else {}
    for value in BAD[name]:
        with pytest.raises(InputError, match=f"{statistic}: {name} is "):
            STATISTICS[statistic](table, **first, **{name: value})
