"""Judge one map: torch functions, and the same metrics for Quantus, which is imported on first use."""

import lazy_loader

# Functions with the names of their modules: imported here, they win over the modules as attributes of the package.
from captum_gag.metrics.aopc import aopc as aopc
from captum_gag.metrics.faithfulness import faithfulness as faithfulness
from captum_gag.metrics.rcap import rcap as rcap

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
