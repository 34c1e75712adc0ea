"""Arrays on the host: the native kernels, and the formula on NumPy for calls that they do not cover."""
