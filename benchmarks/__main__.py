"""`python -m benchmarks [NAME ...]`: run all benchmarks or some, print their rows, write them to `results.json`."""

import argparse
import importlib
import importlib.util
import sys
import time
from pathlib import Path

from benchmarks.figures import MissingFiguresError, folder
from benchmarks.measure import print_table, save

BENCHMARKS = ("search", "cold_start", "serving", "location", "refresh", "images")
RESULTS = Path(__file__).with_name("results.json")
NEEDED = ("fastapi", "joblib", "sktime", "statsforecast")


def main(arguments: list[str]) -> int:
    """The exit code: 0 when everything was measured, whether or not targets are met; 1 when something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    names = parser.parse_args(arguments).names or BENCHMARKS
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        sys.stderr.write(f"{', '.join(missing)} cannot be imported: `make bench` installs them\n")
        return 1
    try:
        folder()
    except MissingFiguresError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name in names:
        _run(name)
    return 0


def _run(name: str) -> None:
    began = time.monotonic()

    def progress(text: str) -> None:
        sys.stderr.write(f"{name} {time.monotonic() - began:5.0f} s: {text}\n")

    results = importlib.import_module(f"benchmarks.{name}").run(progress)
    save(results, RESULTS)  # at once: what a later benchmark does cannot lose these
    print_table(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
