"""Environments beside the one of the tests: what an image holds, and what cannot live beside our own pins."""

from pathlib import Path

import pytest

_HOME = Path(__file__).resolve().parents[1] / ".venv" / "environments"


def environment(name: str) -> Path:
    """The interpreter of an environment, installed from `requirements/<name>.txt`; the test is skipped without it."""
    python = _HOME / name / "bin" / "python"
    if not (python.parents[1] / ".installed").exists():
        pytest.skip(f"the environment {name} is not installed: `make test-full` installs it")
    return python
