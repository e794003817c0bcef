"""What comes from outside steers no terminal, whatever it is written in."""

import re
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator
from rich.console import Console

from captum_gag import reliability
from captum_gag.data.class_names import class_names
from captum_gag.data.images import shown
from captum_gag.errors import InputError, in_one_line, printable
from captum_gag.options import declared
from captum_gag.reliability.scores import checked
from captum_gag.report.tables import comparison
from captum_gag.report.tables import printable as table_printable

STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
RED = "\x1b[31mred\u202e"


@given(st.text())
def test_what_is_printable_has_nothing_that_steers_and_else_stays(text):
    assert not STEERING.search(printable(text))
    assert STEERING.search(text) or printable(text) == text
    assert not STEERING.search(str(InputError(text)))


def test_names_of_files_and_classes(tmp_path):
    assert shown(f"/a/{RED}.png") == r"/a/\x1b[31mred\u202e.png"
    (tmp_path / "names.json").write_text('["\\u001b[31mred", "cat"]')
    assert class_names(tmp_path / "names.json") == [r"\x1b[31mred", "cat"]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_names_of_a_table(dtype):
    rng = np.random.default_rng(0)
    table = reliability.from_arrays(
        {RED: {RED: rng.random(5), "b": rng.random(5)}}, images=[RED, *"abcd"], levels="metric"
    )
    table["higher_is_better"] = True
    table["method"] = table["method"].astype(dtype)
    found = checked(table)
    for name in ("image", "method", "metric"):
        assert found[name].iloc[0] == r"\x1b[31mred\u202e"
    console = Console(width=200, record=True, file=None, force_terminal=False)
    with console.capture() as caught:
        console.print(table_printable(comparison(table)))
    assert not STEERING.search(caught.get().replace("\n", ""))


def test_what_is_refused_is_caught_as_the_hosts_errors_and_stays_one_line():
    @declared
    class Even:
        number: Annotated[int, AfterValidator(refuse)]

    for error in (ValueError, AssertionError):
        with pytest.raises(error, match="number is 3, must be even") as caught:
            Even(3)
        assert in_one_line(caught.value) == "number is 3, must be even"


def refuse(number):
    raise InputError(f"number is {number}, must be even")
