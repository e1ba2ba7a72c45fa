"""The image's entry point: hand a service its folder and its own secrets, then become it.

An app's secrets reach every machine of the app.  This runs as root, before
anything of ours, keeps only what the group on the command line may see, gives
it the data folder, drops to an unprivileged user and executes the service.
Commands that are none of the groups, such as a console, get no secret at all.
"""

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

USER, GROUP = 10001, 10001
DATA, TOKENS_FILE = Path("/data"), Path("/run/milepost/tokens.json")

# Name on the app -> name that the service reads, for each group.
SECRETS: dict[str, dict[str, str]] = {
    "edge": {"EDGE_TOKEN": "MILEPOST_TOKEN"},
    "aggregator": {"AGGREGATOR_TOKEN": "MILEPOST_TOKEN"},
    "keys": {"MASTER_KEY": "MILEPOST_MASTER_KEY", "KEYS_TOKEN": "MILEPOST_TOKEN"},
    "links": {"CLEANUP_TOKEN": "MILEPOST_CLEANUP_TOKEN"},
}
ALL_SECRETS = frozenset(
    {"TOKENS", "MILEPOST_TOKEN", "MILEPOST_MASTER_KEY", "MILEPOST_CLEANUP_TOKEN"}.union(
        *SECRETS.values()
    )
)

# In the tokens file, beside each edge's hash: who has them can make address boxes in its name.
MAC_FIELDS = ("token_id", "mac_key")


def group_of(arguments: Sequence[str]) -> str:
    """Return the group that `serve GROUP` names, or nothing."""
    named = arguments[1] if list(arguments[:1]) == ["serve"] and len(arguments) > 1 else ""
    return named if named in SECRETS else ""


def own_environment(group: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return *env* with the secrets of *group* under their own names, and no other."""
    kept = {name: value for name, value in env.items() if name not in ALL_SECRETS}
    for given, read in SECRETS.get(group, {}).items():
        if env.get(given):
            kept[read] = env[given]
    return kept


def hand_over(path: Path) -> None:
    """Give *path* to the service's user, for its owner alone."""
    if path.exists():
        os.chown(path, USER, GROUP)
        path.chmod(0o700 if path.is_dir() else 0o400)


def without_mac_keys(document: bytes) -> bytes:
    """Return the tokens file *document* without what the key server alone needs of it."""
    told = json.loads(document)
    for entry in told["tokens"]:
        for name in MAC_FIELDS:
            entry.pop(name, None)
    return json.dumps(told).encode()


def drop_mac_keys(path: Path) -> None:
    """Take the edges' MAC keys out of the tokens file at *path*; a damaged one stays as it is."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError, AttributeError):
        path.write_bytes(without_mac_keys(path.read_bytes()))


def main(arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Become the service."""
    group = group_of(arguments)
    if os.getuid() == 0:
        if group:
            hand_over(DATA)
            if group != "keys":
                drop_mac_keys(TOKENS_FILE)
            hand_over(TOKENS_FILE)
        os.setgroups([])
        os.setgid(GROUP)
        os.setuid(USER)
    os.execvpe("milepost", ["milepost", *arguments], own_environment(group, env))  # noqa: S606, S607


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
