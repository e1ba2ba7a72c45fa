"""Whether a service does what its OpenAPI document says: tried by a program that reads it."""

import asyncio
import sys
from pathlib import Path

LINE_CHARS_SHOWN = 300

# What a schema cannot say (such as which hosts are our own) may refuse a value that is good by it:
# so `positive_data_acceptance` stays out.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
)

# A change that is wrong and of an older version as well may be told the latter (412): it has to
# be made anew either way.
CONFIG = """
[checks]
negative_data_rejection.expected-statuses = [
    400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429, "5xx"
]
"""


async def schemathesis(url: str, token: str, folder: Path, *options: str) -> tuple[int, str]:
    """Have calls made out of the document at *url*, good and bad ones; return the verdict."""
    await asyncio.to_thread((folder / "schemathesis.toml").write_text, CONFIG)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)),
        # Two calls are answered without an end.
        *("--exclude-path", "/sync/stream", "--exclude-path", "/v1/live"),
        *("--seed", "1", "--no-color", "--warnings", "off"),
        *("--generation-database", "none", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    # A line that holds a whole request may be long: its beginning says enough.
    lines = [line[:LINE_CHARS_SHOWN] for line in told.decode().splitlines()]
    return process.returncode or 0, "\n".join(lines)
