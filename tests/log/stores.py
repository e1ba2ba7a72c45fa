"""Object stores for tests: a folder, or a real S3 server on one."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.log.kit import clean_env, free_port

RCLONE = Path(sys.executable).parent / "rclone"
KEY, SECRET = "testkey", "testsecret12345"
S3_ENV = {
    "no_proxy": "127.0.0.1",
    "NO_PROXY": "127.0.0.1",
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
}
START_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Store:
    """An object store, and where its files can be seen."""

    url: str
    folder: Path

    def url_of(self, name: str) -> str:
        """Return the address of one replica."""
        base, mark, query = self.url.partition("?")
        return f"{base}/{name}{mark}{query}"


@contextlib.contextmanager
def s3_store(root: Path) -> Iterator[Store]:
    """Serve *root* by S3's protocol, with one bucket in it."""
    (root / "clicks").mkdir(parents=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    words = ("serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", address, str(root))
    server = subprocess.Popen(
        [str(RCLONE), *words],
        env=clean_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        url = f"s3://clicks/base?endpoint=http://{address}&region=us-east-1"
        yield Store(url, root / "clicks" / "base")
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return
