"""Compressing the feed so that many subscribers share the work.

An answer in gzip is a header and a row of blocks.  Each block made here ends at a
whole byte and looks back at none before it, so that the same block can stand in any
answer, and what has been written can be read at once.  There is no trailer: the
feed has no end.

Rules of this file:
- Pure.
"""

import zlib

LEVEL = 1  # most of what there is to gain, at a quarter of the time
# Deflate with an unknown moment and system.
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def packed(frames: bytes) -> bytes:
    """Return *frames* as a block."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(frames) + packer.flush(zlib.Z_FULL_FLUSH)


def unpacked(block: bytes) -> bytes:
    """Return what `packed` was given."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(block)


def takes_gzip(accepted: str) -> bool:
    """Tell whether who sent *accepted* as its Accept-Encoding asks for gzip by name."""
    for each in accepted.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").removeprefix("q=").strip("0.") != "" or not weight
    return False
