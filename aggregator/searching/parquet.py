"""Hits as a Parquet file, group of rows after group of rows.

The library is an optional part of an installation.
"""

import io
from collections.abc import Sequence
from typing import Any

from aggregator.searching.rows import Columns
from milepost.errors import RejectedError

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError:  # told to whoever asks for this format
    pa = parquet = None

GROUP_ROWS = 65_536
INTEGERS = frozenset({"epoch", "status", "asn"})


class Sink(io.RawIOBase):
    """Takes what is written until somebody takes it away."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        """Tell that it may be written."""
        return True

    def tell(self) -> int:
        """Return how much was written in all."""
        return self._size

    def write(self, content: Any) -> int:
        """Keep *content*."""
        part = bytes(content)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def take(self) -> bytes:
        """Return what was written since it was last taken."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class ParquetFile:
    """Makes the bytes of one file out of columns."""

    def __init__(self, names: Sequence[str]) -> None:
        if pa is None:
            msg = (
                "format: parquet is not installed here (milepost[parquet]); want jsonl, csv or tsv"
            )
            raise RejectedError(msg)
        self._schema = pa.schema([(name, _type_of(name)) for name in names])
        self._sink = Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._tables: list[Any] = []
        self._waiting = 0

    def begin(self) -> bytes:
        """Return what comes before the first row."""
        return self._sink.take()

    def rows(self, columns: Columns) -> bytes:
        """Return what can be told once *columns* are there too: groups are large."""
        arrays = [
            pa.array(values, type=kind)
            for values, kind in zip(columns, self._schema.types, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._tables.append(table)
        self._waiting += table.num_rows
        if self._waiting >= GROUP_ROWS:
            self._flush()
        return self._sink.take()

    def end(self) -> bytes:
        """Return the rest of the file."""
        self._flush()
        self._writer.close()
        return self._sink.take()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._waiting = [], 0


def _type_of(name: str) -> Any:
    if name == "time":
        return pa.timestamp("ms", tz="UTC")
    if name == "opt_out":
        return pa.bool_()
    return pa.int64() if name in INTEGERS else pa.string()
