"""A table in a paper's layout, ours beside the published: for the terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.report.writing import latex_text, markdown_text, save_csv, save_text

DIFFERS = "\N{NOT EQUAL TO}"
MISSING = "\N{EN DASH}"
PUBLISHED = "published"

CAPTION = (
    "Ours with its interval in brackets, and beside it the published value, marked {} where it lies outside our "
    "interval as printed; n is the number of images."
)

TEXTS = ("group", "row", "column", "note")
NUMBERS = ("ours", "low", "high", "published", "images")


class PaperTable(NamedTuple):
    """A table of a paper.

    Attributes:
        name: The stem of its files, such as "huang-liu-2024-table-1".
        title: What it shows, and the confidence of its intervals.
        digits: Decimals that are printed.
        cells: A row per cell, in the paper's order of first appearance: row and column (text); ours, low, high (its
            interval) and published (numbers, NaN for none); note (text, "" for none; one that all cells of a column
            share stands at the column's head). May have group (text: what several columns are of, such as a data set;
            each group is printed on its own) and images (over how many ours is).
    """

    name: str
    title: str
    digits: int
    cells: pd.DataFrame


class Cell(NamedTuple):
    """What is printed of a cell; note is the number of a footnote, or ""."""

    ours: str = MISSING
    interval: str = ""
    published: str = MISSING
    differs: bool = False
    note: str = ""


class Part(NamedTuple):
    """The columns of one group: of each its name, its numbers of images as text and its footnote; cells by row."""

    group: str
    heads: list[tuple[str, str, str]]
    lines: dict[str, list[Cell]]


def parts(table: PaperTable) -> tuple[list[Part], list[str]]:
    """Return what is printed of a table, group by group, and its footnotes in their order."""
    defaults: dict[str, Any] = {**dict.fromkeys(TEXTS, ""), **dict.fromkeys(NUMBERS, np.nan)}
    cells = table.cells.assign(**{name: each for name, each in defaults.items() if name not in table.cells})
    cells = cells.fillna(dict.fromkeys(TEXTS, "")).astype(dict.fromkeys(NUMBERS, float))
    notes: list[str] = []
    return [_part(str(group), rows, table.digits, notes) for group, rows in cells.groupby("group", sort=False)], notes


def markdown(table: PaperTable) -> str:
    """Return a table as Markdown: its title, a table per group, a caption, footnotes."""
    found, notes = parts(table)
    blocks = [f"## {table.title}"]
    for part in found:
        heads = [
            text
            for name, n, note in part.heads
            for text in (f"{markdown_text(name)}{_in_brackets(n)}{_sup(note)}", PUBLISHED)
        ]
        lines = [
            [text for cell in cells for text in (_ours(cell) + _sup(cell.note), _published(cell))]
            for cells in part.lines.values()
        ]
        blocks += [f"### {part.group}"] if part.group else []
        names = [markdown_text(row) for row in part.lines]
        blocks.append(pd.DataFrame(lines, names, heads).to_markdown(disable_numparse=True))
    blocks.append(CAPTION.format(DIFFERS))
    blocks += ["\n".join(f"{_sup(str(number))} {note}  " for number, note in enumerate(notes, 1))] if notes else []
    return "\n\n".join(blocks) + "\n"


def latex(table: PaperTable) -> str:
    r"""Return a table as LaTeX, for ``\usepackage{booktabs}``: a tabular per group, a caption, footnotes."""
    found, notes = parts(table)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(table.title)}}}"]
    for part in found:
        lines += [rf"\par\medskip {latex_text(part.group)}\par"] if part.group else []
        lines += [rf"\begin{{tabular}}{{l{'rl' * len(part.heads)}}}", r"\toprule"]
        lines.append("".join(rf" & \multicolumn{{2}}{{c}}{{{_latex_head(*head)}}}" for head in part.heads) + r" \\")
        lines.append("".join(rf"\cmidrule(lr){{{place}-{place + 1}}}" for place in _places(part)))
        lines.append(f" & ours & {PUBLISHED}" * len(part.heads) + r" \\")
        lines.append(r"\midrule")
        for row, cells in part.lines.items():
            lines.append(" & ".join([latex_text(row), *map(_latex_cell, cells)]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
    lines.append(rf"\par\smallskip\footnotesize {CAPTION.format('$' + chr(92) + 'neq$')}")
    lines += [rf"\par\textsuperscript{{{number}}} {latex_text(note)}" for number, note in enumerate(notes, 1)]
    return "\n".join([*lines, r"\end{table}", ""])


def printable(table: PaperTable, columns: int = 2) -> Group:
    """Lay a table out for the terminal, so many columns at a time."""
    found, notes = parts(table)
    blocks: list[Any] = [Text(table.title, "bold")]
    for part in found:
        for first in range(0, len(part.heads), columns):
            shown = slice(first, first + columns)
            drawn = Table("", title=Text(part.group), title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
            for name, n, note in part.heads[shown]:
                drawn.add_column(Text(f"{name}{_in_brackets(n)}{_marked(note)}"), justify="right", no_wrap=True)
                drawn.add_column(Text(PUBLISHED), no_wrap=True)
            for row, cells in part.lines.items():
                texts = [text for cell in cells[shown] for text in (_ours(cell) + _marked(cell.note), _published(cell))]
                drawn.add_row(Text(row), *map(Text, texts))
            blocks.append(drawn)
    blocks.append(Text(CAPTION.format(DIFFERS)))
    return Group(*blocks, *(Text(f"{_marked(str(number)).strip()} {note}") for number, note in enumerate(notes, 1)), "")


def save_paper_tables(tables: Iterable[PaperTable], directory: Path) -> list[Path]:
    """Write each table as NAME.md, NAME.tex and NAME.csv, which has every cell with all digits in a row of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        written += [save_text(markdown(table), directory / f"{table.name}.md")]
        written += [save_text(latex(table), directory / f"{table.name}.tex")]
        written += [save_csv(table.cells, directory / f"{table.name}.csv")]
    return written


def _part(group: str, rows: pd.DataFrame, digits: int, notes: list[str]) -> Part:
    by_column = {str(column): each for column, each in rows.groupby("column", sort=False)}
    shared = {column: each["note"].iloc[0] for column, each in by_column.items() if each["note"].nunique() == 1}
    heads = [
        (column, _counts(each["images"]), _number(shared.get(column, ""), notes)) for column, each in by_column.items()
    ]
    cells = {
        (cell["row"], column): _cell(cell, digits, "" if column in shared else _number(cell["note"], notes))
        for column, each in by_column.items()
        for cell in each.to_dict("records")
    }
    lines = {row: [cells.get((row, column), Cell()) for column in by_column] for row in rows["row"].unique()}
    return Part(group, heads, lines)


def _cell(cell: dict[Any, Any], digits: int, note: str) -> Cell:
    ours, low, high, published = (round(cell[name], digits) + 0.0 for name in NUMBERS[:4])
    known = not np.isnan(low + high)
    return Cell(
        _text(ours, digits),
        f"[{_text(low, digits)}, {_text(high, digits)}]" if known else "",
        _text(published, digits),
        bool(known and (published < low or published > high)),
        note,
    )


def _number(note: str, notes: list[str]) -> str:
    """Return the number of a footnote, which joins the others if it is new."""
    if not note:
        return ""
    if note not in notes:
        notes.append(note)
    return str(notes.index(note) + 1)


def _counts(images: pd.Series) -> str:
    known = images[images > 0].astype(int)
    if not len(known):
        return ""
    least, most = known.min(), known.max()
    return f"n = {most}" if least == most else f"n = {least} to {most}"


def _text(value: float, digits: int) -> str:
    return MISSING if np.isnan(value) else f"{value:.{digits}f}"


def _ours(cell: Cell) -> str:
    return f"{cell.ours} {cell.interval}".strip()


def _published(cell: Cell) -> str:
    return f"{cell.published} {DIFFERS}" if cell.differs else cell.published


def _in_brackets(n: str) -> str:
    return f" ({n})" if n else ""


def _sup(note: str) -> str:
    return f"<sup>{note}</sup>" if note else ""


def _marked(note: str) -> str:
    return f" ({note})" if note else ""


def _places(part: Part) -> range:
    """Return the number of the first of the two LaTeX columns of each head."""
    return range(2, 2 + 2 * len(part.heads), 2)


def _latex_head(name: str, n: str, note: str) -> str:
    return latex_text(f"{name}{_in_brackets(n)}") + _latex_sup(note)


def _latex_cell(cell: Cell) -> str:
    interval = rf" {{\scriptsize {cell.interval}}}" if cell.interval else ""
    mark = r" $\neq$" if cell.differs else ""
    return f"{latex_text(cell.ours)}{interval}{_latex_sup(cell.note)} & {latex_text(cell.published)}{mark}"


def _latex_sup(note: str) -> str:
    return rf"\textsuperscript{{{note}}}" if note else ""
