"""Arrays by name, in a file that is whole or not there, and that is what was written, or damaged."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from captum_gag.errors import InputError, first_line, warn
from captum_gag.files import replace_file


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], marks: Mapping[str, str] | None = None) -> None:
    """Write arrays, though it be none, and the directory that the file is in; marks say of what they are, by name."""
    path.parent.mkdir(exist_ok=True)
    whole = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
    marked = {**(marks or {}), "checksum": _checksum(whole)}
    replace_file(path, lambda place: safetensors.numpy.save_file(whole, place, marked))


def read_arrays(path: Path, marks: Mapping[str, str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays; none if there is no file, or one with other marks, or a damaged one, which a warning names.

    Raises:
        InputError: They cannot be read, this time.
    """
    if not path.exists():
        return {}
    try:
        with _opened(path) as file:
            found = file.metadata() or {}
            if not _are(found, marks):
                return {}
            arrays: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not _are(found, {"checksum": _checksum(arrays)}):
            raise ValueError("it is not what was written")
    except OSError as error:
        raise InputError(f"{path}: cannot be read now ({first_line(error)}); try again") from error
    except Exception as error:
        warn(f"{path}: is damaged ({first_line(error)}), and left out; delete it, and captum-gag resume makes it again")
        return {}
    return arrays


def holds_arrays(path: Path, marks: Mapping[str, str] | None = None) -> bool:
    """Tell whether there is a file of arrays with such marks that has its full length, without reading them.

    Raises:
        InputError: It cannot be told, this time.
    """
    try:
        with _opened(path) as file:
            return _are(file.metadata() or {}, marks)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"{path}: cannot be read now ({first_line(error)}); try again") from error
    except Exception:
        return False


def _opened(path: Path) -> Any:
    # Its own library takes any file that cannot be opened for one that is not there.
    path.open("rb").close()
    return safetensors.safe_open(path, "numpy")


def _are(found: Mapping[str, str], marks: Mapping[str, str] | None) -> bool:
    """Tell whether marks are those expected, as far as there are any: older files have none."""
    return all(found.get(name, mark) == mark for name, mark in (marks or {}).items())


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    found = 0
    for name in sorted(arrays):
        each = arrays[name]
        found = zlib.crc32(each.tobytes(), zlib.crc32(f"{name} {each.dtype} {each.shape}".encode(), found))
    return str(found)
