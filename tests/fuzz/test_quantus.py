"""Our metrics as Quantus calls them: the scores of the functions, whatever the arrays look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fuzz.strategies import FUZZ, PRECISE, Case, answered, cases, close, junk_for, network, untouched, values
from hypothesis import given
from hypothesis import strategies as st

from captum_gag.metrics import (
    AOPC,
    RCAP,
    Deletion,
    Faithfulness,
    Insertion,
    LogCoshDice,
    SegmentationMAE,
    aopc,
    deletion,
    faithfulness,
    insertion,
    rcap,
)
from captum_gag.options import options_of

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

PAIRS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "RCAP": (RCAP, rcap, {}),
    "Deletion": (Deletion, deletion, {"n_steps": 3, "perturb_baseline": "mean"}),
    "Insertion": (Insertion, insertion, {"n_steps": 3, "perturb_baseline": 0.2}),
    "AOPC": (AOPC, aopc, {"n_steps": 5}),
    "Faithfulness": (Faithfulness, faithfulness, {"n_pixels": 5}),
}


@FUZZ
@given(
    cases([(2, 6, 5), (1, 4, 4)], PRECISE, ("linear", "smooth"), ["plain", "positive", "tied"]),
    st.sampled_from(sorted(PAIRS)),
    st.sampled_from(["whole", "one channel", "plane"]),
    st.integers(1, 3),
)
def test_scores_are_those_of_the_function(case: Case, name: str, form: str, batch_size: int) -> None:
    metric, function, options = PAIRS[name]
    n, channels, *sides = case.inputs.shape
    shape = {"whole": (n, channels, *sides), "one channel": (n, 1, *sides), "plane": (n, *sides)}[form]
    maps = values(shape, "plain", case.target[0]).to(case.dtype)
    maps = maps.abs() if form == "plane" else maps
    inputs = case.inputs.detach().contiguous()
    arrays = {"x_batch": inputs.numpy(), "y_batch": np.array(case.target), "a_batch": maps.numpy()}
    with untouched(case):
        found = metric(output="logits", **options)(case.model, batch_size=batch_size, channel_first=True, **arrays)
    expected = function(case.model, inputs, maps, case.target, output="logits", **options)
    close(torch.tensor(found, dtype=torch.float64), expected.double(), case.dtype, torch.ones(()))


X = torch.rand(2, 2, 4, 5).numpy()
KNOWN = {
    "model": network((2, 4, 5), "smooth"),
    "x_batch": X,
    "y_batch": np.array([0, 1]),
    "a_batch": X,
    "s_batch": None,
}
KNOWN |= {"channel_first": True, "batch_size": 2, "softmax": True, "device": None, "explain_func": None}


@FUZZ
@given(st.sampled_from(sorted(PAIRS)), junk_for(KNOWN))
def test_arguments_without_meaning(name: str, junk: dict[str, Any]) -> None:
    metric, _, options = PAIRS[name]
    answered(metric(output="logits", **options), **{**KNOWN, **junk})


@FUZZ
@given(st.data(), st.sampled_from([RCAP, Deletion, Insertion, AOPC, Faithfulness, LogCoshDice, SegmentationMAE]))
def test_options_without_meaning(data: st.DataObject, metric: Any) -> None:
    answered(metric, **data.draw(junk_for({each.name: each.default for each in options_of(metric)})))
