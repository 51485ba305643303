"""What happened and what was promised. This package never imports `projections`."""

import zoneinfo

zoneinfo.reset_tzpath(to=())  # zone data come from the tzdata package alone, so that its version can be named
