"""What the tests of `milepost dev` share."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.backoff import Backoff
from milepost.dev.child import Child
from milepost.dev.plan import Options, Process, Stage, Surroundings

IMPATIENT = Backoff(first_seconds=0.001, seconds_max=0.002, healthy_seconds=60)

MakeChild = Callable[..., Child]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Two regions, on ports that nothing else in these tests takes."""
    return Options(data=tmp_path / "data", regions=("dfw", "cdg"), base_port=8080)


@pytest.fixture
def here(tmp_path: Path) -> Surroundings:
    """A machine with litestream, and a person's environment."""
    return Surroundings(
        env={"PATH": "/usr/bin", "MILEPOST_ACCEPT_BUDGET_MS": "60000", "AWS_CA_BUNDLE": "/ca"},
        python=sys.executable,
        identity="ab" * 32,
        litestream="/usr/bin/litestream",
        sockets=tmp_path / "run",
        replicas=tmp_path / "plain",
    )


@pytest.fixture
def told() -> list[str]:
    """The lines that people were told."""
    return []


@pytest.fixture
def make_child(tmp_path: Path, told: list[str]) -> MakeChild:
    """Return a maker of children that run a shell script."""

    def make(script: str, *, name: str = "small", stage: Stage = Stage.CENTRAL) -> Child:
        process = Process(
            name=name,
            command=("/bin/sh", "-c", script),
            env={"PATH": "/usr/bin:/bin"},
            log=tmp_path / f"{name}.log",
            stage=stage,
        )
        return Child(process, changed=lambda: None, tell=told.append, backoff=IMPATIENT)

    return make


async def until(holds: Callable[[], object]) -> None:
    """Return once *holds* does; the test's own time limit ends a wait in vain."""
    while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
        await asyncio.sleep(0.005)
