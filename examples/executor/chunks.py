"""pandas and numpy: a table in chunks, of which only a few are in memory, and large arrays both ways."""

from collections.abc import Iterator

import numpy
import pandas

from workflow import WorkflowExecutor


def read_chunks() -> Iterator[pandas.DataFrame]:
    """In place of ``pandas.read_csv(..., chunksize=...)``."""
    for start in range(0, 1000, 100):
        yield pandas.DataFrame({"shop": ["a", "b"] * 50, "price": range(start, start + 100)})


def sums(chunk: pandas.DataFrame) -> pandas.Series:
    return chunk.groupby("shop")["price"].sum()


def smooth(signal: numpy.ndarray) -> numpy.ndarray:
    return (signal[:-1] + signal[1:]) / 2


def main() -> None:
    with WorkflowExecutor(2, timeout=60, memory=4 << 30) as executor:
        parts = executor.map(sums, read_chunks(), buffersize=4)
        print(pandas.concat(parts).groupby(level=0).sum().to_dict())
        signal = numpy.ones(100_000_000 // 8)
        print(executor.submit(smooth, signal).result().nbytes, "bytes back")


if __name__ == "__main__":
    main()
