"""Processes that end with their parent."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from milepost.dev.tether import NOT_STARTED_STATUS, ORPHANED_STATUS

TETHER = (sys.executable, "-m", "milepost.dev.tether")

# A parent that starts one tethered child, which holds a lock, and then waits to be killed.
PARENT = """
import fcntl, os, subprocess, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
tether = [sys.executable, "-m", "milepost.dev.tether", str(os.getpid())]
child = subprocess.Popen(
    [*tether, "/bin/sh", "-c", "echo tied; exec sleep 60"], pass_fds=[lock.fileno()]
)
child.wait()
"""


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Kill -9 leaves the parent no chance to say goodbye; the kernel says it."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", PARENT, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "tied\n"
        parent.kill()

    with path.open() as lock:
        begun = time.monotonic()
        fcntl.flock(lock, fcntl.LOCK_EX)  # free once the child, its last holder, has ended
    assert time.monotonic() - begun < 10


def test_an_orphan_does_not_start() -> None:
    """The parent may die before the kernel was asked: then nothing would ever end the child."""
    done = subprocess.run([*TETHER, "1", "/bin/echo", "alive"], capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (ORPHANED_STATUS, b"")


def test_the_command_takes_the_process_over() -> None:
    """Its id is the tether's, so a signal to it reaches the command itself."""
    command = [*TETHER, str(os.getpid()), "/bin/sh", "-c", "echo $$"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        out, _ = child.communicate()

    assert int(out) == child.pid


def test_a_missing_program_is_named() -> None:
    """In the log of the service, where one looks."""
    done = subprocess.run(
        [*TETHER, str(os.getpid()), "/nowhere/litestream"], capture_output=True, check=False
    )

    assert done.returncode == NOT_STARTED_STATUS
    assert done.stderr == b"/nowhere/litestream: No such file or directory\n"
