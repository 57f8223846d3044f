"""Scripts in processes of their own, for what would end, fork or interrupt the tests' process."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LOOPS = ("asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else []))
"""The event loops that the loop thread may have here."""

_PRELUDE = """
import logging, os, signal, sys, threading
if {loop!r} == "asyncio":
    sys.modules["uvloop"] = None  # as where it is not installed
logging.getLogger("asyncio").setLevel(logging.ERROR)  # the developer mode warns of slow steps
import gateway_sync
from gateway_sync import *
from gateway_sync._bridge import run
"""


def script(code: str, *arguments: str, loop: str = "asyncio") -> str:
    """What a script prints, once it has ended well and without a word on standard error.

    Args:
        code: Has the names of `gateway_sync`, and `run`.
        arguments: `sys.argv[1:]`.
        loop: The event loop of its loop thread.
    """
    # Every warning is an error, also of what is not closed; but from Python 3.12 on fork itself warns.
    options = ["-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    ended = subprocess.run(
        [sys.executable, *options, "-c", _PRELUDE.format(loop=loop) + code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return ended.stdout
