"""Imported for preload: whoever is forked after that ends at once, or hangs."""

import os
import time


def after_fork() -> None:
    if os.environ.get("AT_FORK") == "hang":
        time.sleep(1000)
    os._exit(int(os.environ.get("AT_FORK", "9")))


os.register_at_fork(after_in_child=after_fork)
