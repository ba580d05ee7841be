"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const store = `lora-loop-grid:${data.id}`;
  const CONTROL = -1;
  const epochs = [...(data.control ? [CONTROL] : []), ...(data.weights.length ? data.epochs.keys() : [])];
  const pairs = epochs.flatMap((e) => (e === CONTROL ? [[e, CONTROL]] : data.weights.map((_, w) => [e, w])));
  const colours = ["#c2500f", "#2f6fb5", "#3c8f55", "#8a55b0", "#b58a1d", "#b03a5b"];
  const chosen = data.recommendation.epoch;

  const start = {
    mode: "slide", at: epochs.length - 1, weight: Math.max(0, data.weights.length - 1), checkpoint: 0, extra: 0,
    a: 0, b: pairs.length - 1, flicker: false, rate: 600, noPrompts: [], noSeeds: [], starred: false,
  };
  if (chosen !== null) start.at = epochs.indexOf(chosen);
  if (data.recommendation.weight !== null) start.weight = data.recommendation.weight;
  const state = { ...start, ...fromAddress() };
  let stars = new Set(recall("stars", []));
  let shown = "a";
  let timer = 0;
  let zoomed = null;
  let pointed = null;

  // What survives a reload, and what does not have to.
  function fromAddress() {
    try {
      const found = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
      const good = (key) => key in start && typeof found[key] === typeof start[key] && Array.isArray(found[key]) === Array.isArray(start[key]);
      const kept = Object.fromEntries(Object.entries(found).filter(([key]) => good(key)));
      const inside = (key, length) => { if (key in kept && !(Number.isInteger(kept[key]) && kept[key] >= 0 && kept[key] < Math.max(1, length))) delete kept[key]; };
      inside("at", epochs.length); inside("weight", data.weights.length); inside("a", pairs.length); inside("b", pairs.length);
      inside("checkpoint", data.checkpoints.length); inside("extra", data.extras.length);
      if (!["slide", "table", "compare"].includes(kept.mode)) delete kept.mode;
      return kept;
    } catch { return {}; }
  }
  function recall(name, otherwise) {
    try { return JSON.parse(localStorage.getItem(`${store}:${name}`)) ?? otherwise; } catch { return otherwise; }
  }
  function remember(name, value) {
    try { localStorage.setItem(`${store}:${name}`, JSON.stringify(value)); } catch { /* a browser that keeps nothing */ }
  }

  function make(tag, fields = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(fields)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key.includes("-") || key === "role" || key === "for") node.setAttribute(key, value);
      else node[key] = value;
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }
  function drawing(tag, fields, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(fields)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  const name = (e) => (e === CONTROL ? "without the LoRA" : data.epochs[e].label);
  const title = ([e, w]) => (e === CONTROL ? name(e) : `${name(e)} · weight ${data.weights[w]}`);
  const cellAt = (p, s, [e, w]) => data.cells[data.places[[state.checkpoint, state.extra, p, s, w, e].join(",")]] ?? null;
  const here = () => { const e = epochs[state.at] ?? CONTROL; return [e, e === CONTROL ? CONTROL : state.weight]; };
  const rows = () => data.prompts.flatMap((_, p) => data.seeds.map((_, s) => [p, s]))
    .filter(([p, s]) => !state.noPrompts.includes(p) && !state.noSeeds.includes(s));
  const texts = (p, s) => data.texts[p * data.seeds.length + s];

  function star(cell) {
    if (!cell || !cell.file) return;
    stars.has(cell.key) ? stars.delete(cell.key) : stars.add(cell.key);
    remember("stars", [...stars]);
    for (const button of document.querySelectorAll(`[data-star="${cell.key}"]`)) mark(button, cell);
    if (zoomed) showZoomed();
    if (state.starred) show();
  }
  function mark(button, cell) {
    const on = stars.has(cell.key);
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "★" : "☆";
  }

  /** One picture, or the words that stand in its place. */
  function tile(p, s, pair, tag) {
    const cell = cellAt(p, s, pair);
    const box = make("div", { className: "cell" });
    box.style.setProperty("--shape", `${data.size[0]} / ${data.size[1]}`);
    box.dataset.key = cell ? cell.key : "";
    if (!cell || !cell.file) {
      const failed = Boolean(cell && cell.error);
      box.append(make("div", { className: failed ? "note failed" : "note" }, failed ? cell.error : cell ? "not drawn yet" : "not in this grid"));
    } else {
      const label = `${title(pair)}, ${data.prompts[p].label}, seed ${data.seeds[s]}`;
      const picture = make("img", { src: cell.file, alt: label, loading: "lazy", decoding: "async", width: data.size[0], height: data.size[1] });
      const button = make("button", { className: "star", type: "button", "aria-label": `star ${label}`, onclick: () => star(cell) });
      button.dataset.star = cell.key;
      mark(button, cell);
      box.append(make("button", { className: "open", type: "button", "aria-label": `enlarge ${label}`, onclick: () => zoom(p, s, pair) }, picture), button);
      const point = () => { pointed = cell; };
      box.addEventListener("pointerenter", point);
      box.addEventListener("focusin", point);
      box.addEventListener("pointerleave", () => { pointed = null; });
    }
    if (tag) box.append(make("span", { className: "tag" }, tag));
    return box;
  }
  function caption(p, s) {
    return make("figcaption", {}, make("strong", {}, `${data.prompts[p].label} · seed ${data.seeds[s]}`), make("span", { title: texts(p, s) }, texts(p, s)));
  }
  const wanted = (p, s, list) => !state.starred || list.some((pair) => { const cell = cellAt(p, s, pair); return cell && stars.has(cell.key); });

  const views = {
    slide() {
      const pair = here();
      return make("div", { className: "cards" }, ...rows().filter(([p, s]) => wanted(p, s, [pair])).map(([p, s]) => make("figure", {}, tile(p, s, pair), caption(p, s))));
    },
    compare() {
      const both = [pairs[state.a], pairs[state.b]];
      const found = rows().filter(([p, s]) => wanted(p, s, both));
      return make("div", { className: "cards pairs" }, ...found.map(([p, s]) => {
        const tiles = both.map((pair, which) => tile(p, s, pair, `${"AB"[which]}  ${title(pair)}`));
        tiles.forEach((box, which) => { box.dataset.side = "ab"[which]; });
        return make("figure", {}, make("div", { className: state.flicker ? "two flickering" : "two" }, ...tiles), caption(p, s));
      }));
    },
    table() {
      const head = make("tr", {}, make("th", {}), ...epochs.map((e) => make("th", { scope: "col", className: e === chosen && e !== CONTROL ? "chosen" : "" }, name(e), ...(e === CONTROL ? [] : data.epochs[e].figures.map((text) => make("small", {}, text))))));
      const weights = data.weights.length ? [...data.weights.keys()] : [CONTROL];
      const body = rows().flatMap(([p, s]) => weights.filter((w) => wanted(p, s, epochs.map((e) => [e, e === CONTROL ? CONTROL : w]))).map((w, number) => make("tr", { className: number ? "" : "first" },
        make("th", { scope: "row" }, w === CONTROL ? data.prompts[p].label : `weight ${data.weights[w]}`, make("small", { title: texts(p, s) }, `${data.prompts[p].label} · seed ${data.seeds[s]}`)),
        ...epochs.map((e) => make("td", {}, e === CONTROL && number ? null : tile(p, s, [e, e === CONTROL ? CONTROL : w]))))));
      return make("div", { className: "scroll", tabIndex: 0 }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
    },
  };

  function show() {
    for (const node of document.querySelectorAll("[data-for]")) node.hidden = node.dataset.for !== state.mode;
    for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === state.mode));
    $("weights").hidden = state.mode !== "slide" || data.weights.length < 2;
    $("epoch").value = state.at;
    $("epoch-name").textContent = name(epochs[state.at] ?? CONTROL);
    press($("weights"), (w) => w === state.weight);
    press($("prompts"), (p) => !state.noPrompts.includes(p));
    press($("seeds"), (s) => !state.noSeeds.includes(s));
    for (const key of ["a", "b", "checkpoint", "extra"]) $(key).value = state[key];
    $("flicker").checked = state.flicker;
    $("rate").value = state.rate;
    $("rate-name").textContent = `${(state.rate / 1000).toFixed(2)} s`;
    $("starred").checked = state.starred;
    const view = views[state.mode]();
    $("main").replaceChildren(view.querySelector(".cell") ? view : make("p", { className: "faint" }, "Nothing to show: the filters leave no picture."));
    flick();
    curves();
    history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(state))}`);
  }
  function press(group, on) {
    [...group.querySelectorAll("button")].forEach((button, index) => button.setAttribute("aria-pressed", String(on(index))));
  }
  function set(changes) { Object.assign(state, changes); show(); }

  /** In flicker, A and B take turns in one place; both stay loaded, so that nothing but the picture changes. */
  function flick() {
    clearInterval(timer);
    const apply = () => { for (const box of document.querySelectorAll("[data-side]")) box.hidden = state.flicker && box.dataset.side !== shown; };
    apply();
    if (state.mode === "compare" && state.flicker) timer = setInterval(() => { shown = shown === "a" ? "b" : "a"; apply(); }, state.rate);
  }

  function zoom(p, s, pair) { zoomed = { p, s, pair }; showZoomed(); if (!$("zoom").open) $("zoom").showModal(); }
  const keepCommand = ([e, w]) => `python -m lib_lora_train grid --run "${data.run}" --keep "${data.epochs[e].name}@${data.weights[w]}"`;
  function relabel() { $("zoom-copy").textContent = "Copy text"; $("zoom-keep").textContent = "Keep this one"; }
  function showZoomed() {
    const { p, s, pair } = zoomed;
    relabel();
    $("zoom-keep").hidden = pair[0] === CONTROL;
    const cell = cellAt(p, s, pair);
    $("zoom-title").textContent = `${title(pair)} · ${data.prompts[p].label} · seed ${data.seeds[s]}`;
    $("zoom-picture").hidden = !cell || !cell.file;
    if (cell && cell.file) $("zoom-picture").src = cell.file;
    $("zoom-picture").alt = $("zoom-title").textContent;
    $("zoom-text").textContent = cell ? cell.infotext || cell.error || "not drawn yet" : "not in this grid";
    $("zoom-star").textContent = cell && stars.has(cell.key) ? "★ Starred" : "☆ Star";
  }

  function step(by) {
    if (zoomed && $("zoom").open) {
      const at = epochs.indexOf(zoomed.pair[0]) + by;
      if (at < 0 || at >= epochs.length) return;
      zoomed.pair = [epochs[at], epochs[at] === CONTROL ? CONTROL : zoomed.pair[1] === CONTROL ? state.weight : zoomed.pair[1]];
      showZoomed();
    } else set({ at: Math.min(epochs.length - 1, Math.max(0, state.at + by)), mode: state.mode === "compare" ? "slide" : state.mode });
  }
  function weigh(by) {
    const bound = (w) => Math.min(data.weights.length - 1, Math.max(0, w + by));
    if (zoomed && $("zoom").open) { if (zoomed.pair[0] !== CONTROL) { zoomed.pair = [zoomed.pair[0], bound(zoomed.pair[1])]; showZoomed(); } }
    else if (state.mode === "slide") set({ weight: bound(state.weight) });
  }
  function theme() {
    const dark = getComputedStyle(document.documentElement).colorScheme.includes("dark");
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    remember("theme", document.documentElement.dataset.theme);
  }
  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => weigh(1), ArrowDown: () => weigh(-1),
    1: () => set({ mode: "slide" }), 2: () => set({ mode: "table" }), 3: () => set({ mode: "compare" }),
    " ": () => state.mode === "compare" && set({ flicker: !state.flicker }), x: () => state.mode === "compare" && set({ a: state.b, b: state.a }),
    s: () => star(zoomed && $("zoom").open ? cellAt(zoomed.p, zoomed.s, zoomed.pair) : pointed), t: theme, "?": () => $("keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    const typing = event.target.closest("input, select, textarea");
    const scrolls = event.target.closest(".scroll") && event.key.startsWith("Arrow");
    if (typing || scrolls || (event.key === " " && event.target.closest("button"))) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) { event.preventDefault(); act(); }
  });

  /** Small charts, one a measure; a line for each weight where it is measured by weight, with its spread. */
  function curves() {
    $("curves").replaceChildren(...data.curves.map(curve));
  }
  function curve(chart) {
    const [width, height, left, top, bottom] = [340, 170, 44, 12, 24];
    const points = chart.lines.flatMap((line) => line.points);
    const values = points.flatMap(([, mean, spread]) => [mean - spread, mean + spread]);
    const low = Math.min(...values), high = Math.max(...values), range = high - low || 1;
    const last = Math.max(1, data.epochs.length - 1);
    const x = (e) => left + (width - left - 10) * (e / last), y = (v) => top + (height - top - bottom) * (1 - (v - low) / range);
    const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": chart.name });
    for (const value of low === high ? [low] : [low, high]) {
      svg.append(drawing("line", { class: "axis", x1: left, x2: width - 10, y1: y(value), y2: y(value) }), drawing("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(3)));
    }
    for (const e of new Set([0, data.epochs.length - 1])) svg.append(drawing("text", { x: x(e), y: height - 6, "text-anchor": e ? "end" : "start" }, data.epochs[e].label));
    const now = epochs[state.at];
    if (now !== CONTROL && now !== undefined) svg.append(drawing("line", { class: "here", x1: x(now), x2: x(now), y1: top, y2: height - bottom }));
    chart.lines.forEach((line, index) => {
      const colour = colours[index % colours.length];
      if (line.points.some(([, , spread]) => spread > 0)) {
        const up = line.points.map(([e, mean, spread]) => `${x(e)},${y(mean + spread)}`), down = line.points.map(([e, mean, spread]) => `${x(e)},${y(mean - spread)}`).reverse();
        svg.append(drawing("polygon", { class: "band", fill: colour, points: [...up, ...down].join(" ") }));
      }
      svg.append(drawing("polyline", { class: "line", stroke: colour, points: line.points.map(([e, mean]) => `${x(e)},${y(mean)}`).join(" ") }));
      for (const [e, mean] of line.points) {
        const dot = drawing("circle", { cx: x(e), cy: y(mean), r: 3.5, fill: colour });
        dot.append(drawing("title", {}, `${data.epochs[e].label}${line.name ? `, ${line.name}` : ""}: ${mean.toFixed(4)}`));
        svg.append(dot);
      }
      if (line.name) {
        const label = drawing("text", { x: width - 10, y: top + 12 + index * 13, "text-anchor": "end" }, line.name);
        label.style.fill = colour;
        svg.append(label);
      }
    });
    return make("div", { className: "curve" }, make("h2", {}, chart.name), make("p", { className: "faint" }, chart.note), svg);
  }

  function chips(group, labels, act) { $(group).append(...labels.map((label, index) => make("button", { type: "button", onclick: () => act(index) }, label))); }
  function toggle(key, index) { set({ [key]: state[key].includes(index) ? state[key].filter((one) => one !== index) : [...state[key], index] }); }
  function options(id, labels) {
    $(id).append(...labels.map((label, index) => make("option", { value: index }, label)));
    $(id).addEventListener("change", () => set({ [id]: Number($(id).value) }));
  }
  function download() {
    const starred = [];
    for (const [place, index] of Object.entries(data.places)) {
      const cell = data.cells[index], [, , p, s, w, e] = place.split(",").map(Number);
      if (stars.has(cell.key)) starred.push({ epoch: name(e), lora: e === CONTROL ? "" : data.epochs[e].name, weight: w === CONTROL ? 0 : data.weights[w], prompt: texts(p, s), seed: data.seeds[s], file: cell.file });
    }
    const address = URL.createObjectURL(new Blob([JSON.stringify({ grid: data.title, starred }, null, 2)], { type: "application/json" }));
    make("a", { href: address, download: "stars.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  const kept = recall("theme", "");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  $("title").textContent = data.title;
  $("subtitle").textContent = data.subtitle;
  const { done, failed, total } = data.progress;
  $("progress").textContent = done + failed < total ? `${done} of ${total} pictures; reload for more` : failed ? `${failed} of ${total} pictures failed` : `${total} pictures`;
  if (done + failed < total) $("progress").after(make("button", { type: "button", onclick: () => location.reload() }, "Reload"));
  $("recommendation").textContent = data.recommendation.sentence;
  $("recommendation").hidden = !data.recommendation.sentence;
  $("epoch").max = epochs.length - 1;
  $("epoch").addEventListener("input", () => set({ at: Number($("epoch").value) }));
  $("rate").addEventListener("input", () => set({ rate: Number($("rate").value) }));
  $("flicker").addEventListener("change", () => set({ flicker: $("flicker").checked }));
  $("starred").addEventListener("change", () => set({ starred: $("starred").checked }));
  $("swap").addEventListener("click", () => set({ a: state.b, b: state.a }));
  for (const button of document.querySelectorAll("[data-mode]")) button.addEventListener("click", () => set({ mode: button.dataset.mode }));
  chips("weights", data.weights.map((w) => `weight ${w}`), (w) => set({ weight: w }));
  chips("prompts", data.prompts.map((prompt) => prompt.label), (p) => toggle("noPrompts", p));
  chips("seeds", data.seeds.map((seed) => `seed ${seed}`), (s) => toggle("noSeeds", s));
  $("prompts").hidden = data.prompts.length < 2;
  $("seeds").hidden = data.seeds.length < 2;
  options("a", pairs.map(title));
  options("b", pairs.map(title));
  options("checkpoint", data.checkpoints);
  options("extra", data.extras);
  $("checkpoint-label").hidden = data.checkpoints.length < 2;
  $("extra-label").hidden = data.extras.length < 2;
  $("theme").addEventListener("click", theme);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("export").addEventListener("click", download);
  $("zoom-star").addEventListener("click", () => star(cellAt(zoomed.p, zoomed.s, zoomed.pair)));
  $("zoom-size").addEventListener("click", () => document.querySelector(".zoom-picture").classList.toggle("actual"));
  const copy = async (id, text) => {
    try { await navigator.clipboard.writeText(text); $(id).textContent = "Copied"; }
    catch { $("zoom-text").textContent = text; getSelection().selectAllChildren($("zoom-text")); }
  };
  $("zoom-copy").addEventListener("click", () => copy("zoom-copy", $("zoom-text").textContent));
  $("zoom-keep").addEventListener("click", () => copy("zoom-keep", keepCommand(zoomed.pair)));
  $("zoom-close").addEventListener("click", () => $("zoom").close());
  $("zoom").addEventListener("close", () => { relabel(); zoomed = null; });
  $("zoom").addEventListener("click", (event) => { if (event.target === $("zoom")) $("zoom").close(); });
  show();
})();
