"""The compiled engine of the search: an automatic ARIMA with regressors for many series at once.

`kernels` is the mathematics, `arima` its Python face. numba compiles the kernels on the first call on a machine and
keeps the machine code; `python -m forecasting.engine` does so in advance, where an image is built.
"""
