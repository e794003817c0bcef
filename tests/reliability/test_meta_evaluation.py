"""Meta-consistency against the package metaquantus, and against cases in which it is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.errors import InputError

# What metaquantus 0.0.5 gives for ``example()``: means of compute_iac_score, compute_iec_resilience and
# compute_iec_adversary over methods and perturbations. Its adversary counts original < perturbed whatever the
# direction that is asked for; that is right where lower is better.
PUBLISHED = {"iac_nr": 0.4871419270833333, "iac_ar": 0.9785970052083334, "iec_nr": 0.6944444444444444}
PUBLISHED_IEC_AR_OF_LOWER = 0.8194444444444444


def table(values: np.ndarray, higher: bool = True) -> pd.DataFrame:
    """Return scores (methods, images) as a table."""
    named = {f"method {place}": each for place, each in enumerate(values)}
    return reliability.from_arrays({"metric": named}, higher_is_better={"metric": higher})


def perturbed(named: dict[str, tuple[bool, np.ndarray]], higher: bool = True) -> pd.DataFrame:
    return pd.concat(
        [
            table(values, higher).assign(perturbation=name, disruptive=disruptive)
            for name, (disruptive, values) in named.items()
        ]
    )


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    scores = random.random((3, 12))
    return scores, scores + random.normal(0, 0.15, (2, 3, 12)), scores + random.normal(0.3, 0.3, (2, 3, 12))


@pytest.mark.parametrize("higher", [True, False])
def test_is_that_of_metaquantus(higher: bool) -> None:
    scores, minor, major = example()
    parts = {f"minor {k}": (False, each) for k, each in enumerate(minor)}
    parts |= {f"major {k}": (True, each) for k, each in enumerate(major)}
    [row] = reliability.meta_consistency(table(scores, higher), perturbed(parts, higher)).to_dict("records")
    iec_ar = 1 - PUBLISHED_IEC_AR_OF_LOWER if higher else PUBLISHED_IEC_AR_OF_LOWER
    expected = {**PUBLISHED, "iec_ar": iec_ar}
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert row["mc"] == pytest.approx(np.mean(list(expected.values())))
    assert (row["methods"], row["images"]) == (3, 12)


def test_a_perfect_metric_has_1() -> None:
    scores = np.arange(60.0).reshape(3, 20)
    found = reliability.meta_consistency(
        table(scores), perturbed({"same": (False, scores), "worse": (True, scores - 100)})
    )
    assert found[["iac_nr", "iec_nr", "iec_ar"]].to_numpy().tolist() == [[1, 1, 1]]
    assert found["mc"].item() == pytest.approx(1, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6))
def test_lies_in_0_to_1_and_knows_no_order(seed: int, methods: int, images: int) -> None:
    random = np.random.default_rng(seed)
    before = table(random.integers(0, 4, (methods, images)).astype(float))
    after = perturbed({name: (name > "b", random.integers(0, 4, (methods, images)).astype(float)) for name in "abcd"})
    found = reliability.meta_consistency(before, after)
    values = found[["iac_nr", "iac_ar", "iec_nr", "iec_ar", "mc"]]
    assert values.to_numpy().min() >= 0
    assert values.to_numpy().max() <= 1
    shuffled = reliability.meta_consistency(before.sample(frac=1, random_state=seed), after.sample(frac=1))
    assert shuffled[values.columns].to_numpy().tolist() == pytest.approx(values.to_numpy())


def test_what_is_missing_is_left_out_or_unknown() -> None:
    scores, minor, _ = example()
    lacking = perturbed({"minor": (False, minor[0])})
    lacking.loc[(lacking["image"] == 3) & (lacking["method"] == "method 1"), "score"] = np.nan
    [row] = reliability.meta_consistency(table(scores), lacking).to_dict("records")
    without = np.delete(np.arange(12), 3)
    [expected] = reliability.meta_consistency(
        table(scores[:, without]), perturbed({"minor": (False, minor[0][:, without])})
    ).to_dict("records")
    assert row == pytest.approx(expected, nan_ok=True)
    assert row["images"] == 11
    assert np.isnan([row["iac_ar"], row["iec_ar"], row["mc"]]).all()


def test_refusals() -> None:
    scores, minor, _ = example()
    before, after = table(scores), perturbed({"minor": (False, minor[0])})
    with pytest.raises(InputError, match="lack disruptive, perturbation"):
        reliability.meta_consistency(before, before)
    with pytest.raises(InputError, match="expected true, or false"):
        reliability.meta_consistency(before, after.assign(disruptive=after["image"] > 3))
    with pytest.raises(InputError, match="no metric of the scores"):
        reliability.meta_consistency(before, after.assign(metric="other"))
    with pytest.raises(InputError, match="1 methods and 12 images"):
        reliability.meta_consistency(before, after[after["method"] == "method 0"])
