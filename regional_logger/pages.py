"""The pages that the edge itself shows where there is no redirect.

Rules of this file:
- Pure.
- Nothing of a request is ever on a page; what is shown of a link is escaped.
- A page loads nothing, and runs nothing.
"""

from html import escape


def _page(title: str, text: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title></head>\n"
        f"<body><h1>{title}</h1>\n<p>{text}</p></body></html>\n"
    )


ORPHAN_PAGE = _page("Not found", "Nothing is linked at this address.")
GONE_PAGE = _page("Gone", "The link at this address has expired.")


def preview_page(*destinations: str) -> str:
    """Return the page that says where a link leads, or may lead."""
    told = "<br>\n".join(
        f'<a rel="noreferrer nofollow" href="{shown}">{shown}</a>'
        for shown in map(escape, destinations)
    )
    if len(destinations) > 1:
        told = f"To one of these, depending on who follows it:<br>\n{told}"
    return _page("Where this link leads", told)
