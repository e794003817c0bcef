"""What all tests share: tiny:model is a package.module:callable, and each worker computes on one core."""

import os
import sys
from pathlib import Path

# Before torch comes: with a worker per core, more threads would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# So that tiny:model is found, here and in the processes that tests start.
sys.path.append(str(Path(__file__).parent))
