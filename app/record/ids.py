"""Ids that sort by the time of their making, and tokens that nobody can guess."""

import secrets
import time


def new_id(prefix: str) -> str:
    """``job_`` and 26 hex digits for ``new_id("job")``: microseconds since 1970, then 48 random bits."""
    return f"{prefix}_{time.time_ns() // 1000:014x}{secrets.token_hex(6)}"


def new_token() -> str:
    """128 random bits as 32 hex digits: the fencing token of a claim."""
    return secrets.token_hex(16)
