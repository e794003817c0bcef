"""Checks of any score table: no order of rows, images or methods, and no scale of a metric, changes what they say."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fuzz.strategies import FUZZ, JUNK, answered, junk_for
from hypothesis import given
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.reliability.scores import checked

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

METRICS = ["RCAP", "AOPC MoRF", "Deletion", "Insertion"]
DIRECTIONS = {name: name != "Deletion" for name in METRICS}
METHODS = ["a", "b", "c", "Random", "Sobel", "b^R"]
EXACT = ["inter_rater", "inter_method", "internal_consistency", "implementation_sensitivity", "ordering_means"]
DRAWN = ["summary", "against_baselines", "tricks", "stability", "validity", "faults", "report", "sequential"]


@st.composite
def tables(draw: Any, gaps: bool = True) -> pd.DataFrame:
    """Return a score table: ties, constants, gaps, scores of any scale."""
    metrics = draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=3, unique=True))
    methods = draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=5, unique=True))
    n, rng = draw(st.integers(1, 7)), np.random.default_rng(draw(st.integers(0, 999)))
    kind = draw(st.sampled_from(["plain", "tied", "constant", "tiny", "huge"]))
    make = {
        "plain": lambda: rng.random(n),
        "tied": lambda: rng.integers(0, 3, n) / 2,
        "constant": lambda: np.full(n, 0.3),
        "tiny": lambda: rng.random(n) * 1e-30,
        "huge": lambda: rng.random(n) * 1e30,
    }[kind]
    scores = {metric: {method: make() for method in methods} for metric in metrics}
    directions = {name: DIRECTIONS[name] for name in metrics}
    transforms = {"b^R": ("b", "reverse")} if {"b", "b^R"} <= set(methods) else {}
    table = reliability.from_arrays(scores, levels="metric", higher_is_better=directions, transforms=transforms)
    if gaps and draw(st.booleans()):
        table.loc[rng.random(len(table)) < draw(st.sampled_from([0.1, 0.5, 1.0])), "score"] = np.nan
    return table.sample(frac=1, random_state=1) if draw(st.booleans()) else table


def called(name: str, table: Any, **options: Any) -> Any:
    known = inspect.signature(getattr(reliability, name)).parameters
    few = {key: value for key, value in {"n_bootstrap": 20, "n_resamples": 10}.items() if key in known}
    needed = {"validity": {"truth": ["RCAP"]}, "groups": {"by": "image"}}
    given = {**few, **needed.get(name, {})}
    return answered(getattr(reliability, name), table, **{**given, **options})


@FUZZ
@given(tables(), st.sampled_from([*EXACT, *DRAWN]))
def test_tables_are_left_alone_and_answers_are_numbers(table: pd.DataFrame, name: str) -> None:
    before = table.copy()
    found = called(name, table)
    pd.testing.assert_frame_equal(table, before)
    if name in ("inter_rater", "inter_method"):
        assert found is None or found.select_dtypes("number").abs().max(axis=None) < np.inf


@FUZZ
@given(tables(gaps=False), st.sampled_from(EXACT), st.randoms(use_true_random=False))
def test_neither_order_nor_names_of_images_matter(table: pd.DataFrame, name: str, random: Any) -> None:
    found = called(name, table)
    order = random.sample(range(len(table)), len(table))
    again = called(name, table.iloc[order])
    assert (found is None) == (again is None)
    if found is not None:
        # The rows come in the order of the table.
        plain = [each.reset_index() for each in (found, again)]
        keys = [each for each in plain[0].columns if plain[0][each].dtype.kind not in "fiub"]
        one, other = (
            each.sort_values(keys).reset_index(drop=True).drop(columns="index", errors="ignore") for each in plain
        )
        pd.testing.assert_frame_equal(one, other, rtol=1e-9)


@FUZZ
@given(tables(gaps=False), st.sampled_from(["inter_rater", "inter_method"]), st.sampled_from([2.0**-40, 2.0**40]))
def test_ranks_know_no_scale(table: pd.DataFrame, name: str, scale: float) -> None:
    found, again = called(name, table), called(name, table.assign(score=table["score"] * scale))
    assert (found is None) == (again is None)
    if found is not None:
        pd.testing.assert_frame_equal(found, again, rtol=1e-9)


TABLE = reliability.from_arrays(
    {metric: {each: [0.1, 0.2, 0.3] for each in "ab"} for metric in METRICS},
    levels="metric",
    higher_is_better=DIRECTIONS,
)


@FUZZ
@given(st.data(), st.sampled_from([*EXACT, *DRAWN, "groups", "read_scores"]))
def test_arguments_without_meaning(data: st.DataObject, name: str) -> None:
    parameters = list(inspect.signature(getattr(reliability, name)).parameters)
    junk = data.draw(junk_for(dict.fromkeys(parameters)))
    first = junk.pop(parameters[0], TABLE)
    found = called(name, first, **junk)
    if name == "groups" and found is not None:
        answered(list, found)


@FUZZ
@given(st.data(), st.sampled_from(list(checked(TABLE).columns)))
def test_columns_without_meaning(data: st.DataObject, column: str) -> None:
    value = data.draw(st.one_of(st.none(), st.text(max_size=4), st.integers(), st.floats(), st.booleans()))
    broken = TABLE.astype({column: object}) if column in TABLE else TABLE.copy()
    broken[column] = [value] * len(broken)
    if data.draw(st.booleans()) and len(broken) > 1:
        broken[column] = [value, *TABLE[column][1:]] if column in TABLE else [value, *[None] * (len(broken) - 1)]
    answered(reliability.inter_rater, broken)
    answered(reliability.summary, broken, n_bootstrap=5)


KNOWN = {"scores": {"RCAP": {"a": [0.1, 0.2], "b": [0.3, 0.4]}}, "images": ["x", "y"], "levels": "metric"}
KNOWN |= {"higher_is_better": {"RCAP": True}, "controls": {"a": "random"}, "transforms": {"b": ("a", "reverse")}}


@FUZZ
@given(junk_for(KNOWN), st.dictionaries(JUNK.filter(lambda key: getattr(key, "__hash__", None)), JUNK, max_size=2))
def test_arrays_without_meaning(junk: dict[str, Any], scores: Any) -> None:
    answered(reliability.from_arrays, **{**KNOWN, **junk})
    answered(reliability.from_arrays, {"RCAP": scores})
