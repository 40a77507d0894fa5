// Loaded once, with what it says in the page's language. Listeners stand on the document, since Gradio patches what
// lies below. What the other scripts share is handed on at the end.
(words) => {
  const say = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  document.documentElement.lang = words.language;
  const on = (type, selector, act) =>
    document.addEventListener(type, (event) => {
      const found = event.target.closest?.(selector);
      if (found) act(found, event);
    });
  const onTyped = (id, act) => {
    let typing = 0;
    on("input", `#${id}`, () => {
      clearTimeout(typing);
      typing = setTimeout(act, 200);
    });
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const show = (element, block) =>
    element.scrollIntoView({ block, behavior: calm.matches ? "auto" : "smooth" });

  const light = (elements) => {
    document.querySelectorAll(".fn-lit").forEach((old) => old.classList.remove("fn-lit"));
    elements.forEach((element) => element.classList.add("fn-lit"));
  };

  const toQuote = (note) => {
    const sources = document.getElementById(`fn-t${note.dataset.turn}-sources`);
    const marks = [...(sources?.querySelectorAll(`mark[data-n~="${note.dataset.n}"]`) ?? [])];
    if (!marks.length) return;
    const card = marks[0].closest(".fn-card");
    const back = document.getElementById(`fn-t${note.dataset.turn}-c${note.dataset.n}`);
    if (back?.dataset.page) showPage(card, back.dataset);
    light([card, ...marks]);
    card.focus({ preventScroll: true });
    show(marks[0], "center");
  };

  // The page of a PDF as a picture above the passage; the passage stands by itself where the file is gone.
  const showPage = (card, { page, shows }) => {
    let figure = card.querySelector(".fn-page");
    if (!figure) {
      figure = document.createElement("figure");
      figure.className = "fn-page";
      card.querySelector("header").after(figure);
    }
    if (figure.dataset.page === page) return;
    figure.dataset.page = page;
    const image = new Image();
    image.alt = shows;
    const link = document.createElement("a");
    Object.assign(link, { href: page, target: "_blank", title: shows });
    link.append(image);
    figure.replaceChildren(link);
    image.onload = () => card.classList.contains("fn-lit") && show(figure, "nearest");
    image.onerror = async () => {
      const problem = await fetch(page).then((answer) => answer.json(), () => ({}));
      const note = document.createElement("p");
      note.textContent = problem.detail ?? shows;
      figure.replaceChildren(note);
    };
    image.src = page;
  };

  const toSentence = (back) => {
    const sentence = document.getElementById(back.getAttribute("href").slice(1));
    if (!sentence) return;
    light([sentence]);
    sentence.querySelector(".fn-note")?.focus({ preventScroll: true });
    show(sentence, "center");
  };

  on("click", ".fn-note, .fn-back", (link, event) => {
    event.preventDefault(); // the page's <base> would make it a navigation
    link.matches(".fn-note") ? toQuote(link) : toSentence(link);
  });

  // A tip that would end under the question box opens upwards.
  const place = (ref) => {
    ref.classList.remove("fn-up", "fn-closed");
    const floor = document.getElementById("fn-composer")?.getBoundingClientRect().top ?? innerHeight;
    if (ref.querySelector(".fn-tip").getBoundingClientRect().bottom > floor) ref.classList.add("fn-up");
  };
  on("mouseover", ".fn-ref", place);
  on("focusin", ".fn-ref", place);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelectorAll(".fn-ref:hover, .fn-ref:focus-within").forEach((ref) => ref.classList.add("fn-closed"));
  });

  // A new question comes into view; while its answer grows the reader's scroll position is left alone.
  let newest = "";
  new MutationObserver(() => {
    const turn = document.querySelector("#fn-current .fn-turn");
    if (!turn || turn.id === newest) return;
    newest = turn.id;
    light([]);
    document.getElementById("fn-sources")?.scrollTo(0, 0);
    setTimeout(() => show(turn, "start"), 50); // the earlier answers above it are laid out by then
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["id"] });

  // -- the address names the open conversation and the view: each tab has its own, and a reload finds it -------------

  const press = (id) => document.getElementById(id)?.click();
  const fill = async (id, path) => {
    const box = document.getElementById(id);
    if (!box) return false;
    const response = await fetch(path).catch(() => null);
    if (response?.ok) box.innerHTML = await response.text(); // rendered and escaped by the server
    return Boolean(response?.ok);
  };
  // [whether it went well, what was said, the seconds to wait where there were too many requests]
  const call = (method, path, body) =>
    fetch(path, { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) })
      .then(
        async (answer) => [answer.ok, await answer.json().catch(() => ({})), Number(answer.headers.get("Retry-After"))],
        () => [false, { detail: say("no_answer") }, 0],
      );

  const parameter = (name) => new URLSearchParams(location.search).get(name) ?? "";
  const wanted = () => parameter("c");
  const view = () => parameter("v") || "ask";
  const address = (changes) => {
    const all = new URLSearchParams(location.search);
    Object.entries(changes).forEach(([name, value]) => (value ? all.set(name, value) : all.delete(name)));
    return all.size ? `/?${all}` : "/";
  };

  const shownViews = {}; // what a view does when it comes into sight
  const showView = () => {
    document.documentElement.dataset.view = view();
    document.querySelectorAll(".fn-views a").forEach((link) => {
      link.toggleAttribute("aria-current", link.dataset.view === view());
    });
    shownViews[view()]?.();
  };
  const turnTo = (name) => {
    if (name === view()) return;
    history.pushState(null, "", address({ v: name === "ask" ? "" : name }));
    showView();
    scrollTo(0, 0);
  };

  const list = async () => {
    const search = document.getElementById("fn-search")?.value ?? "";
    await fill("fn-conversations", `/page/conversations?search=${encodeURIComponent(search)}`);
    document.querySelectorAll("#fn-conversations li").forEach((item) => {
      const open = item.dataset.c === wanted();
      item.querySelector("a").toggleAttribute("aria-current", open);
    });
  };

  const answering = () => document.querySelector('#fn-current [aria-busy="true"]');
  const go = (conversation) => {
    if (!answering()) history.pushState(null, "", address({ c: conversation, v: "" }));
    press("fn-reopen"); // while an answer is written the server says to wait for it
  };

  const forget = async (item) => {
    const title = item.querySelector(".fn-open").textContent;
    if (!confirm(say("delete_conversation", { title }))) return;
    await call("DELETE", `/v1/conversations/${item.dataset.c}`);
    item.dataset.c === wanted() ? go("") : list();
  };

  on("click", ".fn-open, .fn-new, .fn-views a", (link, event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    link.dataset.view ? turnTo(link.dataset.view) : go(link.closest("li")?.dataset.c);
  });
  on("click", ".fn-forget", (button) => forget(button.closest("li")));
  document.addEventListener("click", (event) => {
    document.querySelectorAll(".fn-more[open]").forEach((menu) => menu.contains(event.target) || (menu.open = false));
  });
  addEventListener("popstate", () => {
    showView();
    if (wanted() !== open) press("fn-reopen");
  });
  addEventListener("focus", list); // another tab may have changed it
  onTyped("fn-search", list);

  // -- which sources are asked ---------------------------------------------------------------------------------------

  const boxes = () => [...document.querySelectorAll("#fn-pick input")];
  const isFolder = (box) => box.hasAttribute("data-folder");
  const inside = (folder) => boxes().filter((b) => b !== folder && b.dataset.source.startsWith(folder.dataset.source));
  const settle = () => {
    boxes().filter(isFolder).reverse().forEach((folder) => {
      const leaves = inside(folder).filter((b) => !isFolder(b));
      const checked = leaves.filter((b) => b.checked).length;
      folder.checked = checked === leaves.length;
      folder.indeterminate = checked > 0 && checked < leaves.length;
    });
  };

  const unchecked = () => boxes().filter((b) => !isFolder(b) && !b.checked).map((b) => b.dataset.source);

  // [] for all of them, null for none; whole folders by their name
  const picked = () => {
    const all = boxes();
    if (all.every((b) => b.checked)) return [];
    const whole = all.filter((b) => b.checked);
    const names = whole.map((b) => b.dataset.source);
    const folders = whole.filter(isFolder).map((b) => b.dataset.source);
    const found = names.filter((name) => !folders.some((folder) => name !== folder && name.startsWith(folder)));
    return found.length ? found : null;
  };

  // Beside an answer its sources stay when they are deleted, and say so.
  let known = null; // null: not all of them are
  const markGone = () =>
    document.querySelectorAll(".fn-card").forEach((card) => {
      const gone = known !== null && !known.has(card.dataset.source);
      const note = card.querySelector(".fn-gone");
      if (!gone) note?.remove();
      if (!gone || note) return;
      const said = document.createElement("p");
      said.className = "fn-gone";
      said.textContent = say("gone");
      card.querySelector("header").append(said);
    });
  const lookAtCards = () => {
    const fresh = [...document.querySelectorAll(".fn-card:not([data-seen])")];
    fresh.forEach((card) => (card.dataset.seen = "true"));
    if (known && fresh.some((card) => !known.has(card.dataset.source))) listSources(); // gone, or newer than the list
  };
  const listSources = async () => {
    await fill("fn-pick", "/page/pick");
    const off = new Set(JSON.parse(sessionStorage.getItem("footnote-unchecked") ?? "[]"));
    boxes().forEach((box) => (box.checked = !off.has(box.dataset.source)));
    settle();
    const partly = document.querySelector("#fn-pick :is([data-wait], [data-more])");
    known = partly ? null : new Set(boxes().map((box) => box.dataset.source));
    markGone();
    if (document.querySelector("#fn-pick [data-wait]")) setTimeout(listSources, 1500);
  };

  on("change", "#fn-pick input", (box) => {
    if (isFolder(box)) inside(box).forEach((b) => (b.checked = box.checked));
    settle();
    sessionStorage.setItem("footnote-unchecked", JSON.stringify(unchecked()));
  });

  // -- what a question is sent with ----------------------------------------------------------------------------------

  let replaces = 0; // the turn that the next question stands in place of
  const editing = (number) => {
    replaces = number;
    document.documentElement.toggleAttribute("data-editing", number > 0);
    document.querySelectorAll(".fn-turn").forEach((turn) => {
      turn.classList.toggle("fn-replaced", number > 0 && Number(turn.id.slice(4)) >= number);
    });
  };

  const edit = (number) => {
    const field = document.querySelector("#fn-box textarea");
    field.value = document.querySelector(`#fn-t${number} .fn-question`).textContent;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
    editing(number);
  };

  const tell = (turn, text) => (turn.querySelector(".fn-told").textContent = text);

  const judge = async (tool, number, reason = "") => {
    const turn = tool.closest(".fn-turn");
    const helpful = tool.dataset.do === "helpful";
    const [kept, said] = await call("POST", "/v1/feedback", { conversation: wanted(), number, helpful, reason });
    tell(turn, kept ? say("thanks") : said.detail);
    turn.querySelectorAll("[data-do$=helpful]").forEach((b) => b.setAttribute("aria-pressed", kept && b === tool));
    const form = turn.querySelector(".fn-reason");
    form.hidden = !kept || reason !== "";
    if (!form.hidden) form.querySelector("input").focus();
  };
  on("submit", ".fn-reason", (form, event) => {
    event.preventDefault();
    const tool = form.closest(".fn-turn").querySelector("[data-do$=helpful][aria-pressed=true]");
    if (tool) judge(tool, Number(form.dataset.turn), form.querySelector("input").value);
  });

  const keepAsTest = async (tool, number) => {
    const [kept, said] = await call("POST", "/v1/evals/questions", { conversation: wanted(), number });
    tell(tool.closest(".fn-turn"), kept ? say("kept_as_test", { n: said.questions }) : said.detail);
    tool.setAttribute("aria-pressed", kept);
  };

  const does = {
    edit: (_, number) => edit(number),
    helpful: judge,
    unhelpful: judge,
    test: keepAsTest,
    again: (_, number) => {
      editing(number);
      press("fn-again");
    },
  };
  on("click", ".fn-tools [data-do]", (tool) => does[tool.dataset.do](tool, Number(tool.dataset.turn)));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && replaces) editing(0);
  });
  on("click", ".fn-keep", () => editing(0));

  window.footnote = { sent: () => JSON.stringify({ sources: picked(), replaces }) };

  // The page's parts come in one by one, and the server says which conversation stands open.
  let open = null;
  new MutationObserver(() => {
    if (replaces && answering()) editing(0);
    lookAtCards();
    const key = document.querySelector("#fn-opened data")?.value;
    if (key === undefined || key === open) return;
    open = key;
    editing(0);
    if (key !== wanted()) history.replaceState(null, "", address({ c: key }));
    list();
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["value"] });
  const wide = matchMedia("(min-width: 861px)"); // as in style.css
  const drawer = () => (document.querySelector(".fn-drawer").open = wide.matches);
  wide.addEventListener("change", drawer);
  on("click", "[data-language]", (button) => {
    document.cookie = `footnote_language=${button.dataset.language}; path=/; max-age=34560000; samesite=lax`;
    location.reload();
  });

  const begin = () => {
    if (!document.getElementById("fn-pick")) return setTimeout(begin, 30);
    drawer();
    showView();
    list();
    listSources();
  };
  setTimeout(begin); // when the other scripts have said what their views do
  return { say, on, onTyped, call, fill, view, turnTo, shownViews, listSources };
}
