"use strict";
(() => {
  const sheet = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const KEY = ["biomedica", sheet.clustering, sheet.taxonomy.version, sheet.round, sheet.sheet].join(":");
  const NAME = "biomedica:annotator";
  const PANELS = Object.entries(sheet.taxonomy.panels).flatMap(([type, subtypes]) => subtypes.map((subtype) => [type, subtype]));
  const CONCEPTS = Object.entries(sheet.taxonomy.concepts).flatMap(([global, locals]) => [
    { name: global, global, local: null },
    ...locals.map((local) => ({ name: local, global, local })),
  ]);
  const BLANK = { panel_type: null, panel_subtype: null, primary: [], secondary: [], note: "" };
  const PLACES = { nearest: "Nearest to the centre", random: "Drawn at random", farthest: "Farthest out" };

  let answers = {}; // cluster -> answer
  let current = 0;
  let last = null; // cluster that was answered last
  let active = 0; // line of the list that Enter takes

  // What is kept in this browser

  const stored = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };
  const store = (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      hint("This browser saves nothing: download your answers before you close the page.");
    }
  };
  const save = () => store(KEY, JSON.stringify({ answers, last }));
  const restore = () => {
    const text = stored(KEY);
    if (text) ({ answers, last } = JSON.parse(text));
    at("annotator").value = stored(NAME) || "";
  };

  // Answers

  const cluster = () => sheet.clusters[current];
  const single = sheet.clustering === "images"; // each picture is asked about by itself
  const name = (index) => (single ? `Image ${index + 1}` : `Cluster ${sheet.clusters[index].cluster}`);
  const answerOf = (id) => answers[id] || BLANK;
  const answer = () => answerOf(cluster().cluster);
  const isDone = (each) => each.panel_type !== null && each.primary.length > 0;
  const isBlank = (each) => each.panel_type === null && !each.primary.length && !each.note;
  const change = (values) => {
    const id = cluster().cluster;
    const changed = { ...answer(), ...values, answered: new Date().toISOString() };
    if (isBlank(changed)) delete answers[id];
    else answers[id] = changed;
    if (isDone(changed)) last = id;
    save();
    showForm();
    showProgress();
  };
  const toggle = ({ global, local }) => {
    let { primary, secondary } = answer();
    const without = (names, gone) => names.filter((name) => !gone.includes(name));
    if (local === null && primary.includes(global)) {
      primary = without(primary, [global]);
      secondary = without(secondary, sheet.taxonomy.concepts[global]);
    } else if (local !== null && secondary.includes(local)) {
      secondary = without(secondary, [local]);
    } else {
      if (!primary.includes(global)) primary = [...primary, global];
      if (local !== null) secondary = [...secondary, local];
    }
    change({ primary, secondary });
  };
  const removeLast = () => {
    const { primary, secondary } = answer();
    const name = secondary.at(-1) || primary.at(-1);
    if (name) toggle(CONCEPTS.find((each) => (secondary.length ? each.local === name : each.name === name)));
  };
  const proposed = () => (answer().primary.length ? undefined : cluster().proposals[0]?.concept);
  const takeProposed = () => {
    const concept = proposed();
    if (concept === undefined) return hint(cluster().proposals.length ? "A concept has already been chosen." : "There is no proposal.");
    hint("");
    toggle({ global: concept, local: null });
  };
  const sameAsLast = () => {
    if (last === null || !answers[last]) return hint("Nothing has been answered yet.");
    const { panel_type, panel_subtype, primary, secondary } = answers[last];
    change({ panel_type, panel_subtype, primary: [...primary], secondary: [...secondary] });
  };

  // What is shown

  const hint = (text) => {
    at("hint").textContent = text;
  };
  const count = (n) => n.toLocaleString("en");
  const percent = ({ concept, score }) => `${concept} (${Math.round(100 * score)} %)`;
  const showMembers = () => {
    at("members").replaceChildren();
    for (const [place, title] of Object.entries(PLACES)) {
      const members = cluster().members.filter((member) => member.place === place);
      if (!members.length) continue;
      const row = make("div", { className: "row" });
      for (const member of members) {
        const frame = make("span", { className: "frame" });
        if (member.src) frame.append(make("img", { src: member.src, alt: member.id, width: member.width, height: member.height }));
        else frame.append(make("span", { className: "broken", textContent: member.problem }));
        const button = make("button", { title: `${member.id}\n${member.caption}` }, frame, make("small", { textContent: member.caption }));
        button.onclick = () => enlarge(member);
        row.append(button);
      }
      if (!single) at("members").append(make("h2", { textContent: title }));
      at("members").append(row);
    }
    at("members").scrollTop = 0;
  };
  const enlarge = (member) => {
    const [image, text, link] = ["img", "p", "a"].map((tag) => at("large").querySelector(tag));
    image.hidden = !member.src;
    image.src = member.src;
    image.width = member.width * 2;
    text.textContent = `${member.id}: ${member.caption}`;
    link.href = member.url;
    link.hidden = !member.url;
    at("large").showModal();
  };
  const showPanels = () => {
    PANELS.forEach(([type, subtype], index) => {
      const input = make("input", { type: "radio", name: "panel", value: index });
      input.onchange = () => choosePanel(index);
      const text = subtype.startsWith(type) ? subtype : `${type}: ${subtype}`;
      const label = make("label", {}, input, text);
      if (index < 9) label.append(make("kbd", { textContent: index + 1 }));
      at("panels").append(label);
    });
  };
  const choosePanel = (index) => change({ panel_type: PANELS[index][0], panel_subtype: PANELS[index][1] });
  const found = () => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return CONCEPTS;
    const rank = ({ name }) => {
      const text = name.toLowerCase();
      if (!words.every((word) => text.includes(word))) return null;
      if (text.startsWith(words[0])) return 0;
      return text.split(/[^\w]+/).some((part) => part.startsWith(words[0])) ? 1 : 2;
    };
    const ranked = CONCEPTS.map((each) => [rank(each), each]).filter(([each]) => each !== null);
    return ranked.sort(([one], [other]) => one - other).map(([, each]) => each);
  };
  const isChosen = ({ global, local }) => (local === null ? answer().primary.includes(global) : answer().secondary.includes(local));
  const showConcepts = () => {
    const searching = at("search").value.trim() !== "";
    const concepts = found();
    active = Math.max(0, Math.min(active, concepts.length - 1));
    at("concepts").replaceChildren(
      ...concepts.map((concept, index) => {
        const line = make("li", { textContent: concept.name, id: `concept-${index}`, role: "option", ariaSelected: String(isChosen(concept)) });
        if (concept.local === null) line.className = "global";
        else line.title = concept.global;
        if (searching && index === active) {
          line.classList.add("active");
          at("search").setAttribute("aria-activedescendant", line.id);
        }
        line.onclick = () => toggle(concept);
        return line;
      }),
    );
    if (searching) at("concepts").querySelector(".active")?.scrollIntoView({ block: "nearest" });
    else at("search").removeAttribute("aria-activedescendant");
  };
  const showForm = () => {
    const { panel_type, panel_subtype, primary, secondary, note } = answer();
    at("panels").querySelectorAll("input").forEach((input, index) => {
      input.checked = PANELS[index][0] === panel_type && PANELS[index][1] === panel_subtype;
    });
    const chips = CONCEPTS.filter(({ global, local }) => (local === null ? primary.includes(global) : secondary.includes(local)));
    at("chosen").replaceChildren(
      ...chips.map((concept) => {
        const button = make("button", { type: "button", textContent: concept.name, title: "remove" });
        if (concept.local !== null) button.className = "local";
        button.onclick = () => toggle(concept);
        return make("li", {}, button);
      }),
    );
    if (proposed() !== undefined) {
      const button = make("button", { type: "button", textContent: proposed(), title: "proposed; take it (key: +)", className: "proposed" });
      button.onclick = takeProposed;
      at("chosen").append(make("li", {}, button));
    }
    if (at("note").value !== note) at("note").value = note;
    const scroll = at("concepts").scrollTop;
    showConcepts();
    at("concepts").scrollTop = scroll;
  };
  const showProgress = () => {
    const done = sheet.clusters.filter((each) => isDone(answerOf(each.cluster))).length;
    const bar = document.querySelector(".progress");
    bar.firstElementChild.style.width = `${(100 * done) / sheet.clusters.length}%`;
    bar.setAttribute("aria-valuenow", done);
    bar.setAttribute("aria-valuemax", sheet.clusters.length);
    at("done").textContent = `${done} of ${sheet.clusters.length} done`;
    [...at("strip").children].forEach((cell, index) => {
      const each = answerOf(sheet.clusters[index].cluster);
      cell.className = isDone(each) ? "done" : isBlank(each) ? "" : "part";
      if (index === current) cell.setAttribute("aria-current", "true");
      else cell.removeAttribute("aria-current");
    });
  };
  const showCluster = (index) => {
    current = Math.max(0, Math.min(index, sheet.clusters.length - 1));
    at("search").value = "";
    at("concepts").scrollTop = 0;
    hint("");
    at("cluster").textContent = name(current);
    at("size").textContent = single ? "" : `${count(cluster().size)} figure${cluster().size === 1 ? "" : "s"}`;
    at("earlier").hidden = !cluster().earlier;
    at("earlier").textContent = cluster().earlier;
    at("proposed").hidden = !cluster().proposals.length;
    at("proposed").textContent = `${sheet.proposer} proposes ${cluster().proposals.map(percent).join(", ")}. Press + to accept the first.`;
    document.activeElement?.blur();
    showMembers();
    showForm();
    showProgress();
  };
  const next = () => {
    if (!isBlank(answer()) && !isDone(answer())) {
      if (answer().panel_type === null) return hint("Choose the panels: keys 1 to 9.");
      const or = proposed() === undefined ? "" : ", or + for the proposed one";
      return hint(`Choose a concept: type its name${or}.`);
    }
    const order = sheet.clusters.map((_, step) => (current + 1 + step) % sheet.clusters.length);
    const open = order.find((index) => !isDone(answerOf(sheet.clusters[index].cluster)));
    if (open === undefined) return hint(`All ${single ? "images" : "clusters"} are done. Download your answers and send the file back.`);
    showCluster(open);
  };

  // Files

  const download = () => {
    const annotator = at("annotator").value.trim();
    if (!annotator) {
      hint("Enter your name first.");
      return at("annotator").focus();
    }
    const given = sheet.clusters.filter((each) => answers[each.cluster]);
    const file = {
      format: "biomedica answers 1",
      annotator,
      taxonomy: sheet.taxonomy.version,
      clustering: sheet.clustering,
      round: sheet.round,
      sheet: sheet.sheet,
      answers: given.map(({ cluster, exemplars, random }) => ({ cluster, exemplars, ...(single && { random }), ...answers[cluster] })),
    };
    const url = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
    const who = annotator.replace(/[^\p{L}\p{N}]+/gu, "-");
    make("a", { href: url, download: `answers-${who}-round-${sheet.round}-${sheet.sheet}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    hint("");
  };
  const load = async (file) => {
    let content;
    try {
      content = JSON.parse(await file.text());
    } catch {
      return hint(`${file.name} is not an answers file.`);
    }
    if (content.clustering !== sheet.clustering || content.sheet !== sheet.sheet || content.round !== sheet.round) {
      return hint(`${file.name} belongs to ${content.sheet || "something else"}, this is ${sheet.sheet}, round ${sheet.round}.`);
    }
    for (const { cluster: id, exemplars, random, ...values } of content.answers) {
      if (!answers[id] || answers[id].answered < values.answered) answers[id] = { ...BLANK, ...values };
    }
    at("annotator").value = content.annotator;
    store(NAME, content.annotator);
    save();
    showCluster(current);
  };

  // Keys

  const inSearch = (event) => {
    const empty = at("search").value === "";
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      active += event.key === "ArrowDown" ? 1 : -1;
      showConcepts();
    } else if (event.key === "Enter" && !empty) {
      const concept = found()[active];
      if (!concept) return hint(`No concept is called “${at("search").value}”.`);
      hint("");
      at("search").value = "";
      at("search").blur();
      if (isChosen(concept)) showConcepts();
      else toggle(concept);
    } else if (event.key === "Enter") {
      next();
    } else if (event.key === "Escape") {
      at("search").value = "";
      at("search").blur();
      showConcepts();
    } else if (event.key === "Backspace" && empty) {
      removeLast();
    } else {
      return;
    }
    event.preventDefault();
  };
  const anywhere = (event) => {
    const { key } = event;
    const panel = /^[1-9]$/.test(key) ? Number(key) - 1 : null;
    if (key === "ArrowLeft") showCluster(current - 1);
    else if (key === "ArrowRight") showCluster(current + 1);
    else if (key === "Enter") next();
    else if (key === "=") sameAsLast();
    else if (key === "+") takeProposed();
    else if (key === "Backspace") removeLast();
    else if (key === "?") at("keys").showModal();
    else if (key === "/") at("search").focus();
    else if (panel !== null && panel < PANELS.length) choosePanel(panel);
    else if (/^\p{L}$/u.test(key)) return at("search").focus(); // and the letter goes there
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target } = event;
    if (target === at("search")) return inSearch(event);
    if (target === at("annotator") || target === at("note")) {
      if (event.key === "Escape" || (event.key === "Enter" && target === at("annotator"))) target.blur();
      return;
    }
    if (event.key === "Enter" && target.matches("button, .button input")) return; // presses the button
    if (target.type === "radio") target.blur(); // so that arrows go to another cluster, not to another radio button
    anywhere(event);
  });

  at("search").oninput = () => {
    active = 0;
    hint("");
    showConcepts();
  };
  at("note").oninput = () => change({ note: at("note").value });
  at("annotator").oninput = () => store(NAME, at("annotator").value.trim());
  at("load").onchange = () => {
    if (at("load").files.length) load(at("load").files[0]);
    at("load").value = "";
  };
  const buttons = {
    download,
    next,
    previous: () => showCluster(current - 1),
    same: sameAsLast,
    clear: () => change(BLANK),
    help: () => at("keys").showModal(),
  };
  for (const [id, act] of Object.entries(buttons)) {
    at(id).onclick = () => {
      at(id).blur();
      act();
    };
  }
  at("form").onsubmit = (event) => event.preventDefault();

  sheet.clusters.forEach((each, index) => {
    const cell = make("button", { textContent: single ? index + 1 : each.cluster, title: name(index) });
    cell.onclick = () => showCluster(index);
    at("strip").append(cell);
  });
  restore();
  showPanels();
  const open = sheet.clusters.findIndex((each) => !isDone(answerOf(each.cluster)));
  showCluster(Math.max(0, open));
})();
