"""A module whose import may take its time, and does not mind being told to end."""

import os
import time
from contextlib import suppress

from workflow import Model

if "SLOW" in os.environ:
    with suppress(BaseException):
        time.sleep(1000)


class Thing(Model):
    def runnable(self) -> None:
        pass

    def error_callback(self, error: BaseException) -> None:
        """Take it."""
