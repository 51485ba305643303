"""Zones of the tzdata package alone, never the machine's own, so that their version can be named."""

from __future__ import annotations

import zoneinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

zoneinfo.reset_tzpath(to=())

__all__ = ["ZoneInfo", "ZoneInfoNotFoundError"]
