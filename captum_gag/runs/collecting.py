"""The records of a run in one file, read in a tenth of the time that ten thousand files of an image each take.

Whoever has read these writes it, and it stands for them while each is still the file that was read. It may be deleted
at any time: what a run holds is in the files of its images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from captum_gag.files import replace_file
from captum_gag.runs.identity import digest

FEW = 100
"""Files that are read faster than is worth one file for all."""


def state_of(run: Sequence[str], files: Iterable[tuple[str, Path]]) -> str:
    """Return what changes when a file of a run does.

    Args:
        run: What marks the records of the run, and their columns.
        files: What marks the photograph of each image, and where its records are or will be.
    """
    return digest([*run, [[photo, path.name, *_stamp(path)] for photo, path in files]])


def together(path: Path, state: str, records: Iterable[pa.Table], damaged: Collection[object] = ()) -> pa.Table | None:
    """Return the records of all images done as one table, or None if there are none.

    Args:
        path: The file for all; written where it is of another state, is damaged or missing, unless they are few or
            the directory cannot be written to.
        state: Of the files of the images, seen before any of them is read: what comes later makes another.
        records: Of each image done; not read where the file for all has them.
        damaged: What was met while they were read; while there is any, each reading is to meet it again.
    """
    kept = _read(path, state)
    if kept is not None:
        return kept
    found = list(records)
    if not found:
        return None
    # In one piece, which everything that reads the table is faster with.
    whole = pa.concat_tables(found).combine_chunks()
    if len(found) > FEW and not damaged:
        _write(path, state, whole)
    return whole


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what tells a file from one that replaces it; nothing if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return ()
    # Times are told in ticks of the clock, in which a file may be replaced: then by another inode.
    return found.st_size, found.st_mtime_ns, found.st_ino


def _read(path: Path, state: str) -> pa.Table | None:
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            if (reader.schema.metadata or {}).get(b"state") != state.encode():
                return None
            found = reader.read_all().replace_schema_metadata()
            # Unlike Parquet's, Arrow's own files are not checked while they are read.
            found.validate(full=True)
            return found
    except (pa.ArrowException, OSError):
        return None


def _write(path: Path, state: str, records: pa.Table) -> None:
    marked = records.replace_schema_metadata({"state": state})

    def write(place: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(place), "wb") as file, pa.ipc.new_file(file, marked.schema, options=options) as writer:
            writer.write_table(marked)

    try:
        replace_file(path, write)
    except OSError:
        return
