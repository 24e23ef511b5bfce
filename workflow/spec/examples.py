"""An example of each key, as an editor offers it.  A test holds every one against the schema and the program."""

from __future__ import annotations

from typing import Any, Final

PIPELINE: Final[dict[str, list[Any]]] = {
    "format": [1],
    "name": ["nightly"],
    "doc": ["Fetch the prices of the day, and report on them."],
    "pool": ["cpus", 4],
    "timeout": ["2h"],
    "include": [["tasks/*.toml"]],
    "path": [["src"]],
    "preload": [["json", "sqlite3"]],
    "halt": ["soon"],
    "max_failures": [3, "10%"],
    "max_log": ["1MiB"],
    "max_result": ["100MB"],
    "max_tasks_per_child": [100],
    "seed": [42],
    "engine": ["local"],
}
TASK: Final[dict[str, list[Any]]] = {
    "module": ["package.module.Class"],
    "call": ["package.module:function"],
    "cmd": [["rsync", "-a", "out/", "backup:out/"]],
    "shell": ["sort < words.txt | uniq -c"],
    "args": [["photo.jpg", 3], ["${tasks.fetch.result}"]],
    "kwargs": [{"size": 3, "names": ["a", "b"]}],
    "timeout": ["90s", 90, "none"],
    "grace": ["5s", 0],
    "needs": [["fetch"], {"task": "fetch", "status": "any"}, [{"task": "fetch", "match": ["country"]}]],
    "matrix": [
        {"country": ["de", "fr"]},
        {"n": {"range": [0, 10]}, "os": ["linux", "macos"], "exclude": [{"n": 3, "os": "macos"}]},
        {"file": {"glob": "photos/*.jpg"}},
    ],
    "env": [{"LANG": "C", "LEVEL": 3, "PAGER": False}],
    "cwd": ["build"],
    "on": [{"failure": "alerts:mail"}],
    "deadline": ["10m"],
    "warn_after": ["1m"],
    "retries": [3, {"max": 3, "delay": "1s", "backoff": 2, "max_delay": "1m", "on": ["failed", "timed_out"]}],
    "if": ["env.CI == 'true' and matrix.os != 'macos'"],
    "uses": ["db", ["db", "web"], {"db": 2}],
    "priority": [10, -1],
    "memory": ["512MiB"],
    "seed": [42],
    "inputs": [["data/*.csv"]],
    "outputs": [["out/report.md"], "out/${task.id}.png"],
    "extends": [["heavy"]],
    "callback_timeout": ["30s"],
    "isolate": [True],
    "allow_failure": [True],
    "tags": [["slow", "nightly"]],
    "doc": ["Prices of the day, one file for each country."],
}
