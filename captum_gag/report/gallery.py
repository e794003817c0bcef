"""Pictures and curves of the images of a run, for its page."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from torch import Tensor

from captum_gag.attr.methods import Method
from captum_gag.reliability.scores import LABEL
from captum_gag.report.figures import top_of
from captum_gag.report.image_selection import Selection
from captum_gag.report.worst import Ranked
from captum_gag.runs.guide_parts import Parts, guided
from captum_gag.runs.photographs import Photograph
from captum_gag.runs.store import Run

SIDES = (224, 192, 160, 128, 112, 96, 80, 72, 64, 56, 48)
"""Of a picture on the page, in pixels: the largest with which the page keeps to its size."""
MOST_BYTES, BYTES_PER_PIXEL = 20e6, 0.3
"""Of all pictures together, and of one pixel of a map in WebP and base64, as measured."""
GUIDE_BYTES, GUIDE_BYTES_PER_PIXEL = 15e6, 7.5
"""Of both parts of all guides together, and of one pixel of them in lossless WebP and base64, as measured."""
COLUMNS = 8
CLASSES = ["target", "label", "probability", "predicted", "predicted_label", "predicted_probability"]
"""Columns of an image's classes: the one explained and the one predicted, with their names and probabilities."""

PHOTOGRAPHS, BEST = 4, 2
"""Photographs, and explanations beside each."""

CONTROLS = ("displaced", "random")
"""Roles of the controls that stand beside them."""

EXAMPLE_SIDE = 256
"""Of a picture, in pixels."""


class Item(NamedTuple):
    """One image of the gallery.

    Attributes:
        number: Its index among all images of the run.
        image: Its name.
        label: Name of the class explained; "" if unknown.
        probability: Of that class; NaN if unknown.
        about: Which class was explained, predicted and true, in words.
        pictures: Data URI of a sheet of squares: the photograph, or grey, then a map per method; "" without maps.
        methods: Of the maps, in the order of the sheet.
        masked: Whether the sheet's last square is the mask of the object.
        guide: Both parts of GAG's map, to redraw it at any percentile; see ``slider``.
        why: Why it was selected to be shown; "" where all images are.
    """

    number: int
    image: str
    label: str
    probability: float
    about: str
    pictures: str
    methods: list[str]
    masked: bool
    guide: dict[str, Any] | None
    why: str


def gallery(
    run: Run, classes: pd.DataFrame, methods: Mapping[str, Method], side: int, selection: Selection
) -> Iterator[Item]:
    """Yield the images selected one by one.

    Args:
        run: Its maps are shown if they were kept.
        classes: Classes and probabilities of all images; see ``classes_of``.
        methods: Of the run, by label: the first that is GAG has a slider.
        side: Of a picture, in pixels; see ``picture_side``.
        selection: Which of them.
    """
    rows = {row["image"]: (number, row) for number, row in enumerate(classes.reset_index().to_dict("records"))}
    gag, stride = guided(methods), 0
    for image in selection.images:
        (number, row), maps, photograph = rows[image], run.maps(image), run.photograph(image)
        parts = {} if gag is None else run.parts(image)
        if parts and not stride:
            stride = stride_for(len(selection.images), parts["rank"][0].size)
        yield Item(
            number=number,
            image=image,
            label=row["label"],
            probability=row["probability"],
            about=about(row),
            pictures=sheet(photograph, maps, side) if maps else "",
            methods=list(maps),
            masked=photograph is not None and photograph.mask is not None,
            guide=None if gag is None else slider(parts, gag.options()["percentile"], stride),
            why=selection.reasons.get(image, ""),
        )


def classes_of(run: Run, scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``CLASSES`` and ``true``, its own class, of each image that has scores; NaN or "" where unknown.

    Args:
        run: In whose order the images are.
        scores: Its records, as ``reliability.scores.checked`` returns them.
    """
    selection, first = run.chosen().set_index("image"), scores.drop_duplicates("image").set_index("image")[CLASSES]
    first = first.loc[[image for image in selection.index if image in first.index]]
    # An image without a class of its own is explained by the predicted one.
    own = first["target"].where(first["predicted"].ne(first["target"]) & first["predicted"].notna())
    first = first.assign(true=selection["target"].reindex(first.index).astype("Float64").fillna(own.astype("Float64")))
    names = [name for name in CLASSES if name.endswith("label")]
    first[names] = first[names].astype(object).where(first[names].notna(), "")
    numbers = first.columns.difference(names)
    return first.astype(dict.fromkeys(numbers, "Float64")).astype(dict.fromkeys(numbers, float))


def about(row: Mapping[Hashable, Any]) -> str:
    """Return in words the class explained, whether it is the true and the predicted one, and the others.

    Args:
        row: Of ``classes_of``.
    """
    if np.isnan(row["target"]):
        return ""
    roles = {"the true class": row["true"], "the class predicted": row["predicted"]}
    matching = " and ".join(role for role, target in roles.items() if target == row["target"])
    text = _named(row["label"], row["target"], row["probability"]) + (f", {matching}" if matching else "")
    if not np.isnan(row["predicted"]) and row["predicted"] != row["target"]:
        prediction = _named(row["predicted_label"], row["predicted"], row["predicted_probability"])
        text += f"; the network predicts {prediction}"
    return text


def _named(label: str, target: float, probability: float) -> str:
    text = label or f"class {target:.0f}"
    return text if np.isnan(probability) else f"{text}, probability {100 * probability:.0f} %"


def picture_side(count: int) -> int:
    """Return the largest side at which so many pictures keep to the size of a page."""
    fitting = [side for side in SIDES if count * side**2 * BYTES_PER_PIXEL <= MOST_BYTES]
    return fitting[0] if fitting else SIDES[-1]


def curves_by_image(curves: pd.DataFrame, images: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the curves of one image after the other, by metric: a page may have a million of them.

    Args:
        curves: As ``run_figures.curves_of`` returns them.
        images: Their names.

    Yields:
        By metric x, x_label, y_label and by method y, None where it is NaN; empty for an image without curves.
    """
    rank = pd.Index(images).get_indexer(curves["image"])
    order = np.argsort(rank, kind="stable")
    names = ("metric", "method", "x", "y", "x_label", "y_label")
    columns = [curves[name].to_numpy(object)[order] for name in names]
    bounds = np.searchsorted(rank[order], np.arange(len(images) + 1))
    for start, end in itertools.pairwise(bounds):
        yield _curves(list(zip(*(column[start:end] for column in columns), strict=True)))


def _curves(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    curves: dict[str, Any] = {}
    if not rows:
        return curves
    values = np.concatenate([y for _, _, _, y, _, _ in rows]).round(3)
    # A NaN is not itself.
    ys = iter([y if y == y else None for y in values.tolist()])
    for metric, method, x, y, x_label, y_label in rows:
        if metric not in curves:
            curves[metric] = {"x": x.round(3).tolist(), "x_label": x_label, "y_label": y_label, "y": {}}
        curves[metric]["y"][method] = list(itertools.islice(ys, len(y)))
    return curves


def sheet(photograph: Photograph | None, maps: Mapping[str, Tensor], side: int) -> str:
    """Return a data URI of squares of this side, eight a row: photograph (or grey), grey maps, mask."""
    photo, mask = photograph or (Image.new("RGB", (side, side), "grey"), None)
    images = [photo, *(_levels(map) for map in maps.values()), *([] if mask is None else [mask])]
    tiles = [_square(image, side) for image in images]
    rows = -(-len(tiles) // COLUMNS)
    grid = Image.new("RGB", (side * min(COLUMNS, len(tiles)), side * rows))
    for index, tile in enumerate(tiles):
        grid.paste(tile, (side * (index % COLUMNS), side * (index // COLUMNS)))
    return _webp(grid, quality=55, method=4)


def stride_for(images: int, pixels: int) -> int:
    """Return the stride between kept pixels at which the guides of so many images keep to their size."""
    return next(
        stride for stride in range(1, 1000) if images * pixels / stride**2 * GUIDE_BYTES_PER_PIXEL <= GUIDE_BYTES
    )


def slider(parts: Parts, percentile: float, stride: int) -> dict[str, Any] | None:
    """Return both parts of GAG's map for the page, which redraws it at any percentile.

    Args:
        parts: As ``guide_parts.quantised`` returns them; empty for an image that has none.
        percentile: Of the method.
        stride: As ``stride_for`` returns it. A pixel that is kept keeps its rank among all pixels.

    Returns:
        picture (data URI: magnitude, and beside it rank, with the channels as colours), scale and level by channel,
        percentile; None without parts.
    """
    if not parts:
        return None
    both = np.concatenate([parts[name][:, ::stride, ::stride] for name in ("magnitude", "rank")], axis=2)
    colours = np.broadcast_to(both, (3, *both.shape[1:])).transpose(1, 2, 0)
    return {
        "picture": _webp(Image.fromarray(np.ascontiguousarray(colours)), lossless=True, quality=60),
        "scale": [float(f"{scale:.4g}") for scale in parts["scale"]],
        "level": [[float(f"{level:.3g}") for level in row] for row in parts["level"]],
        "percentile": percentile,
    }


def _webp(picture: Image.Image, **options: Any) -> str:
    """Return a picture as a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", **options)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _levels(saliency: Tensor) -> Image.Image:
    shares = np.nan_to_num(saliency.numpy() / top_of(saliency.numpy())).clip(0, 1)
    return Image.fromarray((255 * shares).round().astype(np.uint8))


def _square(image: Image.Image, side: int) -> Image.Image:
    method = Image.Resampling.BOX if side < max(image.size) else Image.Resampling.NEAREST
    return ImageOps.pad(image, (side, side), method)


def examples(run: Run, scores: pd.DataFrame, rows: pd.DataFrame, ranked: Ranked) -> dict[str, Any]:
    """Return the photographs with the most usual scores of the best mean, with its map, two more, and controls.

    Args:
        run: The run.
        scores: A checked score table.
        rows: As ``tables.comparison`` returns them.
        ranked: As ``worst.ranked`` returns them; the first metric counts.

    Returns:
        words, metric, side and rows of image, pictures (see ``Item``) and methods (name, role, score); empty for a run
        without a best explanation, or without maps.
    """
    for (metric, method), images in ranked.items() if run.keeps("maps") else ():
        nearest = images.loc[(images["score"] - images["score"].median()).abs().sort_values(kind="stable").index]
        # Of thousands of images, few are looked for.
        typical = list(itertools.islice((image for image in nearest["image"] if run.has_maps(image)), PHOTOGRAPHS))
        roles = _roles(rows[rows["metric"].eq(metric)])
        of_metric = scores[scores[LABEL].eq(metric)].set_index(["image", "method"])["score"]
        lines = [_line(run, str(image), roles, of_metric) for image in typical]
        if any(line["methods"] for line in lines):
            words = (
                f"The photographs on which {method} scores nearest to its median by {metric}, with the maps of the "
                "methods with the best means and of controls (\N{DAGGER}). Below each map its score."
            )
            return {"words": words, "metric": metric, "side": EXAMPLE_SIDE, "rows": lines}
    return {}


def _roles(of_metric: pd.DataFrame) -> dict[str, str]:
    """Return the role of the explanations with the best means, the best first, and of a control of each kind."""
    higher = bool(of_metric["higher_is_better"].iloc[0])
    ordered = of_metric[of_metric["images"] > 0].sort_values("mean", ascending=not higher, kind="stable")
    best = ordered.loc[ordered["role"].eq(""), "method"].head(BEST)
    controls = ordered[ordered["role"].isin(CONTROLS)].drop_duplicates("role").sort_values("role", ascending=False)
    return dict.fromkeys(best, "") | dict(zip(controls["method"], controls["role"], strict=True))


def _line(run: Run, image: str, roles: dict[str, str], scores: pd.Series) -> dict[str, Any]:
    maps = run.maps(image)
    maps = {name: maps[name] for name in roles if name in maps}
    methods = [{"name": name, "role": roles[name], "score": float(scores.get((image, name), "nan"))} for name in maps]
    return {"image": image, "methods": methods, "pictures": sheet(run.photograph(image), maps, EXAMPLE_SIDE)}
