"""Threads: the number that may compute at once, and the lock that lets one at a time use a model."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, as_completed, wait
from concurrent.futures.thread import _WorkItem
from contextlib import ContextDecorator, suppress
from pathlib import Path
from types import FrameType

# CPU quota and period of a container: cgroup v2, v1.
_QUOTAS = (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"])


def cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores of this process, by its affinity and the CPU quota of its container."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in _QUOTAS:
        # No such file, or "max": no quota; neither is -1.
        with suppress(OSError, ValueError):
            quota, period = map(int, " ".join((cgroup / file).read_text() for file in files).split())
            available = min(available, math.ceil(quota / period)) if quota > 0 else available
    return available


def threads_each(workers: int = 1) -> int:
    """Return the number of threads for each of several processes: a fair share, at most OMP_NUM_THREADS."""
    share = max(1, cores() // workers)
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(share, int(limit)) if limit.isdecimal() and int(limit) > 0 else share


class _OneAtATime(ContextDecorator):
    """A context, or decorator, that one thread at a time may be in; it may enter again, as may one that it waits for.

    A model's forward may explain another model, in a thread whose result it waits for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Who is in, each as often as it has entered; the others wait for the last.
        self._inside: list[int] = []

    def __enter__(self) -> None:
        with self._changed:
            while self._inside and not self._may_enter(self._inside[-1]):
                # Nobody says when a thread begins to wait for this one.
                self._changed.wait(0.02)
            self._inside.append(threading.get_ident())

    def __exit__(self, *_: object) -> None:
        own = threading.get_ident()
        with self._changed:
            del self._inside[len(self._inside) - 1 - self._inside[::-1].index(own)]
            self._changed.notify_all()

    @staticmethod
    def _may_enter(last: int) -> bool:
        """Return whether this thread is the last that entered, or that one waits for it, by its end or its result."""
        if last == threading.get_ident():
            return True
        own: list[object] = [threading.current_thread()]
        own += [frame.f_locals["self"].future for frame in _frames(sys._getframe()) if frame.f_code is _RUNS]
        waits = [frame.f_locals for frame in _frames(sys._current_frames().get(last)) if frame.f_code in _WAITS]
        awaited = [item for names in waits for item in (names.get("self"), *names.get("fs", ()))]
        return any(one is other for one in own for other in awaited)


# The code of a thread that waits for another (self), or for results (self or fs), and of one that computes a result.
_WAITS = [
    function.__code__ for function in (threading.Thread.join, Future.result, Future.exception, wait, as_completed)
]
_RUNS = _WorkItem.run.__code__


def _frames(innermost: FrameType | None) -> Iterator[FrameType]:
    while innermost is not None:
        yield innermost
        innermost = innermost.f_back


one_at_a_time = _OneAtATime()
"""Held while a model is used: methods change it temporarily, and Captum the global random state. One for all models,
since two may share layers."""

# A forked child has one thread only; whichever held the lock is not in it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_at_a_time.__init__)  # type: ignore[misc]
