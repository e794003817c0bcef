"""Explain: one image in, one attribution out, under the contract of ``captum.attr``; loaded on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
