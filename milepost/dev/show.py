"""What `milepost dev` tells people.

Rules of this file:
- Pure: it returns lines, and somebody else prints them.
- No token is ever shown; commands read it from its file.
"""

import shlex

from milepost.dev.plan import (
    AGGREGATOR_OFFSET,
    KEYS_OFFSET,
    LINKS_OFFSET,
    Options,
    local_url,
    public_port,
    replicas_folder,
)


def welcome(options: Options) -> list[str]:
    """Say where everything is."""
    central = {
        "key server": KEYS_OFFSET,
        "link registry": LINKS_OFFSET,
        "aggregator": AGGREGATOR_OFFSET,
    }
    places = {region: local_url(public_port(options, region)) for region in options.regions}
    places |= {name: local_url(options.base_port + offset) for name, offset in central.items()}
    places |= {
        "data": str(options.data),
        "logs": str(options.data / "logs"),
        "replicas": str(replicas_folder(options)) if options.litestream else "none",
    }
    width = max(map(len, places))
    return ["Milepost on this machine", ""] + [
        f"  {name:<{width}}  {place}" for name, place in places.items()
    ]


def next_steps(options: Options) -> list[str]:
    """Name three commands that show what it does."""
    secrets = options.data / "secrets"
    edge = local_url(options.base_port)

    def bearer(name: str) -> str:
        return f'-H "Authorization: Bearer $(cat {shlex.quote(str(secrets / name))})"'

    links = local_url(options.base_port + LINKS_OFFSET)
    aggregator = local_url(options.base_port + AGGREGATOR_OFFSET)
    body = '{"path": "/hello", "destination": "https://example.com/"}'
    return [
        "Try, in another terminal:",
        "",
        f"  curl -i {edge}/e/example.com/a.mp3",
        f"  curl {bearer('operator')} -d '{body}' {links}/v1/links",
        f"  curl {bearer('read')} {aggregator}/v1/hits",
        "",
        "Ctrl-C drains and stops everything.",
    ]
