"""Perspective video diffusion models, each behind the protocol in ``protocol.py``."""
