"""How many threads may compute at once on this machine."""

from __future__ import annotations

import os


def cores() -> int:
    """Return how many cores the operating system lets this process use: by affinity, and by the quota of its cgroup."""
    from joblib import cpu_count

    return int(cpu_count())


def threads_each(workers: int = 1) -> int:
    """Return how many threads each of some processes may have, so that none waits for another's core.

    Never more than OMP_NUM_THREADS, where that is set.
    """
    shared = max(1, cores() // workers)
    most = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(shared, int(most)) if most.isdecimal() and int(most) > 0 else shared
