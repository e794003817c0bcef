"""A paper's table shows ours and the published side by side, in every form, and marks what differs."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from captum_gag.papers.layout import (
    CAPTION,
    DIFFERS,
    MISSING,
    PaperTable,
    latex,
    markdown,
    printable,
    save_paper_tables,
)

NAN = np.nan
TABLE = PaperTable(
    "paper-table-1",
    "A table with 95 % intervals",
    2,
    pd.DataFrame(
        [
            # group, row, column, ours, low, high, published, images, note
            ("A", "GAG-0", "RCAP", 0.304, 0.224, 0.381, 0.384, 18, ""),
            ("A", "GAG-0", "MAE", NAN, NAN, NAN, 0.5, 0, "published is a root"),
            ("A", "SG^R", "RCAP", 0.2, 0.1, 0.3, 0.437, 17, "of few"),
            ("A", "SG^R", "MAE", 0.4, NAN, NAN, 0.9, 1, "published is a root"),
            ("B", "GAG-0", "RCAP", NAN, NAN, NAN, 0.10, 0, ""),
        ],
        columns=["group", "row", "column", "ours", "low", "high", "published", "images", "note"],
    ),
)


def cells(line: str) -> list[str]:
    return [each.strip() for each in line.strip("|").split("|")]


def test_markdown_is_what_it_should_be() -> None:
    lines = [line for line in markdown(TABLE).splitlines() if line]
    assert lines[:2] == ["## A table with 95 % intervals", "### A"]
    heads = ["", "RCAP (n = 17 to 18)", "published", "MAE (n = 1)<sup>1</sup>", "published"]
    # 0.384 is 0.38 as printed, and so inside; 0.437 lies outside; one image has no interval, so nothing is outside it.
    rows = [
        ["GAG-0", "0.30 [0.22, 0.38]", "0.38", MISSING, "0.50"],
        ["SG^R", "0.20 [0.10, 0.30]<sup>2</sup>", f"0.44 {DIFFERS}", "0.40", "0.90"],
    ]
    assert [cells(line) for line in (lines[2], *lines[4:6])] == [heads, *rows]
    assert [cells(line) for line in (lines[7], lines[9])] == [["", "RCAP", "published"], ["GAG-0", MISSING, "0.10"]]
    footnotes = ["<sup>1</sup> published is a root  ", "<sup>2</sup> of few  "]
    assert lines[6] == "### B"
    assert lines[10:] == [CAPTION.format(DIFFERS), *footnotes]


def test_latex_is_what_it_should_be() -> None:
    text = latex(TABLE)
    assert r"\caption{A table with 95 \% intervals}" in text
    assert r" & \multicolumn{2}{c}{RCAP (n = 17 to 18)} & \multicolumn{2}{c}{MAE (n = 1)\textsuperscript{1}} \\" in text
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-5}" in text
    assert r"GAG-0 & 0.30 {\scriptsize [0.22, 0.38]} & 0.38 & -- & 0.50 \\" in text
    assert (
        r"SG\textasciicircum{}R & 0.20 {\scriptsize [0.10, 0.30]}\textsuperscript{2} & 0.44 $\neq$ & 0.40 & 0.90 \\"
        in text
    )
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == text.count(r"\toprule") == 2
    assert r"\par\textsuperscript{2} of few" in text
    # What LaTeX takes as a command is none of ours, and braces close.
    assert text.count("{") == text.count("}")
    assert "^" not in text


def test_the_terminal_shows_every_cell() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(printable(TABLE))
    text = console.export_text()
    for shown in ("0.30 [0.22, 0.38]", "0.20 [0.10, 0.30] (2)", f"0.44 {DIFFERS}", "0.90", "0.10", "(1) published is"):
        assert shown in text


def test_a_mark_is_for_what_differs_as_printed() -> None:
    def marked(low: float, high: float, published: float) -> bool:
        cell = pd.DataFrame(
            [{"row": "a", "column": "b", "ours": 0.5, "low": low, "high": high, "published": published, "note": ""}]
        )
        # The caption has the mark once.
        return markdown(PaperTable("t", "t", 2, cell)).count(DIFFERS) == 2

    assert not marked(0.441, 0.6, 0.44)
    assert marked(0.449, 0.6, 0.44)
    assert not marked(-0.1, 0.1, 0.0)
    assert not marked(NAN, NAN, 9.0)
    assert not marked(0.4, 0.6, NAN)


def test_files_hold_every_digit(tmp_path: Path) -> None:
    written = save_paper_tables([TABLE], tmp_path / "new")
    assert [path.name for path in written] == ["paper-table-1.md", "paper-table-1.tex", "paper-table-1.csv"]
    assert written[0].read_text(encoding="utf-8") == markdown(TABLE)
    assert written[1].read_text(encoding="utf-8") == latex(TABLE)
    pd.testing.assert_frame_equal(pd.read_csv(written[2]).fillna({"note": ""}), TABLE.cells)
