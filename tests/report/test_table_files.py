"""A name from outside means nothing in a file but itself."""

import csv
import os
import re
import stat

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.report.pair_table import extremes, paired, save_pair
from captum_gag.report.score_page import save_reliability
from captum_gag.report.table_files import latex_text, markdown_table, markdown_text, save_csv, save_parquet
from captum_gag.report.tables import comparison, save_tables
from captum_gag.report.worst import save_worst, worst

HOSTILE = {
    "latex": r"\input{/etc/passwd} \write18{x} $x$ %",
    "markdown": "a | b ` c [x](http://evil) ![y](http://evil)",
    "html": "<img src=http://evil onerror=x>",
    "formula": "=HYPERLINK(A1)",
    "at": "@SUM(A1)",
    "plus": "+1+cmd|' /C calc'!A0",
    "minus": "-2+3",
}
LATEX_COMMANDS = {
    *("textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textdagger", "textbf"),
    *(
        "label",
        "resizebox",
        "columnwidth",
        "ensuremath",
        "uparrow",
        "downarrow",
        "begin",
        "end",
        "caption",
        "toprule",
        "midrule",
        "bottomrule",
        "par",
        "footnotesize",
        "centering",
    ),
}
"""What table.tex may say by itself."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    rng = np.random.default_rng(0)
    scores = reliability.from_arrays(
        {"RCAP": {name: rng.random(8) for name in HOSTILE.values()}}, images=[*HOSTILE.values(), "plain"]
    )
    scores = pd.concat([scores, scores.assign(metric=HOSTILE["markdown"], higher_is_better=True)])
    scores = scores.assign(target=0, probability=0.5)
    out = tmp_path_factory.mktemp("written")
    rows = comparison(scores)
    save_tables(rows, scores, out)
    save_reliability(reliability.report(scores, 50), out / "reliability")
    one, other, *_ = HOSTILE.values()
    save_pair(paired(scores, one, other), extremes(scores, one, other), out)
    save_worst(worst(scores, n=9), out)
    return out


def files(written, ending):
    found = sorted(written.rglob(f"*.{ending}"))
    assert found
    return found


def test_latex_has_no_command_but_ours(written):
    for path in files(written, "tex"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\\([A-Za-z]+)", text)) <= LATEX_COMMANDS
        assert not re.search(r"(?<!\\)[$%]", text)


def test_markdown_has_no_html_link_code_or_further_cells(written):
    for path in files(written, "md"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<!\\)[<`]", text)
        assert not re.search(r"(?<!\\)\[[^\]]*\]\(", text)
        for block in text.split("\n\n"):
            lines = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1


def test_csv_has_no_formula(written):
    for path in files(written, "csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                for cell in row:
                    assert not re.match(r"[=+@\t\r]", cell), cell
                    assert not cell.startswith("-") or float(cell) < 0


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_all_have_the_mode_of_a_new_file(written):
    plain = written / "plain"
    plain.touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in written.rglob("*.*")}
    assert modes == {stat.S_IMODE(plain.stat().st_mode)}


@given(st.text())
def test_any_text_is_one_line_that_cannot_leave_its_place(text):
    assert "\n" not in latex_text(text)
    assert "\n" not in markdown_text(text)
    kept = markdown_text(text)
    assert re.sub(r"\\([\\`<|\[])", r"\1", kept) == " ".join(text.split())
    row = markdown_table(pd.DataFrame({"a": [text]}), index=False).splitlines()
    assert len(row) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row[2])) == 2


def test_numbers_stay_numbers(tmp_path):
    table = pd.DataFrame({"name": ["=x", "y", None], "value": [-1.5, np.nan, 2], "many": [1, -2, 3]})
    found = pd.read_csv(save_csv(table, tmp_path / "t.csv"))
    pd.testing.assert_frame_equal(found, table.assign(name=["'=x", "y", np.nan]))


def test_lists_in_one_piece_are_saved_as_pandas_saves_arrays(tmp_path):
    curves = [np.array([0.0, 1.0]), None, np.array([0.5, 2.0])]
    plain = pd.DataFrame(
        {"image": ["a", "b", "c"], "steps": pd.array([1, None, 3], "Int64"), "score": [0.1, np.nan, 2]}
    )
    plain = plain.assign(curve=pd.Series(curves, dtype=object), nothing=None)
    plain.to_parquet(tmp_path / "by-pandas.parquet", index=False)
    kind = pd.ArrowDtype(pa.list_(pa.field("element", pa.float64())))
    save_parquet(plain.astype({"curve": kind, "nothing": kind}), tmp_path / "ours.parquet")
    assert (tmp_path / "ours.parquet").read_bytes() == (tmp_path / "by-pandas.parquet").read_bytes()
