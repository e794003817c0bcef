"""Row percentiles against NumPy's; arrays of every memory layout as tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from array_forms import FORMS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from captum_gag.errors import InputError
from captum_gag.tensors import as_tensor, row_percentiles

FINITE = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=100, deadline=None)
@given(
    rows=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=FINITE),
    percentiles=st.lists(st.floats(0, 100), min_size=1, max_size=5),
)
def test_agrees_with_numpy(rows: np.ndarray, percentiles: list[float]) -> None:
    expected = np.percentile(rows.astype(np.float64), percentiles, axis=1).T
    scale = max(1.0, float(np.abs(rows).max()))
    np.testing.assert_allclose(
        row_percentiles(torch.from_numpy(rows), percentiles).numpy(), expected, atol=1e-5 * scale
    )


def test_a_percentile_that_hits_an_element_is_that_element_exactly() -> None:
    row = torch.randn(1, 101, generator=torch.Generator().manual_seed(0))
    result = row_percentiles(row, [float(p) for p in range(101)])
    assert torch.equal(result, row.sort().values)


def test_row_longer_than_torch_quantile_takes() -> None:
    row = torch.arange(16_777_217, dtype=torch.float64).flip(0)[None]
    assert row_percentiles(row, [0, 50, 100]).tolist() == [[0.0, 8_388_608.0, 16_777_216.0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("values", [np.arange(6.0, dtype=np.float32).reshape(3, 2), np.arange(3)])
def test_an_array_of_any_memory_is_a_tensor(form: str, values: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_tensor("x", FORMS[form](values)).tolist() == values.tolist()
        assert as_tensor("x", FORMS[form](values).tolist()).tolist() == values.tolist()


@pytest.mark.parametrize(
    "values",
    [
        *(
            np.ma.masked_equal([1, 2], 2),
            np.array([1, None]),
            np.array(["1"]),
            np.array([1j]),
            [[1], [2, 3]],
            "1",
            None,
        ),
        *(torch.tensor([1j]), torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr(), torch.zeros(2, device="meta")),
    ],
)
def test_what_are_no_real_numbers_are_refused_by_name(values: Any) -> None:
    with pytest.raises(InputError, match=r"^x(:| is) .*must be (real numbers|dense)"):
        as_tensor("x", values)
