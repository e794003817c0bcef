"""Arrays by name, in a file that is whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from captum_gag.files import replace_file


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays, though it be none, and the directory that the file is in."""
    path.parent.mkdir(exist_ok=True)
    whole = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
    replace_file(path, lambda place: safetensors.numpy.save_file(whole, place))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read arrays; none if there is no file, or a damaged one."""
    try:
        found: dict[str, NDArray[Any]] = safetensors.numpy.load_file(path) if path.exists() else {}
    except Exception:
        return {}
    return found
