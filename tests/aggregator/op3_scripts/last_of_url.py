"""Print the newest 250 hits of one URL as JSON, the newest first.

    python last_of_url.py BASE_URL TOKEN URL

Written against what OP3 documents of its API, with the standard library alone: nothing here
knows who answers.
"""

import json
import sys
import urllib.parse
import urllib.request


def main(base: str, token: str, url: str) -> None:
    """Ask once: the token stands in the address, as OP3 allows, and the old path is used."""
    query = {"url": url, "format": "json", "limit": 250, "desc": "true", "token": token}
    address = f"{base}/api/1/redirect-logs?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        told = json.load(answer)
    assert told["count"] == len(told["rows"])
    json.dump(told["rows"], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
