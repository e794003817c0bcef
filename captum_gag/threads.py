"""One thread at a time with a model: what explains changes it for a while, and Captum the global random state."""

from __future__ import annotations

import os
import threading
from contextlib import ContextDecorator


class OneAtATime(ContextDecorator):
    """A context, or decorator, in which there is one thread of the process at a time; it may enter again."""

    def __init__(self) -> None:
        """Start with nobody inside."""
        self._start_over()
        # A child that is forked has but one thread, and whoever was inside is not in it.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_over)

    def __enter__(self) -> None:
        """Wait until nobody else is inside."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Let the next one in."""
        self._lock.release()

    def _start_over(self) -> None:
        self._lock = threading.RLock()


one_at_a_time = OneAtATime()
"""Held by whoever asks a model: one for all models, since two may share layers, and all share the random state."""
