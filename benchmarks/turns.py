"""Fair timing of several contenders in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def take_turns(
    title: str,
    runs: dict[str, Callable[[], object]],
    rounds: int,
    bare: str,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Time contenders and print their medians and their ratios to the best bare one.

    They take turns within each round, each time another first, so that a drifting machine touches all alike. A ratio
    is the median over rounds of the ratio within a round. The first round warms up and does not count.

    Args:
        title: What is printed above.
        runs: The contenders by name.
        rounds: How many rounds count.
        bare: What the names of the bare contenders begin with; the fastest of them is the measure.
        clock: ``time.process_time`` for CPU seconds, where other processes share the machine.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = clock()
            runs[name]()
            if number:
                seconds[name].append(clock() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    best = min((name for name in runs if name.startswith(bare)), key=medians.__getitem__)
    print(f"\n{title}, {rounds} rounds; ratios to '{best}' and their quartiles")
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(times, seconds[best], strict=True)]
        quartiles = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
        spread = f"[{quartiles[0]:.3f}, {quartiles[2]:.3f}]"
        print(f"  {name:34s} {medians[name]:7.2f} s  {quartiles[1]:6.3f} x  {spread}", flush=True)
