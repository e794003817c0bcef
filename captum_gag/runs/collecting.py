"""The records of a run in one file, read in a tenth of the time that ten thousand files of an image each take.

Whoever has read these writes it, and it stands for them while each is still the file that was read. It may be deleted
at any time: what a run holds is in the files of its images.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from captum_gag.files import replace_file
from captum_gag.runs.identity import digest

_HEAD = 128

FEW = 100
"""Files that are read faster than is worth one file for all."""


def state_of(run: Sequence[str], files: Iterable[tuple[str, Path]]) -> str:
    """Return what changes when a file of a run does.

    Args:
        run: What marks the records of the run, and their columns.
        files: What marks the photograph of each image, and where its records are or will be.
    """
    return digest([*run, [[photo, path.name, *_stamp(path)] for photo, path in files]])


def together(
    path: Path,
    state: str,
    records: Iterable[pa.Table],
    damaged: Collection[object] = (),
    without: Collection[str] = (),
) -> pa.Table | None:
    """Return the records of all images done as one table, or None if there are none.

    Args:
        path: The file for all; written where it is of another state, is damaged or missing, unless they are few or
            the directory cannot be written to.
        state: Of the files of the images, seen before any of them is read: what comes later makes another.
        records: Of each image done; not read where the file for all has them.
        damaged: What was met while they were read; while there is any, each reading is to meet it again.
        without: Columns that are left out, which take no time then, and no memory.
    """
    kept = _read(path, state, without)
    if kept is not None:
        return kept
    found = list(records)
    if not found:
        return None
    # In one piece, which everything that reads the table is faster with.
    whole = pa.concat_tables(found).combine_chunks()
    if len(found) > FEW and not damaged:
        _write(path, state, whole)
    return whole.drop_columns(list(without))


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what tells a file from one that replaces it; nothing if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return ()
    # Times are told in ticks of the clock, in which a file may be replaced: then by another inode.
    return found.st_size, found.st_mtime_ns, found.st_ino


def _read(path: Path, state: str, without: Collection[str]) -> pa.Table | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = memoryview(content)[_HEAD:]
    # Unlike Parquet's, Arrow's own files have no checksums.
    if content[:_HEAD] != _head(state, body):
        return None
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        asked = [place for place, name in enumerate(reader.schema.names) if name not in without]
    with pa.ipc.open_stream(pa.py_buffer(body), options=pa.ipc.IpcReadOptions(included_fields=asked)) as reader:
        return reader.read_all()


def _write(path: Path, state: str, records: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, records.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(records)
    body = memoryview(sink.getvalue())

    def write(place: Path) -> None:
        with place.open("wb") as file:
            file.write(_head(state, body))
            file.write(body)

    try:
        replace_file(path, write)
    except OSError:
        return


def _head(state: str, body: memoryview) -> bytes:
    """Return what the file begins with: of which files it is, and a checksum of what follows."""
    return f"{state} {zlib.crc32(body)}".encode().ljust(_HEAD)
