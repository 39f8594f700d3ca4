"use strict";
// Filters, sorts and opens the rows of the table; without it the page is that table. Text is only ever set as text.
(() => {
  const PER_PAGE = 50, MOST_PRINTED = 1000;
  const by = id => document.getElementById(id);
  const data = JSON.parse(by("data").textContent);
  const {texts, languages, rows} = data;
  const body = by("rows");
  const list = Array.from(body.rows, (element, index) => ({element, index, ...rows[index]}));
  const order = Object.keys(data.verdicts);
  const names = new Map();
  const filter = {words: "", verdict: "", layer: "", findings: ""};
  let language = data.language, sort = "", down = false, page = 0, shown = list;
  body.replaceChildren();
  document.documentElement.className = "script";

  // Words

  function fill(text, values) {
    return values ? text.replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole) : text;
  }
  function say(code, values) {
    return fill(texts[data.script[code]][languages.indexOf(language)], values);
  }
  function inLanguage(number) {
    const text = texts[number];
    return typeof text === "string" ? text : text[languages.indexOf(language)];
  }
  function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }
  /** Append a text in all its languages; the style sheet shows one of them. */
  function put(parent, reference) {
    const [number, values] = Array.isArray(reference) ? reference : [reference];
    const text = texts[number];
    if (typeof text === "string") parent.append(make("bdi", {textContent: text}));
    else text.forEach((each, k) => parent.append(make("span", {lang: languages[k], textContent: fill(each, values)})));
    return parent;
  }

  // What is shown

  function finds(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    if (!wanted.length) return null;
    // Only what is a row's own: the words of this page would be found in every row.
    const own = texts.map(text => typeof text === "string" ? text.toLowerCase() : "");
    const hits = wanted.map(word => own.map(text => text.includes(word)));
    const isHit = (value, k) => Array.isArray(value)
      ? Object.values(value[1]).some(each => each.toLowerCase().includes(wanted[k])) : hits[k][value];
    return row => wanted.every((_, k) => row.e.some(([, lines]) => lines.some(([, value]) => isHit(value, k))));
  }
  function fits() {
    const {verdict, layer, findings} = filter, found = finds(filter.words);
    const [kind, code] = findings.split(/:(.*)/s);
    const test = {
      any: row => row.x, none: row => !row.x, contradictions: row => row.c.length, failures: row => row.f.length,
      contradiction: row => row.c.includes(code), rule: row => row.f.includes(code),
    }[kind];
    return row => (!verdict || row.v === verdict) && (!layer || (row.l || []).includes(layer))
      && (!test || test(row)) && (!found || found(row));
  }
  const keys = {
    path: row => names.get(row) || names.set(row, row.element.querySelector(".path").textContent).get(row),
    verdict: row => order.indexOf(row.v),
    findings: row => -(row.c.length * 1000 + row.f.length * 2 + (row.x || 0)),
  };
  const collator = new Intl.Collator(undefined, {numeric: true});
  function compare(one, other) {
    const [a, b] = [keys[sort](one), keys[sort](other)];
    return (typeof a === "string" ? collator.compare(a, b) : a - b) || one.index - other.index;
  }
  function update() {
    shown = list.filter(fits());
    if (sort) shown.sort(compare);
    if (down) shown.reverse();
    page = 0;
    show();
  }
  function show() {
    const first = page * PER_PAGE;
    attach(shown.slice(first, first + PER_PAGE));
    drawPager(first);
  }
  function attach(some) {
    body.replaceChildren(...some.flatMap(row => row.details ? [openable(row), row.details] : [openable(row)]));
  }

  // A row and its evidence

  function openable(row) {
    const path = row.element.querySelector(".path");
    if (path) {
      keys.path(row);
      const image = row.element.querySelector("img");
      if (image) image.loading = "eager"; // there are few now, and print waits for none
      const button = make("button", {type: "button", className: "path"}, ...path.childNodes);
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => toggle(row, button));
      path.replaceWith(button);
      row.button = button;
    }
    return row.element;
  }
  function toggle(row, button) {
    if (row.details) {
      row.details.remove();
      row.details = null;
    } else {
      row.details = make("tr", {className: "details"}, details(row));
      row.element.after(row.details);
    }
    button.setAttribute("aria-expanded", String(Boolean(row.details)));
  }
  function details(row) {
    const cell = make("td", {colSpan: 5}), inside = make("div", {className: "evidence"});
    const image = row.element.querySelector("img");
    if (image || row.m) inside.append(picture(row, image));
    for (const [title, lines] of row.e) {
      const listed = make("dl");
      for (const [label, value, depth, tone] of lines) {
        const term = put(make("dt"), label), said = put(make("dd"), value);
        const pair = make("div", {className: `d${Math.min(depth || 0, 6)} ${tone || ""}`.trim()}, term, said);
        listed.append(pair);
      }
      inside.append(make("section", {}, put(make("h4"), title), listed));
    }
    cell.append(inside);
    return cell;
  }
  function picture(row, image) {
    const frame = make("div", {className: "frame"});
    if (image) frame.append(make("img", {src: image.src, alt: ""}));
    const figure = make("figure", {className: "seen"}, frame);
    if (row.m) {
      const map = draw(row.m);
      map.setAttribute("role", "img");
      map.setAttribute("aria-label", say("map.label"));
      frame.append(map);
      if (!image) frame.classList.add("bare");
      const box = make("input", {type: "checkbox", checked: true});
      box.addEventListener("change", () => { map.hidden = !box.checked; });
      figure.append(make("figcaption", {}, make("label", {}, box, put(make("span"), data.script.map))));
    }
    return figure;
  }
  /** Return the map of the mark, to lie over the picture: dark where the mark is not. */
  function draw(map) {
    const [columns, runs] = map.split(":");
    const levels = [];
    for (const [, count, level] of runs.matchAll(/(\d*)([a-p])/g)) {
      for (let k = Number(count || 1); k > 0; k--) levels.push((level.charCodeAt(0) - 97) / 15);
    }
    const canvas = make("canvas", {width: Number(columns), height: Math.ceil(levels.length / columns)});
    const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
    levels.forEach((level, k) => pixels.data.set([0, 150 * level, 130 * level, 255 * (.72 - .56 * level)], 4 * k));
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  // Controls

  const search = make("input", {type: "search", id: "search", autocomplete: "off", spellcheck: false});
  const selects = {verdict: make("select"), layer: make("select"), findings: make("select")};
  const reset = make("button", {type: "button"});
  const status = make("output"), previous = make("button", {type: "button"}), next = make("button", {type: "button"});

  function choices(select, options) {
    const value = select.value || filter[select.name];
    select.replaceChildren(...options.map(([key, text]) => make("option", {value: key, textContent: text})));
    select.value = value;
  }
  function label() {
    const counts = new Map();
    for (const row of list) counts.set(row.v, (counts.get(row.v) || 0) + 1);
    const present = Object.entries(data.verdicts).filter(([code]) => counts.has(code));
    choices(selects.verdict, [["", say("all-verdicts")], ...present.map(([code, k]) => [code, `${inLanguage(k)} (${counts.get(code)})`])]);
    choices(selects.layer, [["", say("all-layers")], ...Object.entries(data.layers).map(([code, k]) => [code, inLanguage(k)])]);
    const failed = new Set(list.flatMap(row => row.f));
    choices(selects.findings, [
      ["", say("all-findings")], ["any", say("with-any")], ["none", say("without-any")],
      ["contradictions", say("with-contradictions")], ["failures", say("with-failures")],
      ...Object.entries(data.contradictions).map(([code, k]) => [`contradiction:${code}`, inLanguage(k)]),
      ...[...failed].sort().map(code => [`rule:${code}`, code]),
    ]);
    for (const element of [search, ...Object.values(selects)]) {
      element.setAttribute("aria-label", element === search ? say("search") : element.options[0].textContent);
    }
    search.placeholder = say("search");
    reset.textContent = say("reset");
    previous.textContent = say("previous");
    next.textContent = say("next");
    document.documentElement.lang = language;
    document.title = `${say("title")}: ${document.querySelector(`h1 [lang=${language}]`).textContent}`;
    drawPager(page * PER_PAGE);
  }
  function drawPager(first) {
    const number = count => count.toLocaleString("en");
    const values = {first: number(first + 1), last: number(Math.min(first + PER_PAGE, shown.length)), count: number(shown.length)};
    status.textContent = shown.length ? say("position", values) : say("position.none");
    previous.disabled = page === 0;
    next.disabled = first + PER_PAGE >= shown.length;
    by("pager").hidden = shown.length <= PER_PAGE;
    reset.hidden = !Object.values(filter).some(Boolean);
  }
  function turn(step) {
    page += step;
    show();
    by("controls").scrollIntoView();
  }
  function clear() {
    for (const name of Object.keys(filter)) filter[name] = "";
    search.value = "";
    for (const select of Object.values(selects)) select.value = "";
  }
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { filter.words = search.value; update(); }, 150);
  });
  for (const [name, select] of Object.entries(selects)) {
    select.name = name;
    select.addEventListener("change", () => { filter[name] = select.value; update(); });
  }
  reset.addEventListener("click", () => { clear(); update(); search.focus(); });
  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  by("controls").append(search, ...Object.values(selects), reset, status);
  by("pager").append(previous, next);

  for (const head of document.querySelectorAll("th[data-sort]")) {
    const button = make("button", {type: "button"}, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      down = sort === head.dataset.sort && !down;
      sort = head.dataset.sort;
      for (const each of document.querySelectorAll("th[data-sort]")) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      update();
    });
  }
  for (const link of document.querySelectorAll("a[data-show]")) {
    link.addEventListener("click", () => {
      const [kind, code] = link.dataset.show.split(/:(.*)/s), name = kind === "verdict" ? kind : "findings";
      clear();
      filter[name] = name === kind ? code : link.dataset.show;
      selects[name].value = filter[name];
      update();
    });
  }
  for (const radio of document.querySelectorAll("input[name=language]")) {
    radio.addEventListener("change", () => { language = radio.value; label(); });
    if (radio.checked) language = radio.value;
  }
  // A page of rows is no list: what fits is printed, within reason.
  addEventListener("beforeprint", () => {
    attach(shown.slice(0, MOST_PRINTED));
    if (shown.length > MOST_PRINTED) status.textContent = say("printed", {count: MOST_PRINTED.toLocaleString("en")});
  });
  addEventListener("afterprint", show);
  label();
  update();
})();
