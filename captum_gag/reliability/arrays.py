"""Score tables of arrays, as evaluations return them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import SkipValidation, Strict

from captum_gag.errors import InputError, shown
from captum_gag.options import checked as with_checked_arguments
from captum_gag.reliability.directions import KNOWN, known_direction
from captum_gag.reliability.scores import CONTROLS, checked


@with_checked_arguments
def from_arrays(
    scores: Mapping[Any, Mapping[Any, Any]],
    images: SkipValidation[Sequence[object] | None] = None,
    *,
    levels: Literal["method", "metric"] | None = None,
    higher_is_better: Mapping[Any, bool] | None = None,
    controls: Mapping[Any, str] | None = None,
    transforms: Mapping[Any, Annotated[tuple[str, str], Strict(False)]] | None = None,
) -> pd.DataFrame:
    """Make a score table of arrays, such as ``metrics.evaluate`` and ``quantus.evaluate`` return.

    Args:
        scores: One score per image, in the same order everywhere: lists, arrays or tensors of shape (N,), either by
            method and then by metric, as both functions return them, or by metric and then by method.
        images: What the images are called. None calls them 0, 1, ...
        levels: Which comes first, "method" or "metric". None takes for the metrics the level whose names all are of
            metrics with a known direction: of this package, of Quantus, or in ``higher_is_better``.
        higher_is_better: By metric; needed for metrics that neither this package nor Quantus knows.
        controls: By method, "random" for a random ordering, "edges" for an edge detector, "constant" for a constant
            map. ``Random``, ``Sobel`` and ``Constant`` need not be named.
        transforms: By method whose maps are another's, manipulated: the other method and what was done, such as
            ``{"GAG-85 sharpened": ("GAG-85", "sharpen")}``.

    Returns:
        The table, as ``checked`` returns it.

    Raises:
        InputError: The arrays are not all as long as the list of images, it cannot be told which level is the metrics',
            or an option names what is not there.
    """
    names: Any = getattr(images, "tolist", lambda: images)()
    nested = isinstance(names, Sequence) and any(isinstance(name, list | dict | set) for name in names)
    if names is not None and (not isinstance(names, Sequence) or isinstance(names, str) or nested):
        raise InputError(f"images is {shown(images)}; expected a list of the images' names")
    outer, inner = list(map(str, scores)), list(dict.fromkeys(str(name) for part in scores.values() for name in part))
    if not inner:
        raise InputError("the scores are empty; expected a score per image, method and metric")
    directions = {str(name): higher for name, higher in (higher_is_better or {}).items()}
    first = levels or _first_level(outer, inner, directions)
    metrics, methods = (outer, inner) if first == "metric" else (inner, outer)
    controls = {str(name): control for name, control in (controls or {}).items()}
    transforms = {str(name): of_and_how for name, of_and_how in (transforms or {}).items()}
    options: dict[str, Any] = {"higher_is_better": (directions, metrics), "controls": (controls, methods)}
    for option, (by_name, there) in {**options, "transforms": (transforms, methods)}.items():
        absent = [name for name in by_name if name not in there]
        if absent:
            raise InputError(f"{option} names {absent[0]!r}, which has no scores; expected some of {_some(there)}")
    parts = []
    for above, by_name in scores.items():
        for below, values in by_name.items():
            metric, method = (above, below) if first == "metric" else (below, above)
            column = _array(values, f"{metric} of {method}")
            names = range(column.size) if names is None else names
            if column.shape != (len(names),):
                raise InputError(
                    f"{metric} of {method} has shape {column.shape}; expected ({len(names)},), a score per image"
                )
            parts.append(pd.DataFrame({"image": names, "method": str(method), "metric": str(metric), "score": column}))
    table = pd.concat(parts, ignore_index=True)
    return checked(
        table.assign(
            higher_is_better=table["metric"].map(directions).astype("boolean"),
            control=table["method"].map({**CONTROLS, **controls}),
            base=table["method"].map({name: base for name, (base, _) in transforms.items()}),
            transform=table["method"].map({name: done for name, (_, done) in transforms.items()}),
        )
    )


def _first_level(outer: list[str], inner: list[str], directions: Mapping[str, bool]) -> str:
    """Find out which level is the metrics' by their directions."""
    # Quantus is imported only where the names of this package decide nothing.
    for known in (lambda name: name in KNOWN, lambda name: known_direction(name) is not None):
        by_metric, by_method = (all(name in directions or known(name) for name in names) for names in (outer, inner))
        if by_metric != by_method:
            return "metric" if by_metric else "method"
    raise InputError(
        f"which names are metrics, {_some(outer)} or {_some(inner)}? Say levels='metric' or levels='method', "
        "whichever comes first, or give the directions of the metrics: higher_is_better={NAME: True}"
    )


def _array(values: Any, what: str) -> NDArray[np.float64]:
    try:
        # Tensors may be on a GPU, part of a graph, or of a dtype that NumPy lacks.
        plain = values.detach().cpu().tolist() if hasattr(values, "detach") else values
        # A masked score is a missing one.
        array = np.asarray(np.ma.filled(plain.astype(float), np.nan) if isinstance(plain, np.ma.MaskedArray) else plain)
        # NumPy would take text such as 1_000 for a number, and drop the imaginary part of another.
        texts = array.dtype == object and any(isinstance(value, str) for value in array.ravel())
        if array.dtype.kind in "USc" or texts:
            raise TypeError
        return array.astype(float)
    # Sparse tensors, and those without values, are no lists.
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} is no array of numbers; expected a score per image") from error


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
