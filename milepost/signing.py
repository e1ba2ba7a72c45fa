"""Signed documents: a text, and the Ed25519 signature of whoever stands behind it.

    {"<name>": "<text>", "signature": "<hex>"}

Rules of this file:
- Pure.
- The name is not signed: a text says itself what it is, so that none passes for another.
"""

from typing import Any

import nacl.bindings as sodium
import nacl.exceptions
import orjson

from milepost.batch import hex_bytes
from milepost.errors import RejectedError

SIGNATURE_BYTES = 64


def sign(name: str, content: bytes, signing_key: bytes) -> bytes:
    """Return *content* as a signed document."""
    signature = sodium.crypto_sign(content, signing_key)[:SIGNATURE_BYTES]
    return orjson.dumps({name: content.decode(), "signature": signature.hex()})


def signed_content(name: str, document: Any, identity: bytes, *, what: str, signer: str) -> bytes:
    """Return the text in *document*, or refuse one that *identity* did not sign."""
    try:
        content: bytes = document[name].encode()
        signature = hex_bytes(document["signature"], SIGNATURE_BYTES, "signature")
        sodium.crypto_sign_open(signature + content, identity)
    except nacl.exceptions.BadSignatureError as error:
        msg = f"the {what} is not signed by {signer}, or it was changed"
        raise RejectedError(msg) from error
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"not a signed {what}"
        raise RejectedError(msg) from error
    return content
