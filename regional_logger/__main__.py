"""The edge: `python -m regional_logger`, and with `worker K` behind it one of its workers."""

import os
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import uvloop

from milepost.service import run_service
from regional_logger import child, parent, solo
from regional_logger.config import Config

WORKER = "worker"

Main = Callable[[Config], Coroutine[Any, Any, None]]


async def main(config: Config) -> None:
    """Run an edge, in one process or with workers."""
    await (parent.main(config) if config.workers > 1 else solo.main(config))


def main_for(words: list[str]) -> Main:
    """Return what the words behind the program's name ask for."""
    if words[:1] == [WORKER] and len(words) > 1 and words[1].isdecimal():
        return partial(child.main, number=int(words[1]))
    return main


if __name__ == "__main__":
    raise SystemExit(
        run_service("edge", Config.from_env, main_for(sys.argv[1:]), os.environ, runner=uvloop.run)
    )
