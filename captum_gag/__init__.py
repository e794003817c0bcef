"""Guided AbsoluteGrad for Captum, RCAP for Quantus; every name of ``__init__.pyi`` loads its room on first use."""

import lazy_loader

__version__ = "0.3.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
