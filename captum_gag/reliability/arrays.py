"""Score tables of arrays, as evaluations return them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from captum_gag.errors import InputError, shown
from captum_gag.reliability.directions import KNOWN, known_direction
from captum_gag.reliability.scores import CONTROLS, checked


def from_arrays(
    scores: Mapping[str, Mapping[str, ArrayLike]],
    images: Sequence[object] | None = None,
    *,
    levels: Literal["method", "metric"] | None = None,
    higher_is_better: Mapping[str, bool] | None = None,
    controls: Mapping[str, str] | None = None,
    transforms: Mapping[str, tuple[str, str]] | None = None,
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
    if not isinstance(scores, Mapping) or not all(isinstance(each, Mapping) for each in scores.values()):
        raise InputError("the scores are no dict of dicts; expected {method: {metric: a score per image}}")
    if isinstance(images, str):
        raise InputError(f"images is the text {images!r}; expected a list of the images' names")
    for name, given_names in (
        ("higher_is_better", higher_is_better),
        ("controls", controls),
        ("transforms", transforms),
    ):
        if given_names is not None and not isinstance(given_names, Mapping):
            raise InputError(f"{name} is {shown(given_names)}; expected a dict by name")
    for name, made in (transforms or {}).items():
        if not isinstance(made, tuple | list) or len(made) != 2 or not all(isinstance(each, str) for each in made):
            raise InputError(f"transforms of {name!r} is {shown(made)}; expected (method, what was done to its map)")
    for name, higher in (higher_is_better or {}).items():
        if not isinstance(higher, bool | np.bool_):
            raise InputError(f"higher_is_better of {name!r} is {shown(higher)}; expected True or False")
    if levels is not None and not isinstance(levels, str):
        raise InputError(f"levels is {shown(levels)}; expected 'method' or 'metric', whichever comes first")
    names: Any = getattr(images, "tolist", lambda: images)()
    outer, inner = list(map(str, scores)), list(dict.fromkeys(str(name) for each in scores.values() for name in each))
    ordered = isinstance(names, Iterable) and hasattr(names, "__len__") and not isinstance(names, Mapping | Set)
    listed = names is None or ordered
    if not listed or (names is not None and any(isinstance(each, list | dict | set) for each in names)):
        raise InputError(f"images is {shown(images)}; expected a list of the images' names")
    if not inner:
        raise InputError("the scores are empty; expected a score per image, method and metric")
    given = {str(name): bool(higher) for name, higher in (higher_is_better or {}).items()}
    first = levels or _first_level(outer, inner, given)
    if first not in ("method", "metric"):
        raise InputError(f"levels is {levels!r}; expected 'method' or 'metric', whichever comes first")
    metrics, methods = (outer, inner) if first == "metric" else (inner, outer)
    _check_names("higher_is_better", given, metrics)
    _check_names("controls", controls or {}, methods)
    _check_names("transforms", transforms or {}, methods)
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
    of_method = {name: tuple(each) for name, each in (transforms or {}).items()}
    return checked(
        table.assign(
            higher_is_better=table["metric"].map(given).astype("boolean"),
            control=table["method"].map({**CONTROLS, **(controls or {})}),
            base=table["method"].map({name: base for name, (base, _) in of_method.items()}),
            transform=table["method"].map({name: done for name, (_, done) in of_method.items()}),
        )
    )


def _first_level(outer: list[str], inner: list[str], given: Mapping[str, bool]) -> str:
    """Find out which level is the metrics' by their directions."""

    def own(name: str) -> bool:
        return name in given or name in KNOWN

    def anybodys(name: str) -> bool:
        return own(name) or known_direction(name) is not None

    # Quantus is imported only where the names of this package decide nothing.
    for known in (own, anybodys):
        by_metric, by_method = all(map(known, outer)), all(map(known, inner))
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
        found = np.asarray(np.ma.filled(plain.astype(float), np.nan) if isinstance(plain, np.ma.MaskedArray) else plain)
        # NumPy would take text such as 1_000 for a number, and drop the imaginary part of another.
        if found.dtype.kind in "USc" or any(isinstance(each, str) for each in found.ravel() if found.dtype == object):
            raise TypeError
        return found.astype(float)
    # Sparse tensors, and those without values, are no lists.
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} is no array of numbers; expected a score per image") from error


def _check_names(option: str, given: Iterable[object], there: Sequence[str]) -> None:
    for name in given:
        if name not in there:
            raise InputError(f"{option} names {name!r}, which has no scores; expected some of {_some(there)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
