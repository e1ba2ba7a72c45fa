"""An export, read to its end, and what it does to the memory of who gives it."""

import http.client
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, Self
from urllib.parse import urlencode

from bench.generating.questions import OK, Asker

FORMATS = ("jsonl", "csv", "tsv", "parquet")
READ_BYTES, SILENCE_SECONDS_MAX, SAMPLE_SECONDS = 1 << 20, 120.0, 0.05
KB_A_MB = 1024


class Memory:
    """The resident memory of a process, sampled while this is entered, in megabytes."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[float] = []

    def __enter__(self) -> Self:
        """Begin."""
        self.samples.append(self._resident())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    def told(self) -> dict[str, float]:
        """Return what there was before, the most there was, and by how much it grew.

        It grows by what the last quarter of the time has more than the second: the first
        fills caches.
        """
        quarter = max(1, len(self.samples) // 4)
        second, last = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        return {
            "before_mb": round(self.samples[0], 1),
            "peak_mb": round(max(self.samples), 1),
            "grown_mb": round(median(last) - median(second or last), 1),
        }

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.samples.append(self._resident())

    def _resident(self) -> float:
        (line,) = (
            line for line in self._status.read_text().splitlines() if line.startswith("VmRSS:")
        )
        return int(line.split()[1]) / KB_A_MB


def export(asker: Asker, pid: int, form: str, start_ms: int) -> dict[str, Any]:
    """Export what has come since a moment; return rows a second and memory, or why not."""
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_ms // 1000))
    asker.close()
    begun = time.monotonic()
    with Memory(pid) as memory, tempfile.NamedTemporaryFile() as file:
        try:
            path = f"/v1/export?{urlencode({'format': form, 'start': start})}"
            response = asker.open(path, SILENCE_SECONDS_MAX)
            if response.status != OK:
                why = response.read()[:200].decode(errors="replace")
                return {"missing": f"{response.status} {why}"}
            rows = size = 0
            while block := response.read(READ_BYTES):
                rows += block.count(b"\n")
                size += len(block)
                if form == "parquet":
                    file.write(block)
        except (OSError, http.client.HTTPException) as error:
            return {"failed": f"{type(error).__name__} after {time.monotonic() - begun:.1f} s"}
        finally:
            asker.close()
        took = time.monotonic() - begun
        file.flush()
        rows = _rows_of(Path(file.name)) if form == "parquet" else rows - (form != "jsonl")
    return {
        "rows": rows,
        "rows_per_second": round(rows / took),
        "mb": round(size / 1e6, 1),
        **memory.told(),
    }


def _rows_of(path: Path) -> int:
    # Whoever can give this format has what it takes to read it.
    return int(import_module("pyarrow.parquet").ParquetFile(path).metadata.num_rows)
