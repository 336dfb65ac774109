"""Rows to the bytes of a Parquet file, which verl and EasyR1 read; pyarrow comes with the `model` extra."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from adfm.errors import UserError


def parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a Parquet file of rows with equal keys; lists and dictionaries become lists and structs.

    Raises:
        UserError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("Parquet needs pyarrow, which is not installed; pip install 'adfm[model]'") from error
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist([_utf8(row) for row in rows]), buffer)
    return buffer.getvalue()


def _utf8(row: dict[str, Any]) -> Any:
    """Return a row whose texts are UTF-8: a lone surrogate becomes a question mark, as in our own files."""
    return json.loads(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
