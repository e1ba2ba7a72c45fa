"""Looking for bytes that must not be there: in files, and in the memory of a process."""

import base64
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

CHUNK_BYTES, OVERLAP_BYTES = 1 << 22, 128

Needles = Mapping[str, bytes]


def secret_needles(name: str, secret: bytes) -> dict[str, bytes]:
    """Return how *secret* may lie somewhere: as it is, and in hex."""
    return {f"{name} raw": secret, f"{name} hex": secret.hex().encode()}


def encoded_needles(name: str, secret: bytes) -> dict[str, bytes]:
    """Return these and more: hex in capitals, and base64 wherever in a text the secret begins."""
    found = secret_needles(name, secret) | {f"{name} HEX": secret.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        # The first and the last characters also hold bits of what stands around it.
        whole = text[(0, 2, 3)[shift] : (shift + len(secret)) * 8 // 6]
        found[f"{name} base64 +{shift}"] = whole
        found[f"{name} base64url +{shift}"] = whole.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def address_needles(address: str) -> dict[str, bytes]:
    """Return how an IPv4 address may lie somewhere: as text, packed, reversed, in hex."""
    packed = ipaddress.IPv4Address(address).packed
    turned = ".".join(reversed(address.split(".")))
    return {
        f"{address} text": address.encode(),
        f"{address} reversed text": turned.encode(),
        f"{address} packed": packed,
        f"{address} reversed": packed[::-1],
        f"{address} hex": packed.hex().encode(),
        f"{address} reversed hex": packed[::-1].hex().encode(),
    }


def found_in_files(folder: Path, needles: Needles) -> Counter[str]:
    """Count each of *needles* over every file under *folder*."""
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            _count(path.read_bytes(), needles, found)
    return found


def found_in_memory(pid: int, needles: Needles) -> Counter[str]:
    """Count each of *needles* over all that process *pid* can read."""
    found: Counter[str] = Counter()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in _readable(Path(f"/proc/{pid}/maps").read_text().splitlines()):
            for at in range(start, end, CHUNK_BYTES):
                size = min(CHUNK_BYTES + OVERLAP_BYTES, end - at)
                try:
                    memory.seek(at)
                    content = memory.read(size)
                except (OSError, OverflowError, ValueError):  # vvar and the like
                    continue
                _count(content, needles, found)
    return found


def _readable(lines: Iterable[str]) -> Iterable[tuple[int, int]]:
    for line in lines:
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
        if match and "[v" not in line:
            yield int(match[1], 16), int(match[2], 16)


def _count(content: bytes, needles: Needles, found: Counter[str]) -> None:
    for name, needle in needles.items():
        if needle in content:
            found[name] += content.count(needle)
