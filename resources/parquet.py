"""Parquet as bytes in memory.

pyarrow reads from threads of its own. Where they read a Python file, one that has not ended when the interpreter does
takes the process down with it; bytes they read by themselves.
"""

import io

import pandas as pd


def loaded(content: bytes) -> pd.DataFrame:
    """The table in a Parquet file.

    Raises:
        OSError, ValueError, NotImplementedError: It is none; what pyarrow's errors derive from.
    """
    import pyarrow as pa

    return pd.read_parquet(pa.BufferReader(content))


def dumped(table: pd.DataFrame) -> bytes:
    """A table as a Parquet file, without its index."""
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()
