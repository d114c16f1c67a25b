"""`python -m forecasting.engine`: compile the kernels and keep the machine code, as an image does when it is built."""

import sys
from time import perf_counter

from forecasting.engine.arima import prepare


def main() -> None:
    """Compile, or find what was compiled, and say how long it took."""
    sys.stdout.write("preparing the search engine; the first time on a machine it is compiled, which takes a minute\n")
    sys.stdout.flush()
    started = perf_counter()
    prepare()
    sys.stdout.write(f"ready after {perf_counter() - started:.1f} s\n")


if __name__ == "__main__":
    main()
