"""Seconds and megabytes of the reports of a large run, and how long a browser takes with the page.

The run is made up from a seed: some names with matrices that need one another, one task in fifty went wrong, each with
a log.  The browser measures itself, by a script that is put into a copy of the page for it: how long until something is
seen, until the table is there, and how long a filter, a sort and a scroll take, layout included.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from workflow.outcome import Attempt, ErrorRecord, Outcome
from workflow.plan.plan import Json
from workflow.report.formats import FORMATS, report_pieces
from workflow.report.material import Graph, Material, material_of
from workflow.report.records import RunRecord, TaskRecord, Verdict
from workflow.report.writing import write_whole

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STARTED = 1_700_000_000.0
TRACEBACK = "".join(
    ["Traceback (most recent call last):\n"]
    + [f'  File "/srv/feeds/step_{n}.py", line {n}, in step_{n}\n    step_{n + 1}(value)\n' for n in range(12)]
    + ["ValueError: no rate for this day\n"]
)
MEASURE = """
<script>
const spent = (act) => { const began = performance.now(); act(); document.getElementById("scroller").offsetHeight;
  return performance.now() - began; };
const there = performance.now(), q = document.getElementById("q"), scroller = document.getElementById("scroller");
const type = (text) => { q.value = text; q.dispatchEvent(new Event("input")); };
const median = (act) => { const all = []; for (let n = 0; n < 9; n++) all.push(spent(() => act(n)));
  return all.sort((a, b) => a - b)[4]; };
const first = spent(() => type("f"));
const measured = { "table there": there, "first filter": first,
  "filter": median((n) => type(["fetch", "failed", "-fetch", "took>2s", "value"][n % 5])),
  "no filter": median(() => type("")),
  "sort": median(() => document.querySelector("th[data-sort=took] button").click()),
  "scroll": median((n) => { scroller.scrollTop = 5000 * n; scroller.dispatchEvent(new Event("scroll")); }),
  "timeline": spent(() => document.getElementById("tab-timeline").click()),
  "graph": spent(() => document.getElementById("tab-graph").click()) };
setTimeout(() => {
  for (const entry of performance.getEntriesByType("paint")) measured[entry.name] = entry.startTime;
  fetch("/measured", { method: "POST", body: JSON.stringify(measured) });
}, 500);
</script>
"""


def a_run(tasks: int, folder: Path, seed: int = 7) -> Material:
    """The material of a run of so many tasks."""
    draw = random.Random(seed)  # noqa: S311  a seed is wanted, not a secret
    names = ["fetch", "parse", "check_values", "merge", "report", "train", "evaluate", "publish"]
    graph: Graph = {
        name: {"needs": [{"task": need, "status": "success"} for need in names[max(0, at - 2) : at]],
               "allow_failure": name == "publish"}
        for at, name in enumerate(names)
    }  # fmt: skip
    (folder / "logs").mkdir()
    workers = [0.0] * 8
    records = {}
    for number in range(tasks):
        name = names[number * len(names) // tasks]
        record = _task(draw, f"{name}@{number}-de", name, number, workers)
        if record.attempts:
            record.log = f"logs/{record.id}.log"
            (folder / record.log).write_text(
                f"begin {number}\n" + "value 1 of \x1b[32mmany\x1b[0m\n" * draw.randint(1, 40)
            )
        records[number] = record
    end_s = max(workers)
    run = RunRecord(
        id="20231114-221320-000-abcdef", name="nightly", file="/srv/feeds/pipeline.toml", plan_hash="sha256:0",
        started_at=STARTED, engine="local", pool=8, host="build-1", pid=1, python="3.11.7", version="0.1.0",
        git="0123456789abcdef0123456789abcdef01234567", argv=("workflow", "run"), tasks=tasks, seed=seed,
        folder=str(folder),
    )  # fmt: skip
    verdict = Verdict(1, "failed", None, STARTED + end_s, end_s)
    return material_of(run, verdict, records, graph, folder)


def _task(draw: random.Random, task: str, name: str, number: int, workers: list[float]) -> TaskRecord:
    matrix: dict[str, Json] = {"n": number, "country": "de"}
    if number > 100 and draw.random() < 0.02:
        return TaskRecord(task, name, matrix, Outcome.SKIPPED, "it needs fetch@3-de, which failed")
    worker = workers.index(min(workers))
    bad = (Outcome.FAILED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.MEMORY_EXCEEDED)
    last = draw.choice(bad) if draw.random() < 0.02 or number == 3 else Outcome.SUCCEEDED
    outcomes = (Outcome.FAILED, last) if draw.random() < 0.01 else (last,)
    attempts = []
    for at, outcome in enumerate(outcomes, 1):
        took_s = draw.expovariate(1.0)
        error = ErrorRecord("ValueError", f"no rate for day {number % 31}", TRACEBACK)
        attempts.append(
            Attempt(
                at,
                outcome,
                STARTED + workers[worker],
                took_s,
                4000 + worker,
                cpu_s=took_s * 0.7,
                peak_rss_bytes=draw.randint(10, 900) << 20,
                error=None if outcome is Outcome.SUCCEEDED else error,
            )
        )
        workers[worker] += took_s + 0.001
    return TaskRecord(task, name, matrix, last, attempts=tuple(attempts))


def in_browser(page: Path, browser: str, folder: Path) -> dict[str, float]:
    """Milliseconds, as the browser measures them; it is served the page, and sends back what it has measured."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", MEASURE + "</body>")
    measured: dict[str, float] = {}
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                self.send_error(404)  # it asks for an icon
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            measured.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000", "--remote-debugging-port=0"]
        address = f"http://127.0.0.1:{server.server_port}/"
        command = [browser, *flags, f"--user-data-dir={folder / 'browser'}", address]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            done.wait(60)
            process.terminate()
        server.shutdown()
    return measured


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="leave the reports in this folder")
    options = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        material = a_run(options.tasks, folder)
        print(f"{options.tasks:,} tasks, made up in {time.perf_counter() - began:.2f} s")
        for suffix in FORMATS:
            path = folder / f"report{suffix}"
            began = time.perf_counter()
            write_whole(path, report_pieces(path, material))
            took_s = time.perf_counter() - began
            print(f"{suffix:12} {took_s:6.2f} s  {path.stat().st_size / 1e6:7.2f} MB")
            if options.keep:
                options.keep.mkdir(exist_ok=True)
                shutil.copy(path, options.keep)
        if browser is None:
            print(f"no browser: none of {', '.join(BROWSERS)} is there")
        else:
            for what, took_ms in in_browser(folder / "report.html", browser, folder).items():
                print(f"{what:24} {took_ms:8.1f} ms")


if __name__ == "__main__":
    main()
