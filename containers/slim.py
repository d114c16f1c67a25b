"""`python slim.py SITE_PACKAGES`: takes out of an image's packages what its entry point never reads.

Run by the Dockerfiles after the packages are installed, as a program of its own: standard library only. Byte code
stays, because the images write none: without it every cold start would compile all over again. Symbols stay too: the
wheels come stripped.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

TEST_FOLDERS = ("tests", "test")

UNUSED = (
    "pyarrow/include",  # for compilers
    "pyarrow/*flight*",  # remote procedure calls
    "pyarrow/*s3*",  # tables come as files
    "pyarrow/*gcsfs*",
    "pyarrow/*azurefs*",
    "numpy/_core/include",
    "statsmodels/datasets/*/*.csv",
    "statsmodels/datasets/*/*.dta",
    "matplotlib/mpl-data/sample_data",
    "boto3/examples",
)

SERVICES = ("s3", "sagemaker-runtime", "sts")
"""What the containers ask AWS for; botocore brings the descriptions of some 400 services."""


def unused(packages: Path) -> Iterator[Path]:
    """The files and folders of site-packages that can go; none lies within another."""
    services = packages / "botocore" / "data"
    if services.is_dir():
        yield from (entry for entry in services.iterdir() if entry.is_dir() and entry.name not in SERVICES)
    named = {found for pattern in UNUSED for found in packages.glob(pattern)}
    yield from named
    for folder in packages.rglob("*/"):
        above = {*folder.parents}
        if folder.name in TEST_FOLDERS and not named & above and not any(one.name in TEST_FOLDERS for one in above):
            yield folder


def size(entry: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = entry.rglob("*") if entry.is_dir() else (entry,)
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def main(packages: Path) -> None:
    """Remove it and say how much it was."""
    before, found = size(packages), list(unused(packages))
    for entry in found:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    sys.stdout.write(f"{packages}: {before / 1e6:.0f} MB, {size(packages) / 1e6:.0f} MB are left\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
