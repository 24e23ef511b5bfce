"""asyncio: blocking calls beside a loop, each with a limit that ends it."""

import asyncio
import time

from workflow import TaskTimeout, WorkflowExecutor


def look_up(seconds: float) -> str:
    time.sleep(seconds)  # in place of a driver that blocks
    return f"found after {seconds} s"


async def main() -> None:
    loop = asyncio.get_running_loop()
    with WorkflowExecutor(2, timeout=30) as executor:
        quick, slow = await asyncio.gather(
            loop.run_in_executor(executor, look_up, 0.1),
            loop.run_in_executor(executor.with_options(timeout=1), look_up, 60),
            return_exceptions=True,
        )
        print(quick)
        print("given up:", isinstance(slow, TaskTimeout))
        try:
            await asyncio.wait_for(loop.run_in_executor(executor, look_up, 60), 0.5)
        except asyncio.TimeoutError:
            print("not waited for, and ended: its process takes the next call")
        print(await loop.run_in_executor(executor, look_up, 0.1))


if __name__ == "__main__":
    asyncio.run(main())
