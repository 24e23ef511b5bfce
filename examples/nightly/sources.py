"""The tasks that ask the network.

The network is a stand-in here, ``service.py``, which each attempt starts for itself and ends when it has its answer.
An attempt that is ended in the middle, at its limit or with the run, does not come to that; nothing has to be done
about it, for whatever a task has started is ended with it.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

SERVICE = Path(__file__).with_name("service.py")


class SourceError(Exception):
    """A service did not give what it was asked for."""


def fetch(source: str, attempt: int, days: int, hangs: str) -> int:
    """Write one table as it came to ``out/raw``; what is returned is how many bytes it has."""
    token = os.environ["SHOP_TOKEN"]
    with running_service(days, hangs) as port:
        print(f"asking for {source} with the token {token}, attempt {attempt}")  # the log has *** for the token
        # No limit is given here: the task has one, and it holds whatever a library does.
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", f"/{source}", headers={"Authorization": f"Bearer {token}", "X-Attempt": str(attempt)})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise SourceError(f"{source}: {answer.status} {answer.reason}: {body.decode().strip()}")
    file = Path("out", "raw", f"{source}.csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    return len(body)


@contextmanager
def running_service(days: int, hangs: str) -> Iterator[int]:
    """Start the stand-in, give its port, end it."""
    with subprocess.Popen([sys.executable, SERVICE, str(days), hangs], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()
