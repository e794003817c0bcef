"""Arrays of the same numbers, laid out in memory in ways that torch.from_numpy refuses, or warns of."""

import numpy as np

FORMS = {
    "reversed": lambda values: np.ascontiguousarray(values[::-1])[::-1],
    "big-endian": lambda values: values.astype(values.dtype.newbyteorder(">")),
    "read-only": lambda values: np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape),
    "larger": lambda values: values.astype(np.longdouble if values.dtype.kind == "f" else np.uint32),
    "nothing masked": np.ma.masked_array,
    "Fortran": np.asfortranarray,
}
