"""Lists in one piece of memory say what the same lists say as an object each."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captum_gag.reliability.lists import arrays, firsts, in_one_piece, lengths, stacked

KIND = pd.ArrowDtype(pa.list_(pa.float64()))
NUMBER = st.one_of(st.just(math.nan), st.floats(-10, 10))


@given(st.lists(st.one_of(st.none(), st.lists(NUMBER, max_size=4)), max_size=8), st.randoms())
def test_in_one_piece_or_not_they_are_the_same(given_lists, random):
    places = random.sample(range(len(given_lists)), len(given_lists))
    objects = pd.Series(given_lists, dtype=object)
    # Lists of a part of a table, in another order, begin anywhere in the piece.
    for column in (
        objects,
        objects.astype(KIND),
        objects.astype(KIND).iloc[places],
        pd.concat([objects.astype(KIND)] * 2),
    ):
        known = [given_lists[place] or [] for place in column.index]
        assert in_one_piece(column) == (column.dtype == KIND)
        assert lengths(column).tolist() == [len(each) for each in known]
        np.testing.assert_array_equal(firsts(column), [each[0] if each else math.nan for each in known])
        for found, each in zip(arrays(column), known, strict=True):
            np.testing.assert_array_equal(found, each)


@pytest.mark.parametrize("kind", [object, KIND])
def test_lists_of_one_length_are_rows(kind):
    column = pd.Series([[1.0, 2.0], [3.0, 4.0], [5.0, math.nan]], dtype=object).astype(kind)
    np.testing.assert_array_equal(stacked(column[1:]), [[3, 4], [5, math.nan]])
    with pytest.raises(ValueError, match="same shape"):
        stacked(pd.concat([column, pd.Series([[1.0]], dtype=object).astype(kind)]))
