"""The HTML report in a browser: what it shows, what it lets a person do, and that nothing in it can act."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

Visit = Callable[..., Any]
pytestmark = pytest.mark.timeout(240)  # some start a browser five times


def test_the_browser_would_tell(visit: Visit) -> None:
    """If these tests could not see an error, or what the policy stops, they would show nothing."""
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    assert visit("<script>throw new Error('oh')</script>").console
    assert visit(policy + "<p onclick='x()'>a<script>x()</script>").console


def test_every_task_is_in_the_table_and_nothing_is_complained_of(
    visit: Visit, material: Callable[..., Any], record: Any
) -> None:
    """With its policy in force; counts, order of the plan."""
    made = material(
        record("b@2"), record("a", "failed"), record("c", "skipped", reason="it needs a, which failed"),
        record("d", "succeeded", "failed"), log={"a": "hello\n"}, needs={"c": ["a"]},
    )  # fmt: skip
    seen = visit(made)
    assert seen.console == []
    assert seen.rows() == ["b@2", "a", "c", "d"]
    assert seen.text("shown") == "4 tasks"


def test_the_address_says_what_is_shown(visit: Visit, material: Callable[..., Any], record: Any) -> None:
    """Filter, outcomes, order, view and task: a link leads to what somebody has found."""
    made = material(
        record("fetch@10", at=1_700_000_001.0), record("fetch@9", "failed", message="no such host"),
        record("merge", "failed"), record("shaky", "succeeded", "failed"),
        record("last", "skipped", reason="it needs merge, which failed"),
        log={"merge": "before the end\n"}, needs={"merge": ["fetch"]},
    )  # fmt: skip
    seen = visit(made, "#q=failed")
    assert (seen.rows(), seen.text("shown")) == (["fetch@9", "merge"], "2 of 5")
    rows_at = {
        "#q=fetch%20-host": "fetch@10",
        "#q=which%20-succeeded": "last",
        "#q=tries%3E1": "shaky",
        "#outcome=failed,flaky&sort=-id": "shaky merge fetch@9",
        "#sort=id": "fetch@9 fetch@10 last merge shaky",
        "#q=nowhere": "",
    }
    script = """
      const found = {}, ids = () => [...document.querySelectorAll("td.c-id.mono")].map((cell) => cell.textContent);
      (async () => {
        for (const state of STATES) {
          const changed = new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
          location.hash = state;
          await changed;
          found[state] = ids().join(" ");
        }
        const out = document.createElement("p");
        out.id = "out"; out.textContent = btoa(JSON.stringify(found)); document.body.append(out);
      })();
    """.replace("STATES", json.dumps(list(rows_at)))
    seen = visit(made, script=script)
    assert json.loads(base64.b64decode(seen.text("out"))) == rows_at
    assert seen.text("shown") == "0 of 5"
    one = visit(made, "#task=merge")
    panel = one.dom[one.dom.index('id="panel"') :]
    assert "ValueError: bad" in panel
    assert "before the end" in panel
    assert "1 MiB" in panel.replace(".0 MiB", " MiB")
    views = {view: visit(made, f"#view={view}") for view in ("timeline", "graph")}
    for view, seen in views.items():
        assert seen.console == []
        assert re.search(rf'id="view-{view}"[^>]*aria-labelledby="tab-{view}">', seen.dom)
        assert re.search(r'id="view-table"[^>]*hidden', seen.dom)
    assert views["graph"].dom.count('class="node"') == 4
    assert views["graph"].dom.count('class="edge success"') == 1


def test_nothing_that_a_task_has_named_or_printed_acts(
    visit: Visit, material: Callable[..., Any], record: Any, hostile: tuple[str, ...], callback: Any
) -> None:
    """It is text: in the table, in the panel, in the graph, and in what is there without a script."""
    texts = [*hostile, "<script>document.title='taken'</script>", "javascript:alert(1)", "\x1b[31m<b>red</b>\x1b[0m"]
    records = [
        record(f"t{text}", "failed", "crashed", message=text, callback=callback, matrix={text: text}) for text in texts
    ]
    log = {each.id: text for each, text in zip(records, texts, strict=True)}
    made = material(*records, log=log, name=texts[0], host=texts[0], argv=texts)
    harmless = visit(material(record("a"), name="x"))
    states = ["", "#view=graph", "#view=timeline", *(f"#task=t{quoted(text)}" for text in texts[:1] + texts[-1:])]
    pages = [visit(made, state) for state in states]
    for state, seen in zip(states, pages, strict=True):
        assert seen.console == []
        for tag in ("script", "img", "style", "a", "iframe", "link", "meta", "b>red"):
            assert seen.dom.count(f"<{tag}") == harmless.dom.count(f"<{tag}"), (tag, state)
        assert "<title>taken" not in seen.dom
        if not state:
            assert len(seen.rows()) == len(texts)
    assert '<span class="a-1">&lt;b&gt;red&lt;/b&gt;</span>' in pages[-1].dom


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def test_a_person_with_a_keyboard_gets_everywhere(visit: Visit, material: Callable[..., Any], record: Any) -> None:
    """Filter, table, panel and back."""
    made = material(*[record(f"t{n}") for n in range(100)], record("bad", "failed"))
    script = """
      const focused = () => document.activeElement;
      const key = (name) => focused().dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
      const seen = [];
      const note = (what) => seen.push(what + "=" + (focused().id || focused().tagName));
      key("/"); note("slash");
      focused().value = "t1"; focused().dispatchEvent(new Event("input"));
      seen.push(document.getElementById("shown").textContent);
      key("ArrowDown"); note("down");
      key("ArrowDown"); key("Enter"); note("enter");
      seen.push(location.hash);
      key("j"); seen.push(location.hash);
      key("Escape"); note("escape"); seen.push(location.hash);
      document.getElementById("tab-table").focus(); key("ArrowRight"); note("tab");
      const out = document.createElement("p");
      out.id = "out"; out.textContent = seen.join(" "); document.body.append(out);
    """
    seen = visit(made, script=script)
    assert seen.console == []
    assert seen.text("out") == (
        "slash=q 11 of 101 down=scroller enter=panel-title #q=t1&amp;task=t10 #q=t1&amp;task=t11 "
        "escape=scroller #q=t1 tab=tab-timeline"
    )


def test_ten_thousand_tasks_are_a_few_rows(
    visit: Visit, picture: Callable[..., bytes], material: Callable[..., Any], record: Any
) -> None:
    """Those in sight; the rest is room to scroll in.  Printed, there are as many as a person might read."""
    made = material(*[record(f"t@{n}", "failed" if n == 9_000 else "succeeded") for n in range(10_000)])
    scroll = "scroller.scrollTop = 150000; scroller.dispatchEvent(new Event('scroll'));"
    seen = visit(made, script=f"const scroller = document.getElementById('scroller'); {scroll}")
    assert seen.console == []
    rows = seen.rows()
    assert 20 < len(rows) < 80
    assert "t@5000" in rows
    assert visit(made, "#q=failed").rows() == ["t@9000"]
    printed = visit(made, script="dispatchEvent(new Event('beforeprint'))")
    assert len(printed.rows()) == 2000
    assert "and 8,000 more, which are not printed" in printed.dom
    shown = picture(made)
    assert shown.startswith(b"\x89PNG")
    assert len(shown) > 20_000, "an empty page is smaller"


PAINTED = """
  const canvas = document.getElementById("timeline"), tip = document.getElementById("tip"), found = {};
  const ratio = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  const root = getComputedStyle(document.documentElement), bad = root.getPropertyValue("--failed").trim();
  const rgb = [1, 3, 5].map((at) => parseInt(bad.slice(at, at + 2), 16));
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  const rows = Math.round((canvas.clientHeight - 30) / 20), reds = new Array(rows).fill(null).map(() => []);
  for (let row = 0; row < rows; row++) for (let x = 0; x < canvas.width; x++) {
    const at = 4 * (Math.round((24 + 20 * row + 10) * ratio) * canvas.width + x);
    if (rgb.every((part, n) => pixels[at + n] === part)) reds[row].push(x / ratio);
  }
  const box = canvas.getBoundingClientRect(), told = [];
  reds.forEach((found, row) => { for (const x of found.slice(0, 1)) {
    const at = { clientX: box.left + x + 1, clientY: box.top + 24 + 20 * row + 10, bubbles: true };
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
    told.push(tip.textContent);
  } });
  const out = document.createElement("p");
  const plain = JSON.stringify({ rows, widths: reds.map((row) => row.length), told }).replace("\u2014", "--");
  out.id = "out"; out.textContent = btoa(plain);
  document.body.append(out);
"""


def painted(seen: Any) -> Any:
    """Answer what the timeline shows: its rows, how wide what failed is in each, and what is told of it."""
    assert seen.console == []
    return json.loads(base64.b64decode(seen.text("out")))


def ran(record: Any, task: str, start_s: float, took_s: float, pid: int | None, outcome: str = "succeeded") -> Any:
    made = record(task, outcome, at=1_700_000_000.0 + start_s)
    made.attempts = (made.attempts[0]._replace(duration_s=took_s, pid=pid),)
    return made


def test_the_timeline_has_as_many_rows_as_were_busy_at_once(
    visit: Visit, material: Callable[..., Any], record: Any
) -> None:
    """However many processes there were; a process keeps its row, though it begins before it has ended."""
    alone = [ran(record, f"t{n}", n // 3, 0.9, 100 + n, "failed" if n == 20 else "succeeded") for n in range(30)]
    seen = painted(visit(material(*alone), "#view=timeline", script=PAINTED))
    assert seen["rows"] == 3
    assert [width > 50 for width in seen["widths"]] == [False, False, True]
    assert seen["told"] == ["t20: failed, 900 ms from 6.00 s, process 120 -- ValueError: bad"]
    shared = [ran(record, f"t{n}", n * 0.5, 0.5001, 7) for n in range(9)]
    assert painted(visit(material(*shared), "#view=timeline", script=PAINTED))["rows"] == 1
    one_by_one = [ran(record, f"t{n}", n * 0.5, 0.4, None) for n in range(9)]
    assert painted(visit(material(*one_by_one), "#view=timeline", script=PAINTED))["rows"] == 1


def test_a_short_failure_is_seen_between_thousands(
    visit: Visit, picture: Callable[..., bytes], material: Callable[..., Any], record: Any
) -> None:
    """And found by a pointer: a thousandth of a pixel of it is drawn over what is beside it."""
    tasks = [ran(record, f"t{n}", n, 0.9, 7 + n % 100) for n in range(10_000)]
    tasks[5000] = ran(record, "short", 5000, 0.001, 3, "failed")
    made = material(*tasks)
    seen = painted(visit(made, "#view=timeline", script=PAINTED))
    assert seen["rows"] == 1
    assert 2 <= seen["widths"][0] <= 4
    assert seen["told"] == ["short: failed, 1.0 ms from 1h23m, process 3 -- ValueError: bad"]
    assert picture(made, "#view=timeline").startswith(b"\x89PNG")


def test_without_a_plan_the_graph_says_so(visit: Visit, material: Callable[..., Any], record: Any) -> None:
    """A run of which nothing else was kept still has its table."""
    from dataclasses import replace

    seen = visit(replace(material(record("a")), graph=None), "#view=graph")
    assert seen.console == []
    assert "What needs what was not kept by this run." in seen.dom
