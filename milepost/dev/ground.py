"""The ground a platform stands on: its folders, its ports, and nobody else on either."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from milepost.clock import Clock
from milepost.dev.plan import LOOPBACK
from milepost.errors import ConfigError

CHILDREN_SECONDS_MAX = 15.0  # an edge allows itself 10 to finish what it has
LOOK_SECONDS = 0.1
SOCKET_PATH_BYTES_MAX = 100  # the kernel allows 107, and a name has to follow the folder
LONGEST_NAME_BYTES = len("/edge-.sock") + 32

# What a URL holds as it is.  litestream does not turn `%20` in a file:// URL into a space again.
_PLAIN = re.compile(r"[A-Za-z0-9/._~+,=@-]+")


def make_folders(folders: Iterable[Path]) -> None:
    """Make *folders*, or say which one cannot be made."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"cannot make {folder}: {error.strerror}; give --data a folder you may write to"
            raise ConfigError(msg) from error


def require_free(ports: Iterable[int]) -> None:
    """Refuse to start when somebody listens on one of *ports*."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
                probe.listen(1)
            except OSError as error:
                raise ConfigError(_not_free(port, error)) from error


def _not_free(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; stop what holds it or choose another --base-port"
    return f"port {port} cannot be used: {error.strerror}; choose another --base-port"


@contextlib.asynccontextmanager
async def childrens_lock(
    path: Path, clock: Clock, seconds_max: float = CHILDREN_SECONDS_MAX
) -> AsyncIterator[int]:
    """Lend the descriptor of a lock that every child inherits.

    It is free once the last child of an earlier run has gone, so whoever holds it
    meets no child that still drains: not on a port, a database or a socket.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for _ in range(round(seconds_max / LOOK_SECONDS)):
            if _locked(descriptor):
                break
            await clock.sleep(LOOK_SECONDS)
        else:
            msg = (
                f"processes of an earlier `milepost dev` still run (they hold {path}); "
                "wait until they have ended, or end them"
            )
            raise ConfigError(msg)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def socket_folder(preferred: Path) -> Iterator[Path]:
    """Lend a folder for sockets and links whose path is short and plain.

    It is *preferred* if that is both, else a temporary one.  The temporary one has
    the same name every time, so that nothing piles up after kills.
    """
    short_enough = len(os.fsencode(preferred)) + LONGEST_NAME_BYTES <= SOCKET_PATH_BYTES_MAX
    if short_enough and _is_plain(preferred):
        preferred.chmod(0o700)
        yield preferred
        return
    name = hashlib.blake2b(os.fsencode(preferred), digest_size=8).hexdigest()
    short = Path(tempfile.gettempdir()) / f"milepost-{name}"
    if not _is_plain(short):
        msg = (
            f"the name of {short.parent} has signs that no URL holds: set TMPDIR to another folder"
        )
        raise ConfigError(msg)
    _make_private(short)
    try:
        yield short
    finally:
        shutil.rmtree(short, ignore_errors=True)


def replicas_link(replicas: Path, sockets: Path) -> Path:
    """Return a path to *replicas* that a URL can hold: itself, or a link to it in *sockets*."""
    if _is_plain(replicas):
        return replicas
    link = sockets / "replicas"
    link.unlink(missing_ok=True)  # left by a run that was killed
    link.symlink_to(replicas, target_is_directory=True)
    return link


def _is_plain(path: Path) -> bool:
    return _PLAIN.fullmatch(str(path)) is not None


def _make_private(folder: Path) -> None:
    """Make *folder*, or make sure that the one there is nobody else's: others may write beside."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        there = folder.lstat()
        private = stat.S_ISDIR(there.st_mode) and not there.st_mode & 0o077
        if not private or there.st_uid != os.getuid():
            msg = f"{folder} is not private to you: remove it, or give --data a shorter path"
            raise ConfigError(msg) from error
