"""Tying this process's life to its parent's.

Only Linux can be asked for that; elsewhere a process has to notice by itself.
"""

import ctypes
import signal
import sys
from os import getppid

PR_SET_PDEATHSIG = 1


def tie(parent: int) -> bool:
    """Have the kernel send SIGTERM when *parent* dies; return whether it is still there.

    The question comes after the request: a parent that dies in between sends no signal.
    """
    if not sys.platform.startswith("linux"):
        return True
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return getppid() == parent
