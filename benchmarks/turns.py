"""Fair timing of several contenders in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def take_turns(title: str, runs: dict[str, Callable[[], object]], rounds: int, bare: str) -> None:
    """Time contenders and print their medians and their ratios to the best bare one.

    They take turns within each round, so that a drifting machine touches all alike. A ratio is the median over rounds
    of the ratio within a round. The first round warms up and does not count.

    Args:
        title: What is printed above.
        runs: The contenders by name.
        rounds: How many rounds count.
        bare: What the names of the bare contenders begin with; the fastest of them is the measure.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    best = min((name for name in runs if name.startswith(bare)), key=medians.__getitem__)
    print(f"\n{title}, {rounds} rounds; ratios to '{best}'")
    for name, times in seconds.items():
        ratio = statistics.median(one / other for one, other in zip(times, seconds[best], strict=True))
        print(f"  {name:34s} {medians[name]:7.2f} s  {ratio:6.3f} x", flush=True)
