"""dask: its graph, our workers."""

import dask

from workflow import TaskCrashed, WorkflowExecutor


def part(number: int) -> int:
    return number * number


def crash() -> None:
    import ctypes

    ctypes.string_at(0)  # reads where nothing is


def main() -> None:
    total = dask.delayed(sum)([dask.delayed(part)(number) for number in range(100)])
    with WorkflowExecutor(2, timeout=60, memory=2 << 30) as executor:
        print("total", total.compute(scheduler=executor))
        try:
            dask.delayed(crash)().compute(scheduler=executor)
        except TaskCrashed as error:
            print("crashed by", error.signal)
        print("total", total.compute(scheduler=executor))


if __name__ == "__main__":
    main()
