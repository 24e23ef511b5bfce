"use strict";
// Everything that tasks have named or printed reaches the page as text nodes, by way of `clean`; nothing is ever parsed.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  // ---- The tasks, as objects that are cheap to filter and sort

  const FLAKY = 1, ALLOWED = 2;
  const SEVERITY = ["crashed", "memory_exceeded", "timed_out", "failed", "cancelled", "skipped", "succeeded", "cached"];
  const severity = data.outcomes.map((outcome) => SEVERITY.indexOf(outcome));
  const tasks = data.tasks.map((row, place) => {
    const attempts = row[6], last = attempts[attempts.length - 1];
    const peaks = attempts.map((attempt) => attempt[7]).filter((bytes) => bytes !== null);
    const cpu = attempts.map((attempt) => attempt[8]).filter((s) => s !== null);
    return {
      place, id: row[0], name: data.names[row[1]], outcome: data.outcomes[row[2]], severity: severity[row[2]],
      flaky: (row[3] & FLAKY) > 0, allowed: (row[3] & ALLOWED) > 0, took: row[4], said: row[5] || "", attempts,
      callback: row[7], log: row[8], carried: row[9], matrix: row[10],
      start: attempts.length && !row[9] ? attempts[0][1] : null, tries: attempts.length,
      cpu: cpu.length ? cpu.reduce((a, b) => a + b) : null, mem: peaks.length ? Math.max(...peaks) : null,
      type: last && last[9] !== null ? data.errors[last[9]][0] : "", hay: null,
    };
  });
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const longest = tasks.reduce((most, task) => Math.max(most, task.took || 0), 0) || 1;

  // ---- Text

  // Control characters but newline and tab, marks that change the direction of text, and halves of characters.
  const ODD = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const named = (c) => { const n = c.charCodeAt(0); return n < 256 ? "\\x" + n.toString(16).padStart(2, "0") : "\\u" + n.toString(16).padStart(4, "0"); };
  const clean = (text) => text.replace(/\r\n/g, "\n").replace(ODD, named);
  const line = (text) => clean(text).replace(/\s+/g, " ");
  const words = (outcome) => outcome.replace("_", " ");

  function seconds(s) {
    if (s === null) return "";
    if (s < 0.9995) return (s * 1000).toFixed(s < 0.01 ? 1 : 0) + " ms";
    if (s < 9.995) return s.toFixed(2) + " s";
    if (s < 59.95) return s.toFixed(1) + " s";
    const whole = Math.round(s);
    if (whole < 3600) return Math.floor(whole / 60) + "m" + String(whole % 60).padStart(2, "0") + "s";
    return Math.floor(whole / 3600) + "h" + String(Math.floor(whole % 3600 / 60)).padStart(2, "0") + "m";
  }
  function bytes(n) {
    if (n === null) return "";
    if (n < 1024 * 1024) return Math.round(n / 1024) + " KiB";
    return n < 1024 ** 3 ? (n / 1024 ** 2).toFixed(n < 10 * 1024 ** 2 ? 1 : 0) + " MiB" : (n / 1024 ** 3).toFixed(2) + " GiB";
  }

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "class") element.className = value;
      else if (key === "onclick") element.addEventListener("click", value);
      else if (value !== null && value !== false) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  // Output, with the colours that it asks for.
  function output(text) {
    const pre = make("pre", { tabindex: "0" });
    let classes = [];
    for (const [at, part] of text.split(/\x1b\[([0-9;:]*)m/).entries()) {
      if (at % 2) {
        for (const code of part.split(/[;:]/).map(Number)) {
          if (code === 0) classes = [];
          else if (code === 1) classes.push("a-bold");
          else if (code === 2) classes.push("a-dim");
          else if (code === 22) classes = classes.filter((name) => name !== "a-bold" && name !== "a-dim");
          else if (code === 39) classes = classes.filter((name) => !/^a-\d$/.test(name));
          else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) classes = classes.filter((name) => !/^a-\d$/.test(name)).concat("a-" + code % 10);
        }
      } else if (part) {
        const shown = clean(part.replace(/\x1b\[[0-9;?]*[A-Za-ln-z]/g, ""));
        pre.append(classes.length ? make("span", { class: classes.join(" ") }, shown) : shown);
      }
    }
    return pre;
  }

  // ---- What is shown, which the address says after the #

  const state = { q: "", outcomes: new Set(), sort: "", view: "table", task: "" };

  function readHash() {
    const given = new URLSearchParams(location.hash.slice(1));
    state.q = given.get("q") || "";
    state.outcomes = new Set((given.get("outcome") || "").split(",").filter(Boolean));
    state.sort = given.get("sort") || "";
    state.view = ["table", "timeline", "graph"].includes(given.get("view")) ? given.get("view") : "table";
    state.task = given.get("task") || "";
  }
  function writeHash() {
    const said = new URLSearchParams();
    if (state.q) said.set("q", state.q);
    if (state.outcomes.size) said.set("outcome", [...state.outcomes].join(","));
    if (state.sort) said.set("sort", state.sort);
    if (state.view !== "table") said.set("view", state.view);
    if (state.task) said.set("task", state.task);
    if (location.hash.slice(1) === String(said)) return;
    try { history.replaceState(null, "", "#" + said); } catch { /* in a frame that may not: then there is no link to it */ }
  }

  // ---- Filter: words that have to be there, -words that must not, and comparisons

  const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600, k: 1024, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3, g: 1024 ** 3, mb: 1e6, gb: 1e9, "": 1 };
  function tests(query) {
    return query.toLowerCase().split(/\s+/).filter(Boolean).map((term) => {
      const compared = /^(took|cpu|mem|attempts|tries)([<>])([\d.]+)([a-z]*)$/.exec(term);
      if (compared && compared[4] in UNITS) {
        const key = compared[1] === "attempts" ? "tries" : compared[1];
        const unit = key === "mem" && compared[4] === "m" ? 1024 ** 2 : UNITS[compared[4]];
        const bound = Number(compared[3]) * unit;
        return compared[2] === ">" ? (task) => task[key] !== null && task[key] > bound : (task) => task[key] !== null && task[key] < bound;
      }
      const not = term.startsWith("-") && term.length > 1, word = not ? term.slice(1) : term;
      // The word for an outcome means that one, and not each task whose reason tells of another that failed.
      const test = data.outcomes.includes(word) ? (task) => task.outcome === word : (task) => task.hay.includes(word);
      return not ? (task) => !test(task) : test;
    });
  }
  function hay(task) {
    return [task.id, words(task.outcome), task.outcome, task.flaky ? "flaky" : "", task.allowed ? "allowed" : "", task.type, task.said].join("\n").toLowerCase();
  }

  const KEYS = {
    outcome: (task) => task.severity, id: (task) => task.id, took: (task) => task.took, start: (task) => task.start,
    attempts: (task) => task.tries, cpu: (task) => task.cpu, mem: (task) => task.mem, said: (task) => task.said,
  };
  const natural = new Intl.Collator("en", { numeric: true });

  let shown = tasks;
  function choose() {
    const all = tests(state.q);
    if (all.length && tasks.length && tasks[0].hay === null) for (const task of tasks) task.hay = hay(task);
    const wanted = state.outcomes;
    shown = tasks.filter((task) => (!wanted.size || wanted.has(task.outcome) || (task.flaky && wanted.has("flaky"))) && all.every((test) => test(task)));
    const down = state.sort.startsWith("-"), key = KEYS[state.sort.replace("-", "")];
    if (key) {
      const text = shown.length > 0 && typeof key(shown[0]) === "string";
      const keyed = shown.map((task) => [key(task), task]);
      keyed.sort(([a, x], [b, y]) => {
        if (a === b) return x.place - y.place;
        if (a === null || a === "") return 1; // what is not known is last, up or down
        if (b === null || b === "") return -1;
        const order = text ? natural.compare(a, b) : a - b;
        return (down ? -order : order) || x.place - y.place;
      });
      shown = keyed.map((pair) => pair[1]);
    }
  }

  // ---- The table: only the rows in sight are there

  const ROW = 30, SPARE = 8, TALLEST = 8e6; // as --row in the style; browsers bound how tall a thing may be
  const scroller = $("scroller"), body = $("rows");
  let active = -1, drawn = "", whole = false;

  function cells(task, index) {
    const took = make("td", { class: "c-took" }, seconds(task.took));
    took.style.backgroundSize = Math.round(100 * (task.took || 0) / longest) + "% 3px";
    const sign = make("span", { class: "sign", "aria-hidden": "true" }, data.signs[task.outcome]);
    const word = make("span", { class: "word" }, " " + words(task.outcome) + (task.flaky ? ", flaky" : "") + (task.allowed ? ", allowed" : ""));
    const row = make("tr", { class: "r o-" + task.outcome + (index === active ? " active" : ""), id: "r" + task.place, "aria-rowindex": index + 2, "data-index": index },
      make("td", { class: "c-outcome" }, sign, word),
      make("td", { class: "c-id mono", title: line(task.id) }, line(task.id)), took,
      make("td", { class: "c-start" }, task.start === null ? "" : "+" + seconds(task.start)),
      make("td", { class: "c-attempts" }, task.tries ? String(task.tries) : ""),
      make("td", { class: "c-cpu" }, seconds(task.cpu)), make("td", { class: "c-mem" }, bytes(task.mem)),
      make("td", { class: "c-said", title: line(task.said).slice(0, 1000) }, line(task.said).slice(0, 300)));
    return row;
  }
  function space(height) {
    const cell = make("td", {}); // of one column: it must not make columns that are not there on a narrow screen
    cell.style.height = height + "px";
    return make("tr", { class: "space", "aria-hidden": "true" }, cell);
  }
  function draw(force) {
    const full = shown.length * ROW, tall = Math.min(full, TALLEST), scale = full ? tall / full : 1;
    const sight = Math.ceil(scroller.clientHeight / ROW);
    let first = Math.floor(scroller.scrollTop / scale / ROW) - SPARE;
    first = Math.max(0, Math.min(first, shown.length - sight - 2 * SPARE));
    let last = Math.min(shown.length, first + sight + 2 * SPARE);
    if (whole) { first = 0; last = Math.min(shown.length, 2000); }
    const now = first + ":" + last + ":" + active;
    if (!force && now === drawn) return;
    drawn = now;
    const rows = [];
    for (let index = first; index < last; index++) rows.push(cells(shown[index], index));
    const above = scale === 1 ? first * ROW : Math.min(first * ROW * scale, tall - rows.length * ROW);
    const below = Math.max(0, tall - above - rows.length * ROW);
    if (whole && last < shown.length) rows.push(make("tr", {}, make("td", {}), make("td", { class: "c-id" }, "and " + (shown.length - last).toLocaleString("en") + " more, which are not printed")));
    if (!shown.length) rows.push(make("tr", { class: "none" }, make("td", {}), make("td", { class: "c-id dim" }, "No task is like that.")));
    body.replaceChildren(...(above ? [space(above)] : []), ...rows, ...(below ? [space(below)] : []));
    if (active >= first && active < last) scroller.setAttribute("aria-activedescendant", "r" + shown[active].place);
    else scroller.removeAttribute("aria-activedescendant");
  }
  function move(to) {
    if (!shown.length) return;
    active = Math.max(0, Math.min(shown.length - 1, to));
    const full = shown.length * ROW, scale = Math.min(full, TALLEST) / full, top = active * ROW * scale, head = 34;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + ROW + head > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + ROW + head - scroller.clientHeight;
    draw(true);
  }

  // ---- Everything that follows from the state

  function show(keepScroll) {
    choose();
    const index = state.task ? shown.findIndex((task) => task.id === state.task) : -1;
    active = index;
    if ($("q").value !== state.q) $("q").value = state.q;
    for (const button of $("counts").querySelectorAll("button")) button.setAttribute("aria-pressed", String(state.outcomes.has(button.dataset.outcome)));
    for (const head of document.querySelectorAll("th[data-sort]")) {
      const sorted = state.sort.replace("-", "") === head.dataset.sort;
      if (sorted) head.setAttribute("aria-sort", state.sort.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    for (const name of ["table", "timeline", "graph"]) {
      $("view-" + name).hidden = state.view !== name;
      $("tab-" + name).setAttribute("aria-selected", String(state.view === name));
      $("tab-" + name).tabIndex = state.view === name ? 0 : -1;
    }
    const total = tasks.length.toLocaleString("en");
    $("shown").textContent = shown.length === tasks.length ? total + (tasks.length === 1 ? " task" : " tasks") : shown.length.toLocaleString("en") + " of " + total;
    $("table").setAttribute("aria-rowcount", shown.length + 1);
    if (!keepScroll) scroller.scrollTop = 0;
    scroller.style.height = "min(68vh, " + (Math.max(3, shown.length) * ROW + 52) + "px)";
    draw(true);
    if (index >= 0) move(index);
    if (state.view === "timeline") timeline.show();
    if (state.view === "graph") graph();
    panel();
    writeHash();
  }

  // ---- One task

  let returnTo = null;
  function open(task) {
    if (!task) return;
    if (!state.task) returnTo = document.activeElement;
    state.task = task.id;
    show(true);
    const title = $("panel-title");
    if (title) title.focus({ preventScroll: true });
  }
  function close() {
    if (!state.task) return;
    state.task = "";
    show(true);
    if (returnTo && returnTo.isConnected) returnTo.focus({ preventScroll: true });
    else scroller.focus({ preventScroll: true });
  }
  function step(by) {
    const index = shown.findIndex((task) => task.id === state.task);
    open(shown[Math.max(0, Math.min(shown.length - 1, index + by))]);
  }
  function facts(pairs) {
    const list = make("dl", {});
    for (const [name, value] of pairs) if (value !== null && value !== "" && value !== undefined) list.append(make("dt", {}, name), make("dd", {}, String(value)));
    return list;
  }
  function errorOf(place) {
    if (place === null) return [];
    const [type, message, account] = data.errors[place];
    const said = make("p", { class: "mono said" }, clean(message ? type + ": " + message : type));
    return account.includes("\n  File ") ? [said, output(account.trimEnd())] : [said];
  }
  function panel() {
    const into = $("panel"), task = byId.get(state.task);
    into.hidden = !task;
    if (!task) { into.replaceChildren(); return; }
    const number = tasks.indexOf(task), tail = data.tails[number];
    const parts = [
      make("header", {},
        make("h2", { id: "panel-title", tabindex: "-1", class: "mono o-" + task.outcome }, make("span", { class: "sign", "aria-hidden": "true" }, data.signs[task.outcome]), " " + line(task.id)),
        make("button", { type: "button", "aria-label": "Previous task", title: "Previous (k)", onclick: () => step(-1) }, "↑"),
        make("button", { type: "button", "aria-label": "Next task", title: "Next (j)", onclick: () => step(1) }, "↓"),
        make("button", { type: "button", "aria-label": "Close", title: "Close (Esc)", onclick: close }, "✕")),
      facts([
        ["Outcome", words(task.outcome) + (task.flaky ? ", flaky" : "") + (task.allowed ? ", allowed" : "")],
        ["Why", task.attempts.length ? "" : clean(task.said)],
        ["Took", task.took === null ? "" : seconds(task.took) + (task.tries > 1 ? " over " + task.tries + " attempts" : "")],
        ["Began", task.start === null ? "" : seconds(task.start) + " into the run"],
        ["Matrix", task.matrix === null ? "" : clean(Object.entries(task.matrix).map(([axis, value]) => axis + " = " + JSON.stringify(value)).join(", "))],
        ["Carried from", task.carried], ["Log", task.log === null ? "" : clean(data.run.folder + "/" + task.log)],
      ]),
    ];
    if (task.attempts.length && task.said && task.attempts[task.attempts.length - 1][9] === null) parts.push(make("p", { class: "said" }, clean(task.said)));
    for (let at = task.attempts.length - 1; at >= 0; at--) {
      const [outcome, start, took, pid, code, signal, left, mem, cpu, error] = task.attempts[at];
      parts.push(make("section", { class: "attempt" },
        make("h3", {}, (task.attempts.length > 1 ? "Attempt " + (at + 1) + ": " : "The attempt: ") + words(data.outcomes[outcome])),
        facts([
          ["Took", seconds(took) + ", from " + seconds(start)], ["CPU", seconds(cpu)], ["Peak memory", bytes(mem)],
          ["Process", pid], ["Exit code", code], ["Signal", signal], ["Left behind", left ? left + (left === 1 ? " process" : " processes") + ", killed" : ""],
        ]), ...errorOf(error)));
    }
    if (tail) parts.push(make("h3", {}, tail[1] ? "The last lines it printed" : "What it printed"), output(tail[0]));
    else if (task.log !== null && !["skipped", "cached"].includes(task.outcome)) parts.push(make("p", { class: "dim" }, "Of what it printed nothing is kept here; the log has it."));
    if (task.callback) parts.push(make("section", { class: "attempt" }, make("h3", {}, clean(task.callback[0]) + ": " + words(task.callback[1])), ...errorOf(task.callback[2])));
    into.replaceChildren(...parts);
    into.scrollTop = 0;
  }

  // ---- The timeline

  const timeline = (() => {
    const canvas = $("timeline"), tip = $("tip"), HEAD = 24, LEFT = 32;
    const CLOCK = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
    const slices = [];
    for (const task of tasks) {
      if (task.carried) continue;
      task.attempts.forEach((attempt, at) => slices.push({ task, at, start: attempt[1], end: attempt[1] + attempt[2], pid: attempt[3], outcome: data.outcomes[attempt[0]] }));
    }
    slices.sort((a, b) => a.start - b.start);
    // What ran at the same time is put one above the other, so there are as many rows as ever were busy at once; where
    // each attempt has a process of its own, a row for each process would be as many rows as attempts.
    const taken = [], runs = [], home = new Map(); // by row: until when, and by which process; by process: its last row
    for (const slice of slices) {
      let lane = slice.pid === null ? undefined : home.get(slice.pid);
      const own = lane !== undefined && runs[lane] === slice.pid; // a process does one thing after the other, whatever clocks say
      if (lane === undefined || (!own && taken[lane] > slice.start + 1e-6)) lane = taken.findIndex((until) => until <= slice.start + 1e-6);
      if (lane < 0) lane = taken.length;
      taken[lane] = Math.max(taken[lane] || 0, slice.end);
      runs[lane] = slice.pid;
      home.set(slice.pid, lane);
      slice.lane = lane;
    }
    const LANE = Math.max(3, Math.min(20, Math.floor(12000 / taken.length))), edge = LANE > 8 ? 2 : 0.5; // browsers bound how tall a picture may be
    const lanes = taken.map(() => []);
    for (const slice of slices) lanes[slice.lane].push(slice);
    const end = Math.max(slices.reduce((most, slice) => Math.max(most, slice.end), 0), 1e-3);
    const begin = Math.min(0, slices.length ? slices[0].start : 0);
    let from = begin, to = end, hovered = null, colours = null, wanted = null;

    const x = (s) => LEFT + (s - from) / (to - from) * (canvas.clientWidth - LEFT - 8);
    const at = (px) => from + (px - LEFT) / (canvas.clientWidth - LEFT - 8) * (to - from);
    function readColours() {
      const style = getComputedStyle(document.documentElement);
      colours = Object.fromEntries([...data.outcomes, "ink", "soft", "line", "card", "accent"].map((name) => [name, style.getPropertyValue("--" + name).trim()]));
    }
    // What is drawn over what: a short failure is to be seen between a thousand successes, and what was searched for over all.
    const levelOf = (slice) => wanted !== null && !wanted.has(slice.task) ? 0 : slice.outcome === "succeeded" ? 1 : 2;
    function span(slice, width) { // however short it is, it is seen, and of what went wrong a little more
      const left = Math.min(width - 11, Math.max(LEFT, x(slice.start)));
      return [left, Math.min(width - 8, Math.max(x(slice.end), left + (levelOf(slice) > 1 ? 3 : 1.5)))];
    }
    function ticks() {
      const rough = (to - from) / Math.max(2, (canvas.clientWidth - LEFT) / 110), power = 10 ** Math.floor(Math.log10(rough));
      const size = (rough > 10 ? CLOCK : [1, 2, 5, 10].map((n) => n * power)).find((n) => n >= rough) || Math.ceil(rough / 86400) * 86400;
      const found = [];
      const digits = Math.max(0, Math.ceil(-Math.log10(size))), units = 10 ** digits; // of a second, where ticks are near to one another
      function label(tick) {
        if (!digits || tick < 59.95) return seconds(Math.abs(tick) < 1e-9 ? 0 : tick).replace("0.0 ms", "0");
        const whole = Math.round(tick * units);
        return Math.floor(whole / units / 60) + "m" + (whole % (60 * units) / units).toFixed(digits).padStart(3 + digits, "0") + "s";
      }
      for (let step = Math.ceil(from / size); step * size <= to; step++) found.push([step * size, label(step * size)]);
      return found;
    }
    function paint() {
      const width = canvas.parentElement.clientWidth, height = HEAD + lanes.length * LANE + 6, ratio = window.devicePixelRatio || 1;
      canvas.style.width = width + "px";
      canvas.style.height = height + "px";
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.clearRect(0, 0, width, height);
      pen.font = "12px system-ui, sans-serif";
      pen.textBaseline = "middle";
      for (const [tick, label] of ticks()) {
        pen.fillStyle = colours.line;
        pen.fillRect(Math.round(x(tick)), HEAD - 4, 1, height);
        pen.fillStyle = colours.soft;
        if (x(tick) + 3 + pen.measureText(label).width < width) pen.fillText(label, x(tick) + 3, HEAD / 2);
      }
      for (const level of [0, 1, 2]) lanes.forEach((lane, row) => {
        const y = HEAD + row * LANE;
        let drawnTo = -1, drawnAs = "";
        for (const slice of lane) {
          if (slice.end < from || slice.start > to || levelOf(slice) !== level) continue;
          const [left, right] = span(slice, width);
          if (right - drawnTo < 0.5 && slice.outcome === drawnAs) continue; // it would not be seen
          drawnTo = right;
          drawnAs = slice.outcome;
          pen.globalAlpha = level > 0 ? 1 : 0.18;
          pen.fillStyle = colours[slice.outcome];
          const inset = level > 1 ? edge / 2 : edge; // taller, for who does not tell its colour from its neighbour's
          pen.fillRect(left, y + inset, right - left - (right - left > 3 ? 1 : 0), LANE - 2 * inset);
          if (right - left > 40 && LANE > 14) {
            pen.fillStyle = colours.card;
            const room = Math.floor((right - left - 8) / 6.5), name = line(slice.task.id);
            pen.fillText(name.length > room ? name.slice(0, room - 1) + "…" : name, left + 4, y + LANE / 2 + 0.5, right - left - 8);
          }
        }
      });
      pen.globalAlpha = 1;
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 2;
      for (const slice of slices) {
        if ((slice !== hovered && slice.task.id !== state.task) || slice.end < from || slice.start > to) continue;
        const [left, right] = span(slice, width);
        pen.strokeRect(left, HEAD + slice.lane * LANE + edge, right - left, LANE - 2 * edge);
      }
      pen.fillStyle = colours.soft;
      pen.textAlign = "right";
      for (let row = 0, each = Math.ceil(14 / LANE); row < lanes.length; row += each) pen.fillText(String(row + 1), LEFT - 8, HEAD + row * LANE + LANE / 2, LEFT - 10);
      pen.textAlign = "left";
      pen.fillStyle = colours.line;
      pen.fillRect(LEFT - 1, HEAD, 1, height);
    }
    let due = false;
    function later() {
      if (due) return;
      due = true;
      requestAnimationFrame(() => { due = false; paint(); });
    }
    function zoom(factor, around) {
      const middle = around === undefined ? (from + to) / 2 : around;
      const span = Math.min(end - begin, Math.max((to - from) * factor, 1e-4));
      from = Math.max(begin, Math.min(middle - (middle - from) * span / (to - from), end - span));
      to = from + span;
      later();
    }
    function shift(by) {
      const span = to - from;
      from = Math.max(begin, Math.min(end - span, from + by));
      to = from + span;
      later();
    }
    function hit(event) {
      const box = canvas.getBoundingClientRect(), row = Math.floor((event.clientY - box.top - HEAD) / LANE);
      const px = event.clientX - box.left, time = at(px), width = canvas.clientWidth;
      if (!lanes[row] || px < LEFT) return null;
      let best = null;
      for (const slice of lanes[row]) {
        const [left, right] = span(slice, width);
        if (slice.end < from || slice.start > to || px < left - 2 || px > right + 2) continue;
        const over = best ? levelOf(slice) - levelOf(best) : 1; // what is drawn on top is what was meant
        if (over > 0 || (over === 0 && Math.abs(slice.start - time) < Math.abs(best.start - time))) best = slice;
      }
      return best;
    }
    let dragged = null;
    canvas.addEventListener("pointerdown", (event) => { dragged = { at: event.clientX, moved: false }; });
    canvas.addEventListener("pointermove", (event) => {
      if (dragged && event.buttons) {
        if (Math.abs(event.clientX - dragged.at) > 3 || dragged.moved) {
          dragged.moved = true;
          shift((dragged.at - event.clientX) / (canvas.clientWidth - LEFT) * (to - from));
          dragged.at = event.clientX;
        }
        return;
      }
      const slice = hit(event);
      if (slice !== hovered) { hovered = slice; later(); }
      tip.hidden = !slice;
      if (slice) {
        const said = line(slice.task.said).slice(0, 200);
        tip.textContent = line(slice.task.id) + (slice.task.tries > 1 ? ", attempt " + (slice.at + 1) : "") + ": " + words(slice.outcome) + ", " + seconds(slice.end - slice.start) + " from " + seconds(slice.start) + (slice.pid === null ? "" : ", process " + slice.pid) + (said && slice.outcome !== "succeeded" ? " — " + said : "");
        tip.style.left = Math.min(event.clientX + 14, innerWidth - 440) + "px";
        tip.style.top = event.clientY + 18 + "px";
      }
    });
    canvas.addEventListener("pointerleave", () => { hovered = null; tip.hidden = true; later(); });
    canvas.addEventListener("click", (event) => {
      const was = dragged;
      dragged = null;
      const slice = was && was.moved ? null : hit(event);
      if (slice) open(slice.task);
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, at(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const act = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6), 0: () => zoom(1e9), ArrowLeft: () => shift((from - to) / 5), ArrowRight: () => shift((to - from) / 5) }[event.key];
      if (act) { event.preventDefault(); act(); }
    });
    $("zoom-in").addEventListener("click", () => zoom(0.5));
    $("zoom-out").addEventListener("click", () => zoom(2));
    $("zoom-all").addEventListener("click", () => zoom(1e9));
    addEventListener("resize", () => { if (state.view === "timeline") later(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours = null; if (state.view === "timeline") timeline.show(); });
    return {
      show() {
        if (!slices.length) { $("timeline-note").textContent = "No task of this run has begun."; canvas.hidden = true; return; }
        if (!colours) readColours();
        wanted = shown.length === tasks.length ? null : new Set(shown);
        paint();
      },
    };
  })();

  // ---- The graph, by the names of tasks

  const NAMES_MAX = 400;
  let graphDrawn = false;
  function graph() {
    if (graphDrawn) return;
    graphDrawn = true;
    const into = $("graph");
    if (!data.graph) { into.append(make("p", {}, "What needs what was not kept by this run.")); return; }
    const names = Object.keys(data.graph);
    if (names.length > NAMES_MAX) { into.append(make("p", {}, names.length.toLocaleString("en") + " tasks by name are too many for a drawing that helps.")); return; }
    const nodes = new Map(names.map((name) => [name, { name, needs: data.graph[name].needs.filter((need) => need.task in data.graph), level: 0, counts: new Map(), total: 0, allowed: data.graph[name].allow_failure }]));
    for (const task of tasks) {
      const node = nodes.get(task.name);
      if (!node) continue;
      node.total += 1;
      node.counts.set(task.outcome, (node.counts.get(task.outcome) || 0) + 1);
    }
    for (let round = 0, changed = true; changed && round <= names.length; round++) { // a plan has no cycles; a file made by hand may
      changed = false;
      for (const node of nodes.values()) for (const need of node.needs) {
        const level = nodes.get(need.task).level + 1;
        if (level > node.level && level <= names.length) { node.level = level; changed = true; }
      }
    }
    // Whatever passes a column takes a place in it, so that no arrow runs behind a task.
    const WIDE = 190, HIGH = 46, APART = 74, GAP = 16, PASS = 4, PAD = 20, PASSING_MAX = 5000;
    const columns = [];
    const column = (level) => (columns[level] = columns[level] || []);
    const edges = [], before = new Map(), after = new Map();
    const link = (a, b) => { (after.get(a) || after.set(a, []).get(a)).push(b); (before.get(b) || before.set(b, []).get(b)).push(a); };
    for (const node of nodes.values()) { node.high = HIGH; column(node.level).push(node); }
    let passing = 0;
    for (const node of nodes.values()) for (const need of node.needs) {
      const way = [nodes.get(need.task)];
      for (let level = way[0].level + 1; level < node.level && passing < PASSING_MAX; level++, passing++) {
        const point = { high: PASS, level };
        column(level).push(point);
        way.push(point);
      }
      way.push(node);
      for (let at = 1; at < way.length; at++) link(way[at - 1], way[at]);
      edges.push({ way, status: need.status });
    }
    const rows = columns.filter(Boolean);
    const place = (row) => { // one below the other, around the middle
      const high = row.reduce((sum, each) => sum + each.high + GAP, -GAP);
      let y = -high / 2;
      for (const each of row) { each.y = y; each.middle = y + each.high / 2; y += each.high + GAP; }
      return high;
    };
    rows.forEach(place);
    for (let sweep = 0; sweep < 12; sweep++) {
      for (const row of sweep % 2 ? [...rows].reverse() : rows) {
        const beside = sweep % 2 ? after : before;
        const keyed = row.map((each) => { const found = beside.get(each); return [found ? found.reduce((sum, other) => sum + other.middle, 0) / found.length : each.middle, each]; });
        keyed.sort((a, b) => a[0] - b[0]);
        row.splice(0, row.length, ...keyed.map((pair) => pair[1]));
        place(row);
      }
    }
    const height = PAD * 2 + Math.max(...rows.map(place)), width = PAD * 2 + rows.length * (WIDE + APART) - APART;
    rows.forEach((row, at) => row.forEach((each) => { each.x = PAD + at * (WIDE + APART); each.y += height / 2; each.middle += height / 2; }));
    function route(way) {
      let d = "";
      way.forEach((each, at) => {
        const y = each.middle, end = at === way.length - 1, x = end ? each.x - 2 : each.x;
        if (at === 0) { d = `M${each.x + WIDE} ${y}`; return; }
        const from = way[at - 1], bend = APART / 2;
        d += ` C${from.x + WIDE + bend} ${from.middle} ${x - bend} ${y} ${x} ${y}`;
        if (!end) d += ` L${each.x + WIDE} ${y}`;
      });
      return d;
    }
    const svg = (tag, attributes, ...children) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...children);
      return element;
    };
    const picture = svg("svg", { width, height, role: "group", "aria-label": "Which task needs which" });
    picture.append(svg("defs", {}, svg("marker", { id: "tip-of", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 L8 4 L0 8 z", class: "tip-of" }))));
    for (const edge of edges) {
      const came = edge.way[0], node = edge.way[edge.way.length - 1];
      edge.path = svg("path", { class: "edge " + edge.status, d: route(edge.way), "marker-end": "url(#tip-of)" });
      edge.path.append(svg("title", {}, line(came.name + " → " + node.name) + (edge.status === "success" ? "" : ", status " + edge.status)));
      picture.append(edge.path);
    }
    for (const node of nodes.values()) {
      const label = line(node.name), bad = ["failed", "timed_out", "crashed", "memory_exceeded"].reduce((sum, outcome) => sum + (node.counts.get(outcome) || 0), 0);
      const under = [...node.counts].sort((a, b) => b[1] - a[1]).map(([outcome, number]) => (node.total === 1 ? "" : number.toLocaleString("en") + " ") + words(outcome)).join(", ");
      const short = label.length > 24 ? label.slice(0, 23) + "…" : label;
      const told = !under ? "not run" : under.length <= 29 ? under : bad ? bad.toLocaleString("en") + " of " + node.total.toLocaleString("en") + " went wrong" : node.total.toLocaleString("en") + " tasks";
      const group = svg("g", { class: "node", tabindex: "0", role: "button", transform: `translate(${node.x} ${node.y})` },
        svg("title", {}, label + ": " + (under || "not run") + (node.allowed ? " (allowed to fail)" : "")),
        svg("rect", { class: "box", width: WIDE, height: HIGH, rx: 6 }),
        svg("text", { x: 10, y: 18 }, short), svg("text", { x: 10, y: 34, class: "dim" }, told));
      let from = 0;
      for (const outcome of data.outcomes) {
        const number = node.counts.get(outcome);
        if (!number) continue;
        const part = number / node.total * (WIDE - 2);
        group.append(svg("rect", { class: "part o-" + outcome, x: 1 + from, y: HIGH - 5, width: Math.max(part, 2), height: 4 }));
        from += part;
      }
      const pick = () => { state.view = "table"; state.q = node.name.toLowerCase(); show(); $("tab-table").focus(); };
      group.addEventListener("click", pick);
      group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } });
      const light = (on) => { for (const edge of edges) if (edge.way[0] === node || edge.way[edge.way.length - 1] === node) edge.path.classList.toggle("lit", on); };
      for (const [name, on] of [["mouseenter", true], ["mouseleave", false], ["focus", true], ["blur", false]]) group.addEventListener(name, () => light(on));
      picture.append(group);
    }
    into.append(picture);
  }

  // ---- What a person does

  const bar = $("bar"), explore = document.querySelector(".explore");
  for (const outcome of data.outcomes) {
    const number = tasks.reduce((sum, task) => sum + (task.outcome === outcome), 0);
    if (number) { const part = make("span", { class: "o-" + outcome }); part.style.flex = String(number); bar.append(part); }
  }
  scroller.addEventListener("scroll", () => draw(false), { passive: true });
  addEventListener("resize", () => draw(true));
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr.r");
    if (row && !String(getSelection())) open(shown[Number(row.dataset.index)]);
  });
  scroller.addEventListener("keydown", (event) => {
    if (event.target !== scroller) return;
    const page = Math.max(1, Math.floor(scroller.clientHeight / ROW) - 2);
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: shown.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); move(to); }
    else if (event.key === "Enter" && active >= 0) { event.preventDefault(); open(shown[active]); }
  });
  for (const head of document.querySelectorAll("th[data-sort]")) head.firstElementChild.addEventListener("click", () => {
    const key = head.dataset.sort, first = ["took", "attempts", "cpu", "mem"].includes(key) ? "-" + key : key, second = first === key ? "-" + key : key;
    state.sort = state.sort === first ? second : state.sort === second ? "" : first;
    show();
  });
  $("counts").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (!state.outcomes.delete(button.dataset.outcome)) state.outcomes.add(button.dataset.outcome);
    show();
    if (state.outcomes.size) explore.scrollIntoView({ block: "nearest" });
  });
  $("q").addEventListener("input", () => { state.q = $("q").value; show(); });
  const tabs = ["table", "timeline", "graph"];
  for (const name of tabs) {
    $("tab-" + name).addEventListener("click", () => { state.view = name; show(true); });
    $("tab-" + name).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) { state.view = tabs[(tabs.indexOf(name) + by + tabs.length) % tabs.length]; show(true); $("tab-" + state.view).focus(); }
    });
  }
  for (const button of document.querySelectorAll("[data-open]")) button.addEventListener("click", () => open(byId.get(button.dataset.open)));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches && event.target.matches("input");
    if (event.key === "Escape") { if (state.task) close(); else if (typing && state.q) { state.q = ""; show(); } }
    else if (typing) { if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); state.view = "table"; scroller.focus(); move(0); } }
    else if (event.key === "/") { event.preventDefault(); $("q").focus(); $("q").select(); }
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });
  addEventListener("hashchange", () => { readHash(); show(); });
  let opened = [];
  addEventListener("beforeprint", () => {
    whole = true;
    scroller.style.height = "auto";
    draw(true);
    opened = [...document.querySelectorAll("details.failure:not([open]), details.rest:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { whole = false; for (const each of opened) each.open = false; show(true); });

  readHash();
  show();
  if (state.q || state.outcomes.size || state.sort || state.view !== "table") explore.scrollIntoView();
})();
