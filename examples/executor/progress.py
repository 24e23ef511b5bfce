"""tqdm: a bar for results in order, and one for results as they come."""

from concurrent.futures import as_completed

from tqdm import tqdm

from workflow import WorkflowExecutor


def work(number: int) -> int:
    if number == 7:
        raise ValueError(f"{number} is not liked")
    return number * number


def main() -> None:
    with WorkflowExecutor(2, timeout=60) as executor:
        print(sum(tqdm(executor.map(work, range(7)), total=7)))
        futures = {executor.submit(work, number): number for number in range(20)}
        wrong = [futures[future] for future in tqdm(as_completed(futures), total=20) if future.exception()]
        print("wrong:", wrong)


if __name__ == "__main__":
    main()
