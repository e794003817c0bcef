"""Judge one map: torch functions, metrics with options, and the same as Quantus metrics, loaded on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
