import sys
from pathlib import Path

# So that tiny:model is a package.module:callable, here and in the processes that tests start.
sys.path.append(str(Path(__file__).parent))
