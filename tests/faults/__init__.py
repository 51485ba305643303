"""What is acknowledged is kept, once and whole, whatever fails: processes, system calls, power, disks, clocks, servers.

The short form is part of the ordinary tests. The long form takes many more draws of everything that is random:

    FAULTS=long python -m pytest tests/faults

A tool that is missing (strace, faketime) is a failure where CI is set, and elsewhere a skip that names it.
"""

from __future__ import annotations

import os
import shutil

import pytest

IS_LONG = os.environ.get("FAULTS") == "long"


def times(short: int, long: int) -> int:
    """How often something is drawn, in the form that was asked for."""
    return long if IS_LONG else short


def need(tool: str) -> str:
    """The path of a tool; without it a failure where CI is set, else a skip."""
    found = shutil.which(tool)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{tool} is not installed")
    return str(found)
