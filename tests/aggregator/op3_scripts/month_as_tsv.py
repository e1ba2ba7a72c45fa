"""Print every hit of a month as TSV, page by page.

    python month_as_tsv.py BASE_URL TOKEN YYYY-MM YYYY-MM

The second month is the first that is not wanted any more.  Written against what OP3
documents of its API, with the standard library alone: nothing here knows who answers.
"""

import sys
import urllib.parse
import urllib.request

LIMIT = 1000


def page(base: str, token: str, query: dict[str, str]) -> list[dict[str, str]]:
    """Return the rows of one page, each as a mapping."""
    url = f"{base}/api/1/hits?{urllib.parse.urlencode(query)}"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    names = lines[0].split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]


def main(base: str, token: str, start: str, end: str) -> None:
    """Go through the month in the order of time."""
    where = {"start": start}
    while True:
        rows = page(base, token, {**where, "end": end, "limit": str(LIMIT)})
        for row in rows:
            sys.stdout.write(f"{row['time']}\t{row['uuid']}\t{row['url']}\n")
        if len(rows) < LIMIT:
            return
        where = {"startAfter": rows[-1]["time"]}


if __name__ == "__main__":
    main(*sys.argv[1:])
