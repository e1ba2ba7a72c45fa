"""`milepost dev` put together: hold the ground, found what is missing, start, watch, drain."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence

from milepost.clock import SystemClock, system_entropy
from milepost.config import EnvReader
from milepost.dev import plan, show
from milepost.dev.child import Child, Tell
from milepost.dev.credentials import ensure_credentials
from milepost.dev.founding import find_litestream, found_keys, write_litestream_configs
from milepost.dev.ground import (
    childrens_lock,
    make_folders,
    replicas_link,
    require_free,
    socket_folder,
)
from milepost.dev.plan import Options, Surroundings
from milepost.dev.platform import Platform, fleet_path
from milepost.dev.supervise import keep_until, kill
from milepost.service import sole_holder

OUR_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_platform(options: Options, env: Mapping[str, str], tell: Tell) -> None:
    """Run the platform until a signal ends it."""
    require_known_names(env)
    litestream = find_litestream(sys.executable, env.get("PATH")) if options.litestream else ""
    make_folders([options.data])
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        what = f"the folder {options.data} (--data names another)"
        stack.enter_context(sole_holder(options.data / "dev.lock", what))
        # What an earlier run left there is no longer true, and people wait for `ready`.
        fleet_path(options).unlink(missing_ok=True)
        lock = await stack.enter_async_context(childrens_lock(options.data / "run.lock", clock))
        require_free(plan.ports(options))
        make_folders(plan.folders(options))
        sockets = stack.enter_context(socket_folder(options.data / "run"))
        credentials = ensure_credentials(options.data / "secrets", options.regions, system_entropy)
        platform = Platform(options, credentials, pid=os.getpid(), clock=clock, tell=tell)
        platform.publish()
        here = Surroundings(
            env=env,
            python=sys.executable,
            identity=await found_keys(options, env, (lock,)),
            litestream=litestream,
            sockets=sockets,
            replicas=replicas_link(plan.replicas_folder(options), sockets),
        )
        write_litestream_configs(options, here)
        await _run(platform, options, here, (lock,), tell)


def require_known_names(env: Mapping[str, str]) -> None:
    """Refuse settings that no service knows: a typing error is told here, once, and not by each."""
    with EnvReader(env):
        pass


async def _run(
    platform: Platform, options: Options, here: Surroundings, inherits: tuple[int, ...], tell: Tell
) -> None:
    services = [
        Child(process, changed=platform.changed, tell=tell, inherits=inherits)
        for process in plan.services(options, here)
    ]
    litestreams = [
        Child(process, changed=_nothing, tell=tell, inherits=inherits)
        for process in plan.litestreams(options, here)
    ]
    children = [*litestreams, *services]
    platform.take(services, litestreams)
    with ends_on_signals(platform, children, tell):
        for line in (*show.welcome(options), "", *show.next_steps(options), ""):
            tell(line)
        await keep_until(platform.told, children, platform.watch())


def _nothing() -> None:
    """A litestream that comes or goes changes nothing for visitors."""


@contextlib.contextmanager
def ends_on_signals(platform: Platform, children: Sequence[Child], tell: Tell) -> Iterator[None]:
    """Drain at the first signal, kill at the second."""

    def hear() -> None:
        if platform.told.is_set():
            tell("stopping at once")
            kill(children)
            return
        tell("draining; once more stops at once")
        platform.end()

    loop = asyncio.get_running_loop()
    for number in OUR_SIGNALS:
        loop.add_signal_handler(number, hear)
    try:
        yield
    finally:
        for number in OUR_SIGNALS:
            loop.remove_signal_handler(number)
