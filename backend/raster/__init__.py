"""Gaussian rasterizers: gsplat on CUDA, ours on the CPU; one interface."""
