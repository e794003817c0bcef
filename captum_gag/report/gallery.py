"""What a page needs to show the maps of a run: small pictures and curves."""

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
from captum_gag.report.choosing import Choice
from captum_gag.report.figures import top_of
from captum_gag.report.guide_slider import slider, stride_for
from captum_gag.runs.guide_parts import guided
from captum_gag.runs.photographs import Photograph
from captum_gag.runs.store import Run

SIDES = (224, 192, 160, 128, 112, 96, 80, 72, 64, 56, 48)
"""Of a picture on the page, in pixels: the largest with which the page keeps to its size."""
MOST_BYTES, BYTES_PER_PIXEL = 20e6, 0.3
"""Of all pictures together, and of one pixel of a map in WebP and base64, as measured."""
COLUMNS = 8
CLASSES = ["target", "label", "probability", "predicted", "predicted_label", "predicted_probability"]
"""What is known of an image: the class explained, and the one predicted, with their names and probabilities."""


class Item(NamedTuple):
    """One image of the gallery.

    Attributes:
        number: Its place among all images of the run.
        image: Its name.
        label: Of the class explained; "" if not known.
        probability: Of that class; NaN if not known.
        about: Which class was explained, predicted and true, in words.
        pictures: Data URI of a sheet of squares: the photograph, or grey, then a map per method; "" without maps.
        methods: Of the maps, in the order of the sheet.
        masked: Whether the sheet's last square is the mask of the object.
        guide: What redraws GAG's map at any percentile; see ``guide_slider.slider``.
        why: For what it was chosen to be shown; "" where all images are.
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


def gallery(run: Run, known: pd.DataFrame, methods: Mapping[str, Method], side: int, choice: Choice) -> Iterator[Item]:
    """Yield the images chosen one by one.

    Args:
        run: Its maps are shown if they were kept.
        known: Classes and probabilities by image, of all images; see ``images_of``.
        methods: Of the run, by label: the first that is GAG has a slider.
        side: Of a picture, in pixels; see ``picture_side``.
        choice: Which of them.
    """
    rows = {row["image"]: (number, row) for number, row in enumerate(known.reset_index().to_dict("records"))}
    gag, stride = guided(methods), 0
    for image in choice.images:
        (number, row), maps, photograph = rows[image], run.maps(image), run.photograph(image)
        parts = {} if gag is None else run.parts(image)
        if parts and not stride:
            stride = stride_for(len(choice.images), parts["rank"][0].size)
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
            why=choice.reasons.get(image, ""),
        )


def images_of(run: Run, scores: pd.DataFrame) -> pd.DataFrame:
    """``CLASSES`` and ``true``, its own class, of each image that has scores; NaN or "" where not known.

    Args:
        run: In whose order the images are.
        scores: Its records, as ``reliability.scores.checked`` returns them.
    """
    chosen, first = run.chosen().set_index("image"), scores.drop_duplicates("image").set_index("image")[CLASSES]
    first = first.loc[[image for image in chosen.index if image in first.index]]
    # An image without a class of its own is explained by the predicted one.
    own = first["target"].where(first["predicted"].ne(first["target"]) & first["predicted"].notna())
    first = first.assign(true=chosen["target"].reindex(first.index).astype("Float64").fillna(own.astype("Float64")))
    names = [name for name in CLASSES if name.endswith("label")]
    first[names] = first[names].astype(object).where(first[names].notna(), "")
    numbers = first.columns.difference(names)
    return first.astype(dict.fromkeys(numbers, "Float64")).astype(dict.fromkeys(numbers, float))


def about(row: Mapping[Hashable, Any]) -> str:
    """In words: the class explained, whether it is the true and the predicted one, and which are else.

    Args:
        row: Of ``images_of``.
    """
    if np.isnan(row["target"]):
        return ""
    roles = {"the true class": row["true"], "the class predicted": row["predicted"]}
    matching = " and ".join(role for role, target in roles.items() if target == row["target"])
    text = _named(row["label"], row["target"], row["probability"]) + (f", {matching}" if matching else "")
    if not np.isnan(row["predicted"]) and row["predicted"] != row["target"]:
        named = _named(row["predicted_label"], row["predicted"], row["predicted_probability"])
        text += f"; the network predicts {named}"
    return text


def _named(label: str, target: float, probability: float) -> str:
    text = label or f"class {target:.0f}"
    return text if np.isnan(probability) else f"{text}, probability {100 * probability:.0f} %"


def picture_side(count: int) -> int:
    """Return the side at which so many pictures keep to the size of a page."""
    fitting = [side for side in SIDES if count * side**2 * BYTES_PER_PIXEL <= MOST_BYTES]
    return fitting[0] if fitting else SIDES[-1]


def curves_by_image(drawn: pd.DataFrame, images: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the curves of one image after the other, by metric: a page may have a million of them.

    Args:
        drawn: As ``run_figures.curves_of`` returns them.
        images: Their names.

    Yields:
        By metric x, x_label, y_label and by method y, None where it is not known; empty for an image without curves.
    """
    place = pd.Index(images).get_indexer(drawn["image"])
    order = np.argsort(place, kind="stable")
    names = ("metric", "method", "x", "y", "x_label", "y_label")
    columns = [drawn[name].to_numpy(object)[order] for name in names]
    bounds = np.searchsorted(place[order], np.arange(len(images) + 1))
    for start, end in itertools.pairwise(bounds):
        yield _curves(list(zip(*(column[start:end] for column in columns), strict=True)))


def _curves(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not rows:
        return found
    whole = np.concatenate([y for _, _, _, y, _, _ in rows]).round(3)
    # What is no number is not itself.
    ys = iter([y if y == y else None for y in whole.tolist()])
    for metric, method, x, y, x_label, y_label in rows:
        if metric not in found:
            found[metric] = {"x": x.round(3).tolist(), "x_label": x_label, "y_label": y_label, "y": {}}
        found[metric]["y"][method] = list(itertools.islice(ys, len(y)))
    return found


def sheet(photograph: Photograph | None, maps: Mapping[str, Tensor], side: int) -> str:
    """Return a data URI of squares of this side, eight in a row: photograph, or grey, maps, not yet coloured, mask."""
    photo, mask = photograph or (Image.new("RGB", (side, side), "grey"), None)
    images = [photo, *(_levels(each) for each in maps.values()), *([] if mask is None else [mask])]
    tiles = [_square(each, side) for each in images]
    rows = -(-len(tiles) // COLUMNS)
    drawn = Image.new("RGB", (side * min(COLUMNS, len(tiles)), side * rows))
    for place, tile in enumerate(tiles):
        drawn.paste(tile, (side * (place % COLUMNS), side * (place // COLUMNS)))
    buffer = io.BytesIO()
    drawn.save(buffer, format="WEBP", quality=55, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _levels(saliency: Tensor) -> Image.Image:
    shares = np.nan_to_num(saliency.numpy() / top_of(saliency.numpy())).clip(0, 1)
    return Image.fromarray((255 * shares).round().astype(np.uint8))


def _square(image: Image.Image, side: int) -> Image.Image:
    method = Image.Resampling.BOX if side < max(image.size) else Image.Resampling.NEAREST
    return ImageOps.pad(image, (side, side), method)
