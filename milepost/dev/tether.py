"""A process that ends when its parent does: `python -m milepost.dev.tether PARENT COMMAND…`.

Asks the kernel for SIGTERM at the parent's death, then becomes COMMAND under the
same process id.  Only Linux can be asked; elsewhere the command runs untethered.
"""

import os
import sys

from milepost.tie import tie

ORPHANED_STATUS = 143  # what a shell says of a process that SIGTERM ended
NOT_STARTED_STATUS = 127
WORDS_MIN = 2


def tethered(*command: str) -> tuple[str, ...]:
    """Return *command* as one that ends with this process."""
    return (sys.executable, "-P", "-m", "milepost.dev.tether", str(os.getpid()), *command)


def main(words: list[str]) -> int:
    """Tie this process to the parent named first and become the command that follows."""
    if len(words) < WORDS_MIN or not words[0].isdigit():
        sys.stderr.write("usage: python -m milepost.dev.tether PARENT COMMAND...\n")
        return NOT_STARTED_STATUS
    if not tie(int(words[0])):
        return ORPHANED_STATUS
    try:
        os.execvp(words[1], words[1:])  # noqa: S606 - the command is the supervisor's
    except OSError as error:
        sys.stderr.write(f"{words[1]}: {error.strerror}\n")
    return NOT_STARTED_STATUS


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
