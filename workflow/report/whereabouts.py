"""Where a task failed: read from the text of its traceback, or of the stacks it was killed in.

Only text arrives from a worker, whatever the exception was made of, so the text is parsed.  A message may look like a
traceback; it is no frame, because frames end at the line that names the exception.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from workflow.outcome import ErrorRecord

_OURS = str(Path(__file__).parents[1]) + "/"
_FRAME = re.compile(r'  File "(?P<file>[^\n]*)", line (?P<line>\d+)(?:,? in (?P<name>.*))?$')
_GROUP = re.compile(r"^ +[|+] ")
_TOLD_TO_END = "workflow.engine.attempt_notes.Terminated"
_THREAD = re.compile(r"(?:Current t|T)hread 0x")
_LINKS = {
    "The above exception was the direct cause of the following exception:": "caused by",
    "During handling of the above exception, another exception occurred:": "while handling",
}


class _Frame(NamedTuple):
    file: str
    line: str
    name: str | None

    @property
    def is_foreign(self) -> bool:
        """Whether it is not the engine's."""
        return not self.file.startswith((_OURS, "<frozen "))

    @property
    def is_of_user(self) -> bool:
        """Whether it is no library's either."""
        packages = "/site-packages/" in self.file or "/dist-packages/" in self.file
        return self.is_foreign and not packages and not self.file.startswith(_libraries())


@cache
def _libraries() -> tuple[str, ...]:
    import sysconfig  # milliseconds, which only a failure needs to pay

    return tuple({sysconfig.get_path(name) + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class _Raised(NamedTuple):
    """One exception of a chain."""

    frames: list[_Frame]
    """Most recent call last."""
    text: str
    """The line that names it."""
    link: str | None
    """What it is to the next one."""


def whereabouts(error: ErrorRecord, folder: str) -> list[str]:
    """Answer where it happened, and what it came from, a line each; paths below ``folder`` relative to it.

    Empty where no code but the engine's was at work, as for a command.
    """
    if error.stack:
        return _at(_place_in_stacks(error.stack), folder)
    chain = _chain(error.traceback or "")
    if not chain:
        return []
    lines = _at(_last(chain[-1].frames), folder)
    if len(chain) > 1:
        cause = chain[-2]
        lines.append(" ".join([f"{cause.link} {cause.text}", *_at(_last(cause.frames), folder)]))
    return lines


def place(error: ErrorRecord) -> tuple[str, int] | None:
    """Answer file and line of where it happened; None where no code but the engine's was at work."""
    if error.stack:
        frame = _place_in_stacks(error.stack)
    else:
        chain = _chain(error.traceback or "")
        frame = _last(chain[-1].frames) if chain else None
    return None if frame is None else (frame.file, int(frame.line))


def account(error: ErrorRecord) -> str:
    """Answer all that is known of an error, for a person: the report has it with the engine's frames.

    Traces of nothing but the engine are left out, and so is how a task that was killed at its limit was told to end:
    that happened where its stack shows it to be.
    """
    name = error.type.rpartition(".")[2] if error.type.startswith("workflow.") else error.type
    traceback = "" if error.stack and _is_told_to_end(error.traceback or "") else error.traceback or ""
    parts = [of_the_task(error.stack or ""), _without_engine(traceback)]
    kept = [part.strip("\n") for part in parts if any(frame.is_foreign for frame in _frames(part))]
    if error.stack or not kept:  # a traceback says it itself
        kept.insert(0, f"{name}: {error.message}" if error.message else name)
    return "\n".join(kept) + "\n"


def of_the_user(traceback: str) -> str:
    """A traceback without frames of the engine and of libraries; of an exception that knows no others, all of them.

    A frame that is left out takes the lines of source below it along.
    """
    lines = traceback.rstrip("\n").split("\n")
    kept: list[str] = []
    at = 0
    while at < len(lines):
        kept.append(lines[at])
        at += 1
        if kept[-1] != "Traceback (most recent call last):":
            continue  # in a message there may be what looks like a frame
        frames: list[tuple[_Frame, list[str]]] = []  # of one exception
        while at < len(lines) and lines[at].startswith("  "):
            match = _FRAME.match(lines[at])
            if match is not None:
                frames.append((_Frame(match["file"], match["line"], match["name"]), []))
            if frames:
                frames[-1][1].append(lines[at])
            at += 1
        users = [text for frame, text in frames if frame.is_of_user]
        for text in users or [text for frame, text in frames if frame.is_foreign]:
            kept += text
    return "\n".join(kept)


def _is_told_to_end(traceback: str) -> bool:
    """Whether what was raised is the engine's own SIGTERM, and nothing else on the way."""
    chain = _chain(traceback)
    return len(chain) == 1 and chain[0].text == _TOLD_TO_END


def _without_engine(traceback: str) -> str:
    """A traceback without the engine's frames, and Python's own of importing; frames take their lines of source along.

    A message may look like frames; it is kept as it is.
    """
    kept: list[str] = []
    in_frames, keeps = False, True
    for raw in traceback.split("\n"):
        line = _GROUP.sub("", raw)  # the frame that is drawn around a group
        if line.endswith("Traceback (most recent call last):"):
            in_frames, keeps = True, True
        elif in_frames and (match := _FRAME.match(line)):
            frame = _Frame(match["file"], match["line"], match["name"])
            keeps = frame.is_foreign and not frame.file.endswith("/importlib/__init__.py")
        elif in_frames and not line.startswith("  "):
            in_frames, keeps = False, True
        if keeps:
            kept.append(raw)
    return "\n".join(kept)


def of_the_task(stacks: str) -> str:
    """The stacks of a process without the engine's frames, and without threads that have no others."""
    kept: list[str] = []
    thread: list[str] = []
    foreign = True  # what stands before the first thread says what happened
    for line in [*stacks.rstrip("\n").split("\n"), "Thread 0x"]:
        if _THREAD.match(line):
            kept += thread if foreign else []
            thread, foreign = [line], False
            continue
        frames = _frames(line)
        if not frames:
            thread.append(line)
        elif frames[0].is_foreign and frames[0].file != "<string>":
            thread.append(line)
            foreign = True
    return "\n".join(line for line in kept if line)


def _at(frame: _Frame | None, folder: str) -> list[str]:
    if frame is None:
        return []
    file = frame.file.removeprefix(folder.rstrip("/") + "/")
    return [f"at {file}:{frame.line}" + (f" in {frame.name}" if frame.name else "")]


def _last(frames: list[_Frame]) -> _Frame | None:
    """The user's last frame; of a task that is a library's function, the library's."""
    users = [frame for frame in frames if frame.is_of_user]
    return (users or [frame for frame in frames if frame.is_foreign] or [None])[-1]  # type: ignore[list-item]


def _frames(text: str) -> list[_Frame]:
    found = (_FRAME.match(_GROUP.sub("", line)) for line in text.split("\n"))
    return [_Frame(match["file"], match["line"], match["name"]) for match in found if match]


def _place_in_stacks(text: str) -> _Frame | None:
    """The innermost frame of the user, in the current thread or, when that has none, in the first that has."""
    current: list[list[_Frame]] = []
    others: list[list[_Frame]] = []
    stack: list[_Frame] = []
    for line in text.split("\n"):
        if _THREAD.match(line):
            stack = []
            (current if line.startswith("Current") else others).append(stack)
        stack += _frames(line)
    stacks = current + others
    for frames in stacks:
        if frames and frames[-1].file == "<string>":
            frames.pop()  # the line with which the engine's process began
    for frames in stacks:
        for frame in frames:
            if frame.is_of_user:
                return frame
    return next((frame for frames in stacks[:1] for frame in frames if frame.is_foreign), None)


def _chain(text: str) -> list[_Raised]:
    """The exceptions of a traceback, the last raised last."""
    chain: list[_Raised] = []
    frames: list[_Frame] = []
    link: str | None = None
    in_frames = False
    for raw in text.split("\n"):
        line = _GROUP.sub("", raw)  # the frame that is drawn around a group
        if line.endswith("Traceback (most recent call last):") and (not chain or link):
            frames, link, in_frames = [], None, True
        elif in_frames and (match := _FRAME.match(line)):
            frames.append(_Frame(match["file"], match["line"], match["name"]))
        elif in_frames and line and not line.startswith("  "):
            chain.append(_Raised(frames, line.rstrip().removesuffix(":"), None))
            in_frames = False
        elif line in _LINKS and chain:
            link = _LINKS[line]
            chain[-1] = chain[-1]._replace(link=link)
    return chain
