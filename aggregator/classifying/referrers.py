"""From which host a visitor came, as the Referer header says.

Rules of this file:
- Pure.
- Only the host is told: paths and queries of other people's pages are nobody's business here,
  and names and passwords in an address even less.
- Nonsense is None, never an error.
"""

import re
from ipaddress import IPv6Address
from typing import Final

HOST_CHARS_MAX: Final = 253  # what the DNS can hold

# As browsers read it: a backslash ends the host too, and what is before an at sign is none of it.
_WEB = re.compile(
    r"https?://(?:[^/?#\\@]*@)*(?P<host>[^/?#\\@:\[\]]+|\[[0-9a-f:.]+\])(?::[0-9]*)?(?:[/?#\\]|\Z)",
    re.IGNORECASE,
)
_APP = re.compile(r"android-app://(?P<host>[a-z0-9_]+(?:\.[a-z0-9_]+)+)(?:[/?#]|\Z)", re.IGNORECASE)
_NAME = re.compile(r"(?=.*[^\W_])[\w-]+(?:\.[\w-]+)*\Z")


def referrer_host(referer: str | None) -> str | None:
    """Return the host of *referer* in lower case without its port, or the package of an app."""
    text = (referer or "").strip()
    found = _WEB.match(text) or _APP.match(text)
    if found is None:
        return None
    host = found["host"].lower().removesuffix(".")
    good = _is_ipv6(host) if host.startswith("[") else _NAME.match(host)
    return host if good and len(host) <= HOST_CHARS_MAX else None


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True
