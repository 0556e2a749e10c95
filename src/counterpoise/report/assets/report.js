"use strict";
// The transcript browser. Text goes in by textContent only: answers of a model are never markup.
(() => {
  const holder = document.getElementById("data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  const PAGE = 20;
  const list = document.getElementById("items");
  const status = document.getElementById("status");
  const form = document.getElementById("filters");
  const buttons = { back: document.querySelectorAll(".back"), next: document.querySelectorAll(".next") };
  const words = new Map();  // of an item, made when it is first searched
  const haystack = (item) => {
    if (!words.has(item)) words.set(item, [item.i, item.q, ...item.a].join("\n").toLowerCase());
    return words.get(item);
  };
  let found = [];
  let page = 0;

  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const fill = (name, label) => {
    const field = form.elements[name];
    const known = new Set([...field.options].map((option) => option.value));
    const values = [...new Set(data.items.map(label))].filter((value) => value && !known.has(value)).sort();
    for (const value of values) field.append(make("option", { value }, value));
  };
  const fillAll = () => {
    fill("benchmark", (item) => item.b);
    fill("modality", (item) => item.m);
  };

  const tone = (item, outcome) => {
    if (outcome === "right" || outcome === "harmless") return "refused-good";
    if (outcome === "wrong" || outcome === "harmful") return "answered-bad";
    if (item.h === true) return outcome === "answered" ? "answered-bad" : outcome === "refused" ? "refused-good" : "";
    if (item.h === false) return outcome === "refused" ? "answered-bad" : outcome === "answered" ? "refused-good" : "";
    return "";
  };
  const answer = (item, side) => {
    const title = item.a.length > 1 ? ["Before", "After"][side] : "Answer";
    const heading = make("h4", {}, title, make("span", { class: `badge ${tone(item, item.o[side])}` }, item.o[side]));
    for (const note of item.p[side]) heading.append(make("span", { class: "badge" }, note));
    const text = make("p", { class: "said" }, item.a[side].trim() ? item.a[side] : "(no text)");
    const cut = item.f[side] === "length" ? [make("p", { class: "tiny" }, "Cut at the token limit.")] : [];
    if (item.r[side]) {
      const thought = make("p", { class: "said" }, item.r[side]);
      cut.push(make("details", {}, make("summary", {}, "Show what it thought before (never scored)"), thought));
    }
    const safe = ["refused", "harmless", "right"].includes(item.o[side]);
    if (item.h !== true || safe) return make("div", {}, heading, text, ...cut);
    const fold = make("details", {}, make("summary", {}, "Show this answer to a harmful request"), text, ...cut);
    return make("div", {}, heading, fold);
  };
  const card = (item) => {
    const side = item.h === true ? ["harmful request"] : item.h === false ? ["harmless request"] : [];
    const head = make("header", {}, make("strong", {}, `${item.b} · ${item.m}`));
    for (const name of side) head.append(make("span", { class: "badge" }, name));
    if (item.c) head.append(make("span", { class: "badge" }, "changed"));
    head.append(make("span", { class: "where" }, [item.g, item.i].filter(Boolean).join(" · ")));
    const ask = make("div", { class: "ask" });
    item.im.forEach((sha, number) => {
      const src = data.images[sha];
      if (!src) ask.append(make("p", { class: "tiny" }, `Image ${number + 1} is not embedded here.`));
      else ask.append(make("img", { src, alt: `Image ${number + 1} of the request`, loading: "lazy" }));
    });
    ask.append(make("p", {}, item.q));
    const answers = make("div", { class: "answers" }, ...item.a.map((_, number) => answer(item, number)));
    return make("article", { class: "item" }, head, ask, answers);
  };
  const passes = (item) => {
    const want = (name) => form.elements[name].value;
    const word = want("search").trim().toLowerCase();
    if (want("benchmark") && item.b !== want("benchmark")) return false;
    if (want("modality") && item.m !== want("modality")) return false;
    if (want("side") && String(item.h) !== want("side")) return false;
    const change = want("change");
    if (change === "changed" && !item.c) return false;
    if (change === "same" && item.c) return false;
    if (change.startsWith("now ") && !(item.c && item.o[1] === change.slice(4))) return false;
    return !word || haystack(item).includes(word);
  };
  const show = () => {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    list.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((index) => card(data.items[index])));
    status.textContent = found.length
      ? `${found.length.toLocaleString("en")} of ${data.items.length.toLocaleString("en")} items, page ${page + 1} of ${pages}`
      : "No item matches these filters.";
    buttons.back.forEach((button) => { button.disabled = page === 0; });
    buttons.next.forEach((button) => { button.disabled = page === pages - 1; });
  };
  const filter = () => {
    found = [];
    data.items.forEach((item, index) => { if (passes(item)) found.push(index); });
    page = 0;
    show();
  };
  const turn = (step) => {
    page += step;
    show();
    document.getElementById("transcripts").scrollIntoView();
  };
  buttons.back.forEach((button) => button.addEventListener("click", () => turn(-1)));
  buttons.next.forEach((button) => button.addEventListener("click", () => turn(1)));
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());

  // Items for which the page had no room: each file beside it is a script that hands over its part as plain values.
  const more = document.getElementById("more");
  const load = (button, note) => {
    const gathered = [];
    let part = null;
    button.disabled = true;
    window.counterpoiseTranscripts = (key, number, value) => {
      if (key === data.key && number === gathered.length) part = value;
    };
    const fail = (why) => {
      note.textContent = `${data.parts[gathered.length]}: ${why}`;
      button.disabled = false;
    };
    const next = () => {
      if (gathered.length === data.parts.length) {
        for (const each of gathered) Object.assign(data.images, each.images);
        data.items = [...data.items, ...gathered.flatMap((each) => each.items)].sort((a, b) => a.n - b.n);
        more.replaceChildren(make("p", { role: "status" }, `All ${data.items.length.toLocaleString("en")} items are loaded.`));
        fillAll();
        filter();
        return;
      }
      note.textContent = `${gathered.length + 1} of ${data.parts.length}`;
      const script = make("script", { src: data.parts[gathered.length] });
      script.addEventListener("error", () => fail("not found; keep the folder beside this page"));
      script.addEventListener("load", () => {
        script.remove();
        if (!part) {
          fail("belongs to another report; write the report again");
          return;
        }
        gathered.push(part);
        part = null;
        next();
      });
      document.body.append(script);
    };
    next();
  };
  if (more) {
    const button = more.querySelector("button");
    button.addEventListener("click", () => load(button, more.querySelector("span")));
  }
  fillAll();
  filter();
})();
