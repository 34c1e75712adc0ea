"""Scripts that need a process of their own, whose results many tests read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# For scripts of JAX. They do not set it themselves, because the collection of doctests imports them.
FOUR_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}


@cache
def printed(script: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """The JSON object in the last line that a script of this folder prints.

    The workers of pytest-xdist share one run of it: the first one runs it, while the others that need it wait.
    """
    command = [sys.executable, str(HERE / script), *arguments]

    def run() -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    if "PYTEST_XDIST_TESTRUNUID" not in os.environ:
        return json.loads(run())
    key = [os.environ["PYTEST_XDIST_TESTRUNUID"], command, environment]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    with (Path(tempfile.gettempdir()) / f"focal-loss-{name}.json").open("a+") as shared:
        fcntl.flock(shared, fcntl.LOCK_EX)
        shared.seek(0)
        text = shared.read()
        if not text:
            text = run()
            shared.write(text)
    return json.loads(text)
