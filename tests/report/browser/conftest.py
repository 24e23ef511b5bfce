"""A browser without a window, that is asked what it made of a page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from workflow.report.html import html_pieces
from workflow.report.material import Material

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Seen(NamedTuple):
    """What came of a page."""

    dom: str
    """Its elements, after its script has run."""
    console: list[str]
    """What it said to developers: errors, and what the policy has stopped."""

    def rows(self) -> list[str]:
        """The tasks that are shown in the table."""
        return re.findall(r'<tr class="r o-[^>]*>.*?<td class="c-id mono"[^>]*>(.*?)</td>', self.dom)

    def text(self, identifier: str) -> str:
        """The text of the element with that id, which has no elements in it."""
        found = re.search(rf'id="{identifier}"[^>]*>([^<]*)<', self.dom)
        assert found is not None, identifier
        return found[1]


@pytest.fixture(scope="session")
def browser() -> str:
    """Answer the program; a machine without one skips, unless WORKFLOW_TEST_CHROMIUM=required says that it has one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("WORKFLOW_TEST_CHROMIUM") == "required":
            pytest.fail(f"no browser: none of {', '.join(NAMES)} is installed")
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    return found


@pytest.fixture
def visit(browser: str, tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Answer ``visit(material, "#q=failed", script="...")``: a script is put into a copy that has no policy."""
    home = Path(tempfile.mkdtemp())  # a short name: a Unix socket's path has room for 107 bytes

    def go(made: Material | str, state: str = "", *flags: str, script: str | None = None) -> Seen:
        text = made if isinstance(made, str) else "".join(html_pieces(made))
        if script is not None:
            text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
            text = text.replace("</body>", f"<script>{script}</script></body>")
        page = tmp_path / "page.html"
        page.write_text(text, encoding="utf-8", errors="backslashreplace")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad",
            "--no-first-run", f"--user-data-dir={home / 'profile'}", "--window-size=1400,1000",
            "--virtual-time-budget=2000", "--enable-logging=stderr", *flags, "--dump-dom", page.as_uri() + state,
        ]  # fmt: skip
        environment = {**os.environ, "TMPDIR": str(home), "HOME": str(home)}
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=50, check=False
        )
        said = done.stderr.decode("utf-8", "replace").splitlines()
        assert done.stdout, "\n".join(["the browser has shown nothing:", *said])
        return Seen(done.stdout.decode("utf-8", "replace"), [line for line in said if "CONSOLE" in line])

    yield go
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def picture(browser: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., bytes]]:
    """Answer ``picture(material, "#q=failed")``: the page as a PNG, which is kept with what the test prints.

    In the folder that WORKFLOW_TEST_PICTURES names, or else with the test's other temporary files.
    """
    home = Path(tempfile.mkdtemp())
    kept = Path(os.environ.get("WORKFLOW_TEST_PICTURES", tmp_path))

    def take(made: Material, state: str = "") -> bytes:
        page = tmp_path / "page.html"
        page.write_text("".join(html_pieces(made)), encoding="utf-8", errors="backslashreplace")
        kept.mkdir(parents=True, exist_ok=True)
        path = kept / f"{request.node.name}.png"
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad",
            "--no-first-run", f"--user-data-dir={home / 'profile'}", "--window-size=1400,1000", "--hide-scrollbars",
            "--virtual-time-budget=2000", f"--screenshot={path}", page.as_uri() + state,
        ]  # fmt: skip
        environment = {**os.environ, "TMPDIR": str(home), "HOME": str(home)}
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=50, check=False
        )
        assert path.exists(), done.stderr.decode("utf-8", "replace")
        print("the page as it looked:", path)
        return path.read_bytes()

    yield take
    shutil.rmtree(home, ignore_errors=True)
