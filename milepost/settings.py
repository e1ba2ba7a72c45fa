"""Every setting of every service, declared once.

A name that stands here is known to the fleet; a `MILEPOST_` name that does not
is a typing error, and every service refuses it.  docs/operations.md describes
the same list, and a test keeps the two equal.

Rules of this file:
- Pure.  Reading the environment is milepost.config's business.
- Units and limits stand in the name or beside the value.
"""

from dataclasses import dataclass

PREFIX = "MILEPOST_"
DAY_SECONDS = 24 * 60 * 60

EDGE, AGGREGATOR, KEYS, LINKS = "edge", "aggregator", "keys", "links"
ALL = (EDGE, AGGREGATOR, KEYS, LINKS)
PEOPLE = "command"  # read by the `milepost` command rather than by a service


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One `MILEPOST_` variable: who reads it, what it means, what it may hold."""

    meaning: str
    readers: tuple[str, ...]
    default: str | None = None  # None: it must be given
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    secret: bool = False  # also read from the file that `<NAME>_FILE` names


SETTINGS: dict[str, Setting] = {
    "DATA": Setting(
        meaning="folder that holds the service's databases", readers=ALL, default=".milepost/data"
    ),
    "REGION": Setting(
        meaning="region this machine is in; on Fly.io taken from FLY_REGION",
        readers=ALL,
        default="local",
    ),
    "MACHINE": Setting(
        meaning="name of this machine; on Fly.io taken from FLY_MACHINE_ID",
        readers=ALL,
        default="local",
    ),
    "LISTEN": Setting(
        meaning="public listeners, host:port, comma-separated",
        readers=(EDGE,),
        default="127.0.0.1:8080",
    ),
    "PRIVATE_LISTEN": Setting(
        meaning="private listeners (pull, APIs, health, metrics), host:port, comma-separated",
        readers=ALL,
        default="127.0.0.1:8081",
    ),
    "LOG_LEVEL": Setting(
        meaning="least severe level that is logged",
        readers=ALL,
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    ),
    "TOKENS_FILE": Setting(
        meaning="JSON file with name, scopes and hash of every token that may call",
        readers=ALL,
    ),
    "TOKEN": Setting(
        meaning="bearer token this service or command shows to others",
        readers=(EDGE, AGGREGATOR, KEYS, PEOPLE),
        secret=True,
    ),
    "KEYS_URL": Setting(
        meaning="private address of the key server", readers=(EDGE, AGGREGATOR, PEOPLE)
    ),
    "LINKS_URL": Setting(
        meaning="private address of the link registry; an aggregator without it counts no clicks "
        "against their limits",
        readers=(EDGE, AGGREGATOR, PEOPLE),
    ),
    "AGGREGATOR_URL": Setting(
        meaning="address of the aggregator; the key server asks it before it destroys record keys, "
        "and without it destroys none by itself",
        readers=(KEYS, PEOPLE),
        default="",
    ),
    "KEYS_IDENTITY": Setting(
        meaning="public identity of the key server, 64 hex digits; only lists it signed count",
        readers=(EDGE, AGGREGATOR),
    ),
    "QUERY_ROWS": Setting(
        meaning="hits that are looked at to answer one question, at most",
        readers=(AGGREGATOR,),
        default="1000000",
        low=1_000,
        high=1_000_000_000,
    ),
    "QUERY_SECONDS": Setting(
        meaning="how long answering one question takes at most",
        readers=(AGGREGATOR,),
        default="5",
        low=1,
        high=600,
    ),
    "RETENTION_DAYS": Setting(
        meaning="days for which hits are kept at least; their counts stay for good; 0: all stay",
        readers=(AGGREGATOR,),
        default="0",
        low=0,
        high=36500,
    ),
    "RETENTION_LINK_DAYS": Setting(
        meaning="the same for hits of links; 0: as all others",
        readers=(AGGREGATOR,),
        default="0",
        low=0,
        high=36500,
    ),
    "RETENTION_ORPHAN_DAYS": Setting(
        meaning="the same for hits that matched nothing; 0: as all others",
        readers=(AGGREGATOR,),
        default="0",
        low=0,
        high=36500,
    ),
    "LITESTREAM_SOCKET": Setting(
        meaning="control socket of the litestream beside this service; empty: no replication",
        readers=(EDGE, AGGREGATOR, LINKS),
        default="",
    ),
    "REPLICA_URL": Setting(
        meaning="where litestream puts this machine's replicas (file:// or s3://)",
        readers=(EDGE, AGGREGATOR, LINKS),
        default="",
    ),
    "LITESTREAM": Setting(
        meaning="the litestream program, with which the aggregator restores replicas of lost "
        "machines; empty: the one beside its Python, else on PATH",
        readers=(AGGREGATOR,),
        default="",
    ),
    "ACCEPT": Setting(
        meaning="durable: a redirect leaves after its record is on disk; fast: at once",
        readers=(EDGE,),
        default="durable",
        choices=("durable", "fast"),
    ),
    "ACCEPT_BUDGET_MS": Setting(
        meaning="longest a visitor waits for the log, in milliseconds",
        readers=(EDGE,),
        default="50",
        low=0,
        high=60_000,
    ),
    "HOSTS": Setting(
        meaning="host names of this service, comma-separated: prefixes that lead back to one are "
        "unwrapped or refused; with a port, on that port alone",
        readers=(EDGE,),
        default="",
    ),
    "ALLOWED_TARGETS": Setting(
        meaning="hosts that prefixes may lead to, host or *.suffix, comma-separated; empty: any",
        readers=(EDGE,),
        default="",
    ),
    "BAN_FILE": Setting(
        meaning="text file with hosts that prefixes never lead to, one host or *.suffix a line; "
        "read again when it changes",
        readers=(EDGE,),
        default="",
    ),
    "ROOT_URL": Setting(
        meaning="where / leads; empty: it says what this is",
        readers=(EDGE,),
        default="",
    ),
    "CLIENT_IP": Setting(
        meaning="who the visitor is: peer; fly (what Fly.io's proxy says); or forwarded:N "
        "(the Nth from the right in X-Forwarded-For, behind N proxies of your own)",
        readers=(EDGE,),
        default="peer",
    ),
    "GEO_FILE": Setting(
        meaning="files in MMDB format, at most two, comma-separated, that tell where addresses "
        "are (country, subdivision, network); empty: nothing is looked up",
        readers=(EDGE,),
        default="",
    ),
    "ADDRESSES": Setting(
        meaning="whose addresses are sealed beside the records: those without a hash, all, none",
        readers=(EDGE,),
        default="missing",
        choices=("missing", "all", "off"),
    ),
    "QUEUE_RECORDS_MAX": Setting(
        meaning="records that may wait in memory for the log; more are shed",
        readers=(EDGE,),
        default="65536",
        low=1,
        high=1_000_000,
    ),
    "QUEUE_MB": Setting(
        meaning="memory that records waiting for the log may take, in MB; more are shed",
        readers=(EDGE,),
        default="64",
        low=1,
        high=65_536,
    ),
    "BATCH_RECORDS_MAX": Setting(
        meaning="records in one group commit",
        readers=(EDGE,),
        default="500",
        low=1,
        high=1_000,
    ),
    "STREAM_MB": Setting(
        meaning="size at which a stream is closed and the next begins, WAL included, in MB",
        readers=(EDGE,),
        default="256",
        low=1,
        high=4_096,
    ),
    "STREAM_HOURS": Setting(
        meaning="age at which a stream is closed and the next begins",
        readers=(EDGE,),
        default="24",
        low=1,
        high=720,
    ),
    "LOG_KEEP_HOURS": Setting(
        meaning="how long a closed stream stays after it was acknowledged to its end",
        readers=(EDGE,),
        default="48",
        low=0,
        high=8_760,
    ),
    "DISK_HIGH_PERCENT": Setting(
        meaning="how full the disk under the log may get before acknowledged streams go early",
        readers=(EDGE,),
        default="80",
        low=10,
        high=99,
    ),
    "WORKERS": Setting(
        meaning="processes that serve visitors side by side, each with a queue of its own",
        readers=(EDGE,),
        default="1",
        low=1,
        high=64,
    ),
    "LINKS_MEMORY_MB": Setting(
        meaning="memory that links may take, in MB; the others are read from the local replica "
        "when they are visited",
        readers=(EDGE,),
        default="64",
        low=1,
        high=65_536,
    ),
    "LINKS_HISTORY_DAYS": Setting(
        meaning="days for which the registry keeps who changed which link; what edges may resume "
        "from is kept longer",
        readers=(LINKS,),
        default="400",
        low=1,
        high=36_500,
    ),
    "SOURCES": Setting(
        meaning="private addresses of the edges to pull from, comma-separated; may be empty with "
        "MILEPOST_SOURCES_APP",
        readers=(AGGREGATOR,),
        default="",
    ),
    "SOURCES_APP": Setting(
        meaning="name of the Fly.io app whose machines are found in the private DNS and pulled "
        "from as well; empty: only MILEPOST_SOURCES",
        readers=(AGGREGATOR,),
        default="",
    ),
    "SOURCES_GROUP": Setting(
        meaning="process group of that app whose machines are the edges",
        readers=(AGGREGATOR,),
        default="edge",
    ),
    "SOURCES_PORT": Setting(
        meaning="port on which those machines hand over",
        readers=(AGGREGATOR,),
        default="8081",
        low=1,
        high=65_535,
    ),
    "DNS": Setting(
        meaning="where to ask for names under .internal, address:port of a DNS; empty: where this "
        "machine is configured to",
        readers=(AGGREGATOR,),
        default="",
    ),
    "EPOCH": Setting(
        meaning="length of an epoch: day, week, month, or seconds such as 90s",
        readers=(KEYS,),
        default="day",
    ),
    "SALT_GRACE": Setting(
        meaning="how long after its epoch a salt stays for stragglers, such as 90s, 30m, 48h or 2d",
        readers=(KEYS,),
        default="48h",
    ),
    "EPOCH_KEEP": Setting(
        meaning="how long after its epoch a record key stays, such as 90s, 30m, 48h or 30d",
        readers=(KEYS,),
        default="30d",
    ),
    "MASTER_KEY": Setting(
        meaning="32 bytes in hex under which the key server's secrets are wrapped",
        readers=(KEYS,),
        secret=True,
    ),
    "KEYS_BACKUP": Setting(
        meaning="folder for encrypted copies of the keys, one a day and after each rotation by "
        "hand; empty: none are made by themselves",
        readers=(KEYS,),
        default="",
    ),
    "KEYS_BACKUP_DAYS": Setting(
        meaning="days after which a backup of the keys has expired",
        readers=(KEYS,),
        default="2",
        low=1,
        high=366,
    ),
    "LINK_SCHEMES": Setting(
        meaning="schemes of apps that links may lead to besides http and https, comma-separated, "
        "such as myapp,tel",
        readers=(LINKS,),
        default="",
    ),
    "OWN_HOSTS": Setting(
        meaning="hosts, host:port or *.suffix, comma-separated, that lead to this service: no link "
        "may lead there; those of links are known anyway",
        readers=(LINKS,),
        default="",
    ),
    "CORS_ORIGINS": Setting(
        meaning="origins whose pages may call from a browser, comma-separated, such as "
        "https://app.example; empty: none",
        readers=(AGGREGATOR, LINKS),
        default="",
    ),
    "CLEANUP_URL": Setting(
        meaning="address of the backend that cleans up after grants, asked for /delete/{id} below "
        "it; empty: grants cannot have cleanup ids",
        readers=(LINKS,),
        default="",
    ),
    "CLEANUP_TOKEN": Setting(
        meaning="bearer token that is shown to that backend",
        readers=(LINKS,),
        secret=True,
    ),
    "CLEANUP_ALLOW_PRIVATE": Setting(
        meaning="whether that backend may be at a private, loopback or otherwise special address",
        readers=(LINKS,),
        default="no",
        choices=("no", "yes", "0", "1", "false", "true"),
    ),
    "FLEET": Setting(
        meaning="the fleet.json of a running `milepost dev`",
        readers=(PEOPLE,),
        default=".milepost/fleet.json",
    ),
}


def known_names() -> frozenset[str]:
    """Return every name, with prefix, that may stand in the environment."""
    names = set(SETTINGS)
    names |= {f"{name}_FILE" for name, setting in SETTINGS.items() if setting.secret}
    return frozenset(PREFIX + name for name in names)
