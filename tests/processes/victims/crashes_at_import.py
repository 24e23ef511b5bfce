"""Takes the process that imports it along."""

import os
import signal

os.kill(os.getpid(), signal.SIGKILL)
