"""Arrays in the memory of the host: the native kernels, and the formula on NumPy where they do not serve."""
