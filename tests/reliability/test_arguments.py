"""Every statistic refuses what cannot be a confidence, a number of resamples or a seed, by name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError

BAD = {
    "confidence": [0, 1, 2, -0.5, float("nan"), "high", None, [0.9, 0.95]],
    "n_bootstrap": [0, -1, 2.5, float("nan"), "many", None],
    "seed": [-1, 0.5, float("inf"), None],
}
CASES = [
    (statistic, name)
    for statistic in reliability.__all__
    if inspect.isfunction(getattr(reliability, statistic))
    for name in BAD
    if name in inspect.signature(getattr(reliability, statistic)).parameters
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
            getattr(reliability, statistic)(table, **first, **{name: value})
