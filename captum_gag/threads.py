"""Threads: the number that may compute at once, and the lock that lets one at a time use a model."""

from __future__ import annotations

import math
import os
import threading
from contextlib import ContextDecorator, suppress
from pathlib import Path

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
    """A context, or decorator, that one thread at a time may be in; that thread may enter again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


one_at_a_time = _OneAtATime()
"""Held while a model is used: methods change it temporarily, and Captum the global random state. One for all models,
since two may share layers."""

# A forked child has one thread only; whichever held the lock is not in it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_at_a_time.__init__)  # type: ignore[misc]
