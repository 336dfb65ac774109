"""Rows to the bytes of Parquet, JSON-lines and JSON files. A lone surrogate becomes a question mark in all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from adfm.errors import UserError
from adfm.storage import encode_line


def parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a Parquet file of rows with equal keys. Lists and dictionaries become lists and structs.

    Raises:
        UserError: pyarrow is not installed. It comes with the `model` extra.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError("Parquet needs pyarrow, which is not installed; pip install 'adfm[model]'") from error
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist([json.loads(json_file(row)) for row in rows]), buffer)
    return buffer.getvalue()


def json_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a JSON-lines file."""
    return "".join(map(encode_line, rows)).encode("utf-8", "replace")


def json_file(value: dict[str, Any]) -> bytes:
    """Return a JSON file on one line."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
