"""The one place that reads the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(minutes=5)  # by how much the clocks of those who record may differ


def now() -> datetime:
    """Return the present instant: UTC, whole seconds, a plain datetime even under freezegun."""
    return EPOCH + timedelta(seconds=int(time.time()))
