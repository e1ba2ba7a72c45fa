"""Telemetry lines: one JSON object per thing that happened.

An event is `noun.past_verb`; everything else is a field with its unit in its
name.  Nothing that names a person is ever a field: no address, no token.
Child context is bound with `log.bind(...)`; the request id travels in a
context variable and appears on every line of its request.
"""

import logging
import sys

import structlog


def set_up_logging(service: str, level: str, **context: str) -> None:
    """Send every line, ours and the libraries', to standard error as JSON."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    # Libraries speak up only when something is wrong with them.
    for noisy in ("apscheduler", "asyncio", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service, **context)


def get_log(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the log of one module."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return log
