"""Every call of the aggregator, in one table: what it takes, and what it answers.

The router is built from it, and so is `/openapi.json` (milepost.openapi).  A call that is
to be added stands in the `api.py` of its package, and that package's calls, schemas and
handlers are listed here and in `aggregator.app`.  A call that does not say `narrows` is
closed to tokens that are restricted to hosts or tags.

Rules of this file:
- Pure, and nothing but data.
"""

from aggregator.abandoning.api import ABANDONING_CALLS
from aggregator.downloads.api import DOWNLOAD_CALLS
from aggregator.draining.api import DRAINING_CALLS
from aggregator.forgetting.api import FORGETTING_CALLS
from aggregator.live.api import LIVE_CALLS
from aggregator.query.api import QUERY_CALLS, QUERY_SCHEMAS
from aggregator.reconciling.api import RECONCILING_CALLS
from aggregator.searching.api import SEARCHING_CALLS, SEARCHING_SCHEMAS
from aggregator.stats.api import STATS_CALLS, STATS_SCHEMAS
from milepost import __version__
from milepost.access.api import TOKEN_CALLS, token_schemas
from milepost.health import HEALTH_CALLS
from milepost.openapi import Api
from milepost.tokens import DRAINED, ERASE_WRITE, HITS_READ, HITS_WRITE, TOKENS_READ, TOKENS_WRITE

# What a token may be for that is kept here.
SCOPES = (HITS_READ, HITS_WRITE, ERASE_WRITE, DRAINED, TOKENS_READ, TOKENS_WRITE)

API = Api(
    title="Milepost aggregator",
    version=__version__,
    calls=(
        *SEARCHING_CALLS,
        *LIVE_CALLS,
        *STATS_CALLS,
        *DOWNLOAD_CALLS,
        *QUERY_CALLS,
        *RECONCILING_CALLS,
        *ABANDONING_CALLS,
        *FORGETTING_CALLS,
        *DRAINING_CALLS,
        *TOKEN_CALLS,
        *HEALTH_CALLS,
    ),
    schemas={**SEARCHING_SCHEMAS, **STATS_SCHEMAS, **QUERY_SCHEMAS, **token_schemas(SCOPES)},
)
