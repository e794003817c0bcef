"""The peak of the memory of this process, for the benchmarks that print it."""

from pathlib import Path


def peak() -> int:
    """Return the peak resident memory of this process in MiB (Linux; getrusage would inherit the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
