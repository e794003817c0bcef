"""A table of a paper, our numbers beside the published ones: for the terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.report.table_files import latex_text, markdown_text, save_csv, save_text

DIFFERS = "\N{NOT EQUAL TO}"
MISSING = "\N{EN DASH}"
PUBLISHED = "published"

CAPTION = (
    "Ours with its interval in brackets, and beside it the published value, marked {} where it lies outside our "
    "interval as printed; n is the number of images."
)


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


class Format(NamedTuple):
    """The writers of one file format: escaped text, footnote marks, intervals, the mark of a difference."""

    text: Callable[[str], str]
    footnote: str
    interval: str
    differs: str


MARKDOWN = Format(markdown_text, "<sup>{}</sup>", "{}", DIFFERS)
LATEX = Format(latex_text, r"\textsuperscript{{{}}}", r"{{\scriptsize {}}}", r"$\neq$")
TERMINAL = Format(str, " ({})", "{}", DIFFERS)


def markdown(table: PaperTable) -> str:
    """Return a table as Markdown: its title, a table per group, a caption, footnotes."""
    parts, caption, footnotes = _printed(table, MARKDOWN)
    blocks = [f"## {table.title}"]
    for group, texts in parts:
        blocks += [f"### {group}"] if group else []
        blocks.append(texts.to_markdown(disable_numparse=True))
    blocks += [caption, "\n".join(f"{footnote}  " for footnote in footnotes)] if footnotes else [caption]
    return "\n\n".join(blocks) + "\n"


def latex(table: PaperTable) -> str:
    r"""Return a table as LaTeX, for ``\usepackage{booktabs}``: a tabular per group, a caption, footnotes."""
    parts, caption, footnotes = _printed(table, LATEX)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(table.title)}}}"]
    for group, texts in parts:
        heads = list(texts)[::2]
        lines += [rf"\par\medskip {group}\par"] if group else []
        lines += [rf"\begin{{tabular}}{{l{'rl' * len(heads)}}}", r"\toprule"]
        lines.append("".join(rf" & \multicolumn{{2}}{{c}}{{{head}}}" for head in heads) + r" \\")
        lines.append("".join(rf"\cmidrule(lr){{{2 * i}-{2 * i + 1}}}" for i in range(1, 1 + len(heads))))
        lines += [f" & ours & {PUBLISHED}" * len(heads) + r" \\", r"\midrule"]
        lines += [" & ".join(row) + r" \\" for row in texts.itertuples(name=None)]
        lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {caption}", *(rf"\par{footnote}" for footnote in footnotes)]
    return "\n".join([*lines, r"\end{table}", ""])


def printable(table: PaperTable) -> Group:
    """Return a table laid out for the terminal, two of the paper's columns beside each other."""
    parts, caption, footnotes = _printed(table, TERMINAL)
    blocks: list[Any] = [Text(table.title, "bold")]
    for group, texts in parts:
        for first in range(0, texts.shape[1], 4):
            columns = texts.iloc[:, first : first + 4]
            grid = Table("", title=Text(group), title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
            for number, head in enumerate(columns):
                grid.add_column(Text(head), justify="left" if number % 2 else "right", no_wrap=True)
            for row in columns.itertuples(name=None):
                grid.add_row(*map(Text, row))
            blocks.append(grid)
    return Group(*blocks, *map(Text, [caption, *footnotes]), "")


def save_paper_tables(tables: Iterable[PaperTable], directory: Path) -> list[Path]:
    """Write each table as NAME.md, NAME.tex and NAME.csv, which has every cell with all digits in a row of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        written += [save_text(markdown(table), directory / f"{table.name}.md")]
        written += [save_text(latex(table), directory / f"{table.name}.tex")]
        written += [save_csv(table.cells, directory / f"{table.name}.csv")]
    return written


def _printed(table: PaperTable, format: Format) -> tuple[list[tuple[str, pd.DataFrame]], str, list[str]]:
    """Return the texts of each group of a table, two columns for each of the paper's; the caption; the footnotes."""
    cells = table.cells.assign(**{"group": "", "images": 0, **table.cells})
    numbers: dict[str, int] = {}

    def with_note(text: str, note: str) -> str:
        return text + format.footnote.format(numbers.setdefault(note, 1 + len(numbers))) if note else text

    parts = []
    for group, of_group in cells.groupby("group", sort=False):
        columns = [(str(column), rows) for column, rows in of_group.groupby("column", sort=False)]
        shared = ["" if rows["note"].nunique() > 1 else rows["note"].iloc[0] for _, rows in columns]
        heads: list[str] = []
        for (column, rows), note in zip(columns, shared, strict=True):
            heads += [with_note(format.text(column + _counts(rows["images"])), note), PUBLISHED]
        lines: dict[str, list[str]] = {row: [] for row in of_group["row"].unique()}
        for (_, rows), note in zip(columns, shared, strict=True):
            texts = {}
            for cell in rows.to_dict("records"):
                ours, published = _texts(cell, table.digits, format)
                texts[cell["row"]] = [with_note(ours, "" if note else cell["note"]), published]
            for row, line in lines.items():
                line += texts.get(row, [format.text(MISSING)] * 2)
        parts.append((format.text(str(group)), pd.DataFrame(lines.values(), map(format.text, lines), heads)))
    footnotes = [f"{format.footnote.format(number).strip()} {format.text(note)}" for note, number in numbers.items()]
    return parts, CAPTION.format(format.differs), footnotes


def _texts(cell: dict[Any, Any], digits: int, format: Format) -> tuple[str, str]:
    """Return our number with its interval, and the published one, marked where it lies outside the interval."""
    # As printed, without a minus before 0.
    numbers = [round(float(cell[name]), digits) + 0.0 for name in ("ours", "low", "high", PUBLISHED)]
    ours, *ends, text = (format.text(MISSING if np.isnan(number) else f"{number:.{digits}f}") for number in numbers)
    _, low, high, published = numbers
    if np.isnan(low + high):
        return ours, text
    mark = f" {format.differs}" if published < low or published > high else ""
    interval = format.interval.format(f"[{', '.join(ends)}]")
    return f"{ours} {interval}", text + mark


def _counts(images: pd.Series) -> str:
    counts = images[images > 0].astype(int)
    if not len(counts):
        return ""
    least, most = counts.min(), counts.max()
    return f" (n = {most})" if least == most else f" (n = {least} to {most})"
