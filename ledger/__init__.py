"""What happened and what was promised. This package never imports `projections`."""
