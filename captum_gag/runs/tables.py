"""Tables in Parquet files that are whole or not there, and that are what was written, or damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from captum_gag.errors import InputError, first_line
from captum_gag.files import replace_file
from captum_gag.runs.identity import digest


def write_table(path: Path, table: pa.Table, marks: Mapping[str, str] | None = None) -> None:
    """Write a table.

    Args:
        path: The file.
        table: What is to be in it.
        marks: What says of what it is, by name.
    """
    marked = table.replace_schema_metadata({**(marks or {}), "columns": _mark_of(table.column_names)})
    replace_file(path, lambda place: pq.write_table(marked, place, write_page_checksum=True))


def read_table(path: Path, schema: pa.Schema, marks: Mapping[str, str] | None = None) -> pa.Table | None:
    """Read a table, with the columns of a schema; None if there is none, or its marks are others.

    Raises:
        InputError: It cannot be read, this time.
        DamagedError: Nor ever.
    """
    try:
        return _read(path, schema, marks or {})
    except FileNotFoundError:
        return None
    # pyarrow meets broken bytes with many exceptions; only what the system says has a number.
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"{path}: cannot be read now ({first_line(error)}); try again") from error
        raise DamagedError(f"{path}: is damaged ({first_line(error)})") from error


class DamagedError(InputError):
    """A file is there but is not what was written."""


def _read(path: Path, schema: pa.Schema, marks: Mapping[str, str]) -> pa.Table | None:
    # A run may have ten thousand of them: each is opened once, and is too small to be worth several threads.
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        found = file.metadata.metadata or {}
        if any(found.get(name.encode()) != mark.encode() for name, mark in marks.items()):
            return None
        table = file.read(use_threads=False).replace_schema_metadata()
    # What is in the pages has a checksum of Parquet's; what the columns are called has none.
    names = _mark_of(table.column_names)
    if found.get(b"columns", names.encode()) != names.encode():
        raise pa.ArrowInvalid("the columns are not those that were written")
    if table.schema == schema:
        return table
    # Other versions write fewer columns, or more.
    whole = pa.concat_tables([schema.empty_table(), table], promote_options="permissive")
    return whole.select(schema.names).cast(schema)


def _mark_of(columns: list[str]) -> str:
    return digest(columns)[:16]
