"""What every test has: a header that names the versions on which behaviour depends."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from milepost import sqlite

# A busy machine is no reason to fail: what takes too long is seen by --durations.
settings.register_profile(
    "milepost", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.load_profile("milepost")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Print the SQLite and the litestream that the tests run on."""
    return [f"sqlite: {sqlite.VERSION}", f"litestream: {_litestream_version()}"]


def _litestream_version() -> str:
    binary = Path(sys.executable).with_name("litestream")
    try:
        done = subprocess.run(
            [str(binary), "version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "not installed"
    return done.stdout.strip()
