"""Ten tasks on a pool of five workers, without a pipeline file.

Three of the ten do not succeed: two raise, one is still at it when its second is over.
"""

from __future__ import annotations

import time

from workflow import InfoTask, Model, MultiProcess


class Demo(Model):
    """What each of the tasks does, and what happens after it."""

    def runnable(self, *args: dict[str, int]) -> str:
        """Run in a worker."""
        number = args[0]["test"]
        if number in (3, 6):
            raise ValueError(f"{number} is not a number that I like")
        if number == 8:
            time.sleep(3600)
        return f"task {number} was given {args}"

    def callback(self, result: str) -> None:
        """Run in the dispatcher, after success."""
        print(f"callback: {result}", flush=True)

    def error_callback(self, error: BaseException) -> None:
        """Run in the dispatcher, after any other ending."""
        print(f"error_callback: {type(error).__name__}: {error}", flush=True)


def main() -> None:
    """Push ten tasks and wait for all of them."""
    mp = MultiProcess(5)
    mp.start()
    for i in range(10):
        mp.push(InfoTask("example.Demo", 1, {"test": i}, {"error": i}))
    mp.stop()


if __name__ == "__main__":
    main()
