"""Which class each row of an ISIC table is of, in the forms that the challenges, HAM10000 and the archive have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from captum_gag.data.csv_files import whole
from captum_gag.data.images import shown
from captum_gag.errors import InputError

KEYS = ("image_name", "isic_id", "image", "image_id")
"""The column of the image's name; of several the first."""

NUMBERS = "target"
NAMES = ("diagnosis", "dx", "diagnosis_1", "benign_malignant")
"""Columns that hold the class's name."""

_OTHERS = """
    acquisition_day age age_approx anatom_site_1 anatom_site_2 anatom_site_3 anatom_site_4 anatom_site_5
    anatom_site_general anatom_site_general_challenge anatom_site_special attribution clin_size_long_diam_mm
    concomitant_biopsy copyright_license dataset dermoscopic_type diagnosis_2 diagnosis_3 diagnosis_4 diagnosis_5
    diagnosis_confirm_type dx_type family_hx_mm fitzpatrick_skin_type fold group height image_manipulation
    image_type index lesion_id localization mel_class mel_mitotic_index mel_thick_mm mel_type mel_ulcer
    melanocytic nevus_type patient_id personal_hx_mm pixels_x pixels_y rcm_case_id sex tfrecord width year
"""

METADATA = {*KEYS, "", "unnamed: 0", *_OTHERS.split()}
"""Columns that are no class of their own beside a column for each class; pandas calls an index "" or "Unnamed: 0"."""


class Labels(NamedTuple):
    """The class of each row.

    Attributes:
        targets: By row.
        names: Of the classes that were numbered by the order of their names or columns; none if the table has numbers.
    """

    targets: list[int]
    names: Sequence[str] = ()


def key_of(columns: Mapping[str, Sequence[str]]) -> str | None:
    """Return the column of the image's name; None if there is none."""
    return next((each for each in KEYS if each in columns), None)


def labels_of(columns: Mapping[str, list[str]], column: str | None, order: tuple[str, ...] | None) -> Labels:
    """Return the class of each row of a table.

    Args:
        columns: Cells by column.
        column: The column of the class, with numbers or names; None looks for ``target`` (numbers), or else for one of
            ``NAMES``, or else takes a column for each class, with 1 in one of them.
        order: Names of the classes in the model's order; None takes the alphabet's, or that of the columns.

    Raises:
        InputError: There is none of these or several, or a cell of it has no meaning.
    """
    key = key_of(columns)
    if order is not None and len(set(order)) < len(order):
        raise InputError(f"the option classes is {', '.join(order)}; expected each class once")
    if column is not None:
        if column not in columns:
            raise InputError(f"has no column {column}; found {', '.join(map(shown, columns))}")
        return _of_column(columns[column], column, order)
    if NUMBERS in columns:
        return Labels([_number(cell, NUMBERS) for cell in columns[NUMBERS]])
    named = [name for name in NAMES if name in columns]
    if len(named) > 1:
        raise InputError(f"says a class in each of {', '.join(named)}; choose one by the option column")
    if named:
        return _of_column(columns[named[0]], named[0], order)
    one_hot = [name for name in columns if name != key and name.lower() not in METADATA]
    if len(one_hot) < 2:
        raise InputError(
            f"expected a column {NUMBERS}, {', '.join(NAMES)}, or one per class; found "
            f"{', '.join(map(shown, columns))} (name another by the option column)"
        )
    unknown = [name for name in order or () if name not in one_hot]
    if unknown:
        raise InputError(f"has no column of the class {unknown[0]}; found {', '.join(map(shown, one_hot))}")
    classes = list(order or one_hot)
    rows = zip(*(columns[name] for name in one_hot), strict=True)
    names = columns[key] if key is not None else []
    found = [_one_hot(dict(zip(one_hot, row, strict=True)), name) for row, name in zip(rows, names, strict=True)]
    missing = next((each for each in found if each not in classes), None)
    if missing is not None:
        raise InputError(
            f"has rows of the class {shown(missing)}, which the option classes leaves out; add it, or remove them"
        )
    return Labels([classes.index(each) for each in found], classes)


def _of_column(cells: list[str], column: str, order: tuple[str, ...] | None) -> Labels:
    """Return the classes of a column: its numbers if all cells are some, or else its names, numbered."""
    if "" in cells:
        raise InputError(f"has {cells.count('')} rows without {column}; remove them, or choose another column")
    if order is None and all(whole(cell) is not None for cell in cells):
        return Labels([_number(cell, column) for cell in cells])
    classes = sorted(set(cells)) if order is None else list(order)
    strange = next((cell for cell in cells if cell not in classes), None)
    if strange is not None:
        raise InputError(f"has {shown(strange)!r} in {column}, which the option classes leaves out; add it to them")
    return Labels([classes.index(cell) for cell in cells], classes)


def _number(cell: str, column: str) -> int:
    found = whole(cell)
    if found is None or found < 0:
        raise InputError(f"has {shown(cell)!r} in {column}; expected a whole number, 0 or more")
    return found


def _one_hot(row: dict[str, str], name: str) -> str:
    """Return the class whose column has a 1."""
    values = {column: whole(cell) for column, cell in row.items()}
    strange = next((column for column, value in values.items() if value not in (0, 1)), None)
    if strange is not None:
        raise InputError(
            f"has {shown(row[strange])!r} in {shown(strange)}; expected a column {NUMBERS}, {', '.join(NAMES)}, or one "
            "per class with 1 in one of them (name another by the option column)"
        )
    ones = [column for column, value in values.items() if value == 1]
    if len(ones) != 1:
        raise InputError(
            f"has {len(ones)} classes for {shown(name)}; expected 1 in one of {', '.join(map(shown, row))}: add a "
            "column for the class of the others, or choose one column by the option column"
        )
    return ones[0]
