"""Launchers: commands that are given the run's command, and start it in other surroundings.

What needs privileges, or a tool that is not there, raises CannotBeMade: the scenario then says so, and does not pass.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from workflow.harness.scenario import CannotBeMade

Launcher = tuple[str, ...]

_LIMITED = """\
import os, resource, sys
name, value = sys.argv[1], int(sys.argv[2])
resource.setrlimit(getattr(resource, name), (value, value))
os.execvp(sys.argv[3], sys.argv[3:])
"""


def in_shell(line: str, *arguments: str) -> Launcher:
    """A line of the shell; the run's command is ``"$@"``, after as many ``shift`` as there are arguments."""
    return ("sh", "-c", line, "sh", *arguments)


def limited(resource: str, value: int) -> Launcher:
    """With a limit, such as ``RLIMIT_NOFILE``."""
    return (sys.executable, "-c", _LIMITED, resource, str(value))


def with_processes(more: int, folder: Path, draw: random.Random) -> Launcher:
    """With so many processes and threads, itself among them, and no more: then fork fails with EAGAIN.

    The limit counts everything that a user has, and does not bind root: root becomes a user who has nothing yet, keeps
    the right to read what is root's, and gives away the folder, with all that is in it by now.
    """
    if os.geteuid() != 0:
        return limited("RLIMIT_NPROC", _threads_of(os.getuid()) + more)
    if shutil.which("setpriv") is None:
        raise CannotBeMade("root is not bound by RLIMIT_NPROC, and there is no setpriv to become somebody else")
    user = draw.randrange(50_000, 60_000)
    rights = "+dac_override,+dac_read_search"
    identity = (f"--reuid={user}", f"--regid={user}", "--clear-groups")
    become = ("setpriv", *identity, f"--inh-caps={rights}", f"--ambient-caps={rights}")
    _try(*become, "true")
    for path in (folder, *folder.iterdir()):
        os.chown(path, user, user)
    return (*limited("RLIMIT_NPROC", more), *become)


def in_namespaces(*flags: str) -> Launcher:
    """In namespaces of its own, as ``unshare`` makes them."""
    if shutil.which("unshare") is None:
        raise CannotBeMade("there is no unshare here")
    own: Launcher = ("unshare", *flags) if os.geteuid() == 0 else ("unshare", "--map-root-user", *flags)
    _try(*own, "true")
    return own


def mounting(line: str, *arguments: str | Path) -> Launcher:
    """A line of the shell where it may mount what nobody else sees; as for ``in_shell``."""
    return (*in_namespaces("--mount"), *in_shell(line, *map(str, arguments)))


def _try(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise CannotBeMade(f"{' '.join(command)}: {said}")


def _threads_of(user: int) -> int:
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it has ended
        if int(fields["Uid"].split()[0]) == user:
            count += int(fields["Threads"])
    return count
