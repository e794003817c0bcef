"""Photographs and data sets: indexable, nothing read before it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captum_gag.data.datasets import ImageData


def dataset(spec: str | Mapping[str, Any]) -> ImageData:
    """Return a data set: its examples are listed, and none is read.

    Args:
        spec: A name that ``captum_gag.names.parse_data`` takes, or type and options; the options of
            ``package.module:callable`` are the callable's arguments.

    Raises:
        InputError: There is no such data set, it has no such options, or it is not laid out as expected (the message
            shows the tree).
    """
    from captum_gag.data.datasets import ImageData
    from captum_gag.data.memory import TorchData
    from captum_gag.names import DATASETS, parse_data
    from captum_gag.options import unknown

    options = dict(parse_data(spec) if isinstance(spec, str) else spec)
    type = str(options.pop("type", ""))
    if ":" in type:
        own = TorchData(type, options)
        data = own.source if isinstance(own.source, ImageData) else own
    elif type in DATASETS:
        data = DATASETS[type].load()(**options)
    else:
        raise unknown("data set", type, [*DATASETS, TorchData.type])
    len(data)
    return data
