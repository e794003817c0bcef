"""Whatever fails beneath a run, at whichever of its writes: one line, nothing lost, and the same numbers afterwards."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from pandas.testing import assert_frame_equal
from scoring import call, quiet, run_of
from surroundings import Surroundings, one_line

from captum_gag.errors import InputError
from captum_gag.files import remove_abandoned, replace_file
from captum_gag.runs import collecting
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.executors import in_processes
from captum_gag.runs.store import Run

Failure = Callable[[int], bool]
"""Tells of the n-th thing that is asked of the file system whether it fails."""

WRITING = (
    (Path, "touch"),
    (Path, "mkdir"),
    (Path, "write_text"),
    (pq, "write_table"),
    (safetensors.numpy, "save_file"),
    (os, "fsync"),
    (os, "replace"),
)
"""What is asked of it."""


@contextmanager
def failing(code: int, fails: Failure) -> Iterator[list[str]]:
    """Let the system fail with an error number, when half of a file is written; yields what was asked of it."""
    asked: list[str] = []
    numbers = count()

    def patched(place: Any, name: str) -> Any:
        real = getattr(place, name)

        def call(*args: Any, **options: Any) -> Any:
            asked.append(name)
            if fails(next(numbers)):
                if name in ("write_text", "write_table", "save_file"):
                    next(each for each in args if isinstance(each, Path)).write_bytes(b"half of it")
                raise OSError(code, os.strerror(code))
            return real(*args, **options)

        return patch.object(place, name, call)

    with ExitStack() as stack:
        for place, name in WRITING:
            stack.enter_context(patched(place, name))
        yield asked


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    return Surroundings(tmp_path_factory.mktemp("around"))


@pytest.fixture(scope="module")
def whole(around: Surroundings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return go_on(tmp_path_factory.mktemp("whole") / "run", around)


def go_on(directory: Path, around: Surroundings) -> Run:
    return run_of(directory, around.config())


def numbers(run: Run) -> Any:
    return run.scores().drop(columns="seconds")


def hidden(directory: Path) -> list[str]:
    return [each.name for each in directory.rglob(".*")]


# How long it lasts, and what it is.
FULL, READ_ONLY, NO_DESCRIPTOR = errno.ENOSPC, errno.EROFS, errno.EMFILE
ONCE, FOR_EVER = (lambda place: lambda number: number == place), (lambda place: lambda number: number >= place)


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("code", "lasting", "every"),
    [
        (FULL, FOR_EVER, 2),
        (READ_ONLY, FOR_EVER, 7),
        (NO_DESCRIPTOR, FOR_EVER, 7),
        (errno.EIO, ONCE, 7),
        (errno.ESTALE, ONCE, 7),
    ],
    ids=["full", "read-only", "no descriptor", "EIO once", "ESTALE once"],
)
def test_at_whichever_write_it_fails_nothing_that_was_complete_is_lost(
    code: int,
    lasting: Callable[[int], Failure],
    every: int,
    around: Surroundings,
    whole: Run,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    expected = numbers(whole)
    with failing(code, lambda number: False) as asked:
        go_on(tmp_path / "counted", around)
    assert len(asked) > 40
    raised = 0
    places = range(0, len(asked), 1 if request.config.getoption("fuzz_examples") else every)
    for place in places:
        directory = tmp_path / str(place)
        found = None
        try:
            with failing(code, lasting(place)):
                go_on(directory, around)
        except OSError as error:
            found = error
        if found is not None:
            raised += 1
            assert found.errno == code
            one_line(found)
        assert hidden(directory) == []
        done = len(list(directory.glob("scores/*.parquet")))
        if done:
            assert Run.load(directory).progress() == (done, 3)
            # What is there is right before it goes on.
            assert numbers(Run.load(directory))["image"].nunique() == done
        assert_frame_equal(numbers(go_on(directory, around)), expected)
    # Some file systems sync no directory: that alone is no failure.
    assert raised >= len(places) * 0.7


def test_on_the_command_line_it_is_one_line(around: Surroundings, tmp_path: Path) -> None:
    run, bench = begin(tmp_path / "run", around.config())
    execute(run, bench=bench, shard=(1, 2), say=quiet)
    with failing(FULL, FOR_EVER(3)):
        result = call("resume", str(run.directory))
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "captum-gag: [Errno 28] No space left on device"
    assert "Traceback" not in result.output
    assert run.progress() == (2, 3)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="limits of Linux")
@pytest.mark.parametrize("left", [0, 1])
def test_without_a_descriptor_left_no_image_is_taken_for_one_that_is_not_done(left: int, whole: Run) -> None:
    expected = numbers(whole)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, before[1]))
    try:
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            for each in held[:left]:
                os.close(each)
        held = held[left:]
        if left:
            assert_frame_equal(numbers(Run.load(whole.directory)), expected)
            assert set(whole.maps("a/0.png")) == {"GAG-85", "Sobel"}
        else:
            for read in (whole.scores, whole.chosen, lambda: whole.maps("a/0.png"), lambda: Run.load(whole.directory)):
                with pytest.raises(InputError, match=r"cannot be read now \(.*Too many open files"):
                    read()
    finally:
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_reading_that_fails_is_no_reading_of_less(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real, numbers_of_calls = pq.ParquetFile, count()

    def stale(*args: Any, **options: Any) -> Any:
        # The selection, the first image, and then a server that is gone.
        if next(numbers_of_calls) == 2:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(*args, **options)

    monkeypatch.setattr(pq, "ParquetFile", stale)
    with pytest.raises(InputError, match=r"cannot be read now \(.*Stale file handle.*try again"):
        whole.scores()
    assert whole.scores()["image"].nunique() == 3


def test_where_nothing_may_be_written_everything_is_read(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FEW", 1)
    expected = numbers(whole)
    whole._collected.unlink()
    with failing(READ_ONLY, FOR_EVER(0)):
        assert_frame_equal(numbers(Run.load(whole.directory)), expected)
    assert hidden(whole.directory) == []


def test_when_the_clock_goes_back_nothing_is_scored_again(
    around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = go_on(tmp_path / "run", around)
    for each in run.directory.rglob("*.*"):
        os.utime(each, (time.time() + 1e6, time.time() + 1e6))
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert execute(Run.load(run.directory), say=quiet) == 0
    assert (run.scores()["seconds"] >= 0).all()


def test_a_photograph_changed_within_a_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    """Of the same size, at the same time, in the same place: only its content tells."""
    around = Surroundings(tmp_path)
    run = go_on(around.directory, around)
    photo = tmp_path / "data" / "a" / "0.png"
    before, content = photo.stat(), bytearray(photo.read_bytes())
    content[-30] ^= 1
    photo.write_bytes(content)
    real = Path.stat

    def as_before(path: Path, **options: Any) -> os.stat_result:
        return before if path == photo else real(path, **options)

    with (
        patch.object(Path, "stat", as_before),
        pytest.raises(InputError, match=r"1 photographs have changed .*a/0.png"),
    ):
        execute(Run.load(run.directory), say=quiet)


def test_what_a_killed_process_left_half_written_goes_when_nobody_can_be_writing_it(
    around: Surroundings, tmp_path: Path
) -> None:
    def killed(place: Path) -> None:
        place.write_bytes(b"half")
        # As if the process were gone: nothing is tidied up.
        raise KeyboardInterrupt

    run = go_on(tmp_path / "run", around)
    for name in ("scores", "maps"):
        with patch.object(Path, "unlink"), pytest.raises(KeyboardInterrupt):
            replace_file(run.directory / name / "it.parquet", killed)
    [old] = (run.directory / "scores").glob(".it*")
    [new] = (run.directory / "maps").glob(".it*")
    own = tmp_path / "run" / ".notes.of.mine"
    for each in (old, own):
        each.touch()
        os.utime(each, (time.time() - 7200,) * 2)
    assert execute(run, say=quiet) == 0
    assert (old.exists(), new.exists(), own.exists()) == (False, True, True)
    remove_abandoned(tmp_path / "nowhere")


class Blocking:
    """A thread-safe stand-in for a data set of which one photograph never comes."""

    def __init__(self) -> None:
        self.blocked, self.let_go = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.blocked.set()
        self.let_go.wait()


def test_a_photograph_that_never_comes_is_left_by_ctrl_c(around: Surroundings, tmp_path: Path) -> None:
    run, bench = begin(tmp_path / "run", around.config(batch_size=1))
    blocking, example = Blocking(), bench._example

    def never(name: str) -> Any:
        if name == "c/0.png":
            blocking.wait()
        return example(name)

    def interrupt() -> None:
        blocking.blocked.wait()
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    started = time.monotonic()
    with patch.object(bench, "_example", never), pytest.raises(KeyboardInterrupt):
        execute(run, bench=bench, say=quiet)
    assert time.monotonic() - started < 20
    assert run.progress() == (2, 3)
    blocking.let_go.set()
    assert execute(Run.load(run.directory), say=quiet) == 1


def test_without_shared_memory_it_is_one_line(around: Surroundings, tmp_path: Path) -> None:
    run, bench = begin(tmp_path / "run", around.config())
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with patch("_multiprocessing.SemLock", side_effect=full), pytest.raises(InputError) as caught:
        execute(run, in_processes(2), bench=bench, say=quiet)
    assert one_line(caught.value).startswith("no room for 2 workers: [Errno 28] No space left on device; free /dev/shm")
    assert run.progress() == (0, 3)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_line_and_costs_what_it_was_doing(around: Surroundings, tmp_path: Path) -> None:
    # So many that the workers cannot have done them all by then.
    photos = {"data": {"type": "tiny:sixty_photos"}, "model": {"type": "tiny:slow_model"}}
    run, bench = begin(tmp_path / "run", around.config(batch_size=1, **photos))
    keep = run.keep

    def kill_one(*args: Any) -> None:
        keep(*args)
        for each in multiprocessing.active_children():
            each.kill()

    with patch.object(run, "keep", kill_one), pytest.raises(InputError) as caught:
        execute(run, in_processes(2), bench=bench, say=quiet)
    assert one_line(caught.value) == "a worker process died; what it had done is kept: captum-gag resume RUN"
    assert hidden(run.directory) == []
    execute(Run.load(run.directory), say=quiet)
    assert Run.load(run.directory).progress() == (60, 60)
