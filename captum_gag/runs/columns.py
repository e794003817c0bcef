"""The columns of what a run keeps: records, and the images that were chosen."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

RECORD = pa.schema(
    [
        ("image", pa.string()),
        ("group", pa.string()),
        ("target", pa.int64()),
        ("label", pa.string()),
        ("probability", pa.float64()),
        ("predicted", pa.int64()),
        ("predicted_label", pa.string()),
        ("predicted_probability", pa.float64()),
        ("method", pa.string()),
        ("base", pa.string()),
        ("transform", pa.string()),
        ("strength", pa.float64()),
        ("control", pa.string()),
        ("metric", pa.string()),
        ("variant", pa.string()),
        ("steps", pa.int64()),
        ("higher_is_better", pa.bool_()),
        ("uses_segmentation", pa.bool_()),
        ("score", pa.float64()),
        ("baseline_probability", pa.float64()),
        ("error", pa.string()),
        ("seconds", pa.float64()),
        ("seed", pa.int64()),
        ("curve_x", pa.list_(pa.float64())),
        ("curve_y", pa.list_(pa.float64())),
        ("curve_x_label", pa.string()),
        ("curve_y_label", pa.string()),
        ("photo", pa.string()),
        ("run", pa.string()),
    ]
)
"""The columns of every file of records, whether a column has values or not."""

SELECTION = pa.schema(
    [
        ("image", pa.string()),
        ("target", pa.int64()),
        ("probability", pa.float64()),
        ("photo", pa.string()),
        ("stamp", pa.string()),
    ]
)
"""The images of a run: ``photo`` is the digest of its files, ``stamp`` tells cheaply that they may have changed."""


def records_in_pandas(records: pa.Table) -> pd.DataFrame:
    """Return records as pandas has them, and let go of the table, each column as soon as pandas has it.

    Whole numbers are Int64, and lists stay in one piece of memory: millions of arrays would take three times as much.
    """

    def kind(type: pa.DataType) -> Any:
        return pd.Int64Dtype() if type == pa.int64() else pd.ArrowDtype(type) if pa.types.is_list(type) else None

    scores = records.to_pandas(types_mapper=kind, split_blocks=True, self_destruct=True)
    # What Arrow has let go of it keeps for itself.
    pa.default_memory_pool().release_unused()
    return scores.astype({"target": "Int64", "steps": "Int64"})
