"""Columns as a lake's tables have them: their kind and meaning by name."""

from collections.abc import Mapping
from datetime import date

Columns = Mapping[str, tuple[str, str]]
Tables = Mapping[str, Columns]

PARTITION = "week"

FIRST_WEEK = date(2010, 1, 1)
"""The first week that a lake can have; a Friday, from which all others are counted."""
