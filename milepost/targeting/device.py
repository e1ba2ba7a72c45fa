"""What a visit comes from: iOS, Android, a desktop, or none of them that can be told.

A few words in the user agent, and no list that would grow old: rules ask for no
more than where an app can be installed.

Rules of this file:
- Pure.
- In doubt it is none: the visit goes where everybody goes.
"""

import functools
import re

IOS, ANDROID, DESKTOP = "ios", "android", "desktop"
DEVICES = (IOS, ANDROID, DESKTOP)
AGENT_CHARS_MAX = 1_024  # as much as a record keeps
AGENTS_REMEMBERED = 512

# These name the others as well, to be given their pages.
_NEITHER = re.compile(r"windows (?:phone|mobile|ce)")
_IOS = re.compile(r"iphone|ipad|ipod|\bios\b")
_DESKTOP = re.compile(r"windows|macintosh|mac ?os|x11|\bcros\b")


def device_of(agent: str) -> str | None:
    """Return the device that *agent*, a user agent, names."""
    return _device_of(agent[:AGENT_CHARS_MAX])


@functools.lru_cache(maxsize=AGENTS_REMEMBERED)
def _device_of(agent: str) -> str | None:
    text = agent.lower()
    if _NEITHER.search(text):
        return None
    if "android" in text:
        return ANDROID
    if _IOS.search(text):
        return IOS
    return DESKTOP if _DESKTOP.search(text) else None
