"""The call for many links, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
- Items are described and not held to it: each is judged by itself, and one that is wrong
  has its own result.
"""

from link_registry.bulk import items
from link_registry.once.keys import KEY
from link_registry.schemas import INTEGER, TEXT
from milepost.openapi import Answer, Call, Schema, object_of, ref
from milepost.tokens import LINKS_WRITE

CONFLICT = 409
STATUSES = (items.CREATED, items.UPDATED, items.UNCHANGED, items.DELETED, items.FAILED)
ITEM_MEANING = (
    f"an object with `action` ({', '.join(items.ACTIONS)}; {items.UPSERT} unless it says "
    "otherwise), `id` (or the host and path in `link`), `version` (that has to be there; none for "
    f"{items.CREATE}) and `link`, as in NewLink and ChangedLink"
)
ITEMS: Schema = {
    "type": "array",
    "items": {"description": ITEM_MEANING},
    "minItems": 1,
    # More are too large a body (413), and not a wrong one as a schema would have it.
    "description": f"at most {items.ITEMS_MAX:,}",
}
RESULT = object_of(
    {
        "status": {"type": "string", "enum": list(STATUSES)},
        "id": TEXT,
        "version": INTEGER,
        "path": {**TEXT, "description": "that was drawn"},
        "problem": {**INTEGER, "description": "the status that a single call would have"},
        "code": TEXT,
        "detail": TEXT,
        "field": TEXT,
        "accepted": TEXT,
        "got": TEXT,
    },
    required=("status",),
)
BULK = object_of(
    {
        "items": ITEMS,
        "mode": {"type": "string", "enum": list(items.MODES), "default": items.BEST_EFFORT},
        "dry_run": {"type": "boolean", "default": False},
    },
    required=("items",),
)
DONE = object_of(
    {"applied": {"type": "boolean"}, "results": {"type": "array", "items": ref("BulkResult")}}
)
BULK_SCHEMAS = {"Bulk": BULK, "BulkResult": RESULT}
BULK_CALL = Call(
    name="change_many_links",
    method="POST",
    path="/v1/links/bulk",
    meaning="Create, change and delete many links.",
    scope=LINKS_WRITE,
    narrows=True,
    parameters=(KEY,),
    body=ref("Bulk"),
    answer=Answer(meaning="a result for each item", schema=DONE),
    problems=(CONFLICT,),
)
