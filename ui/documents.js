// The view of the documents: what is stored, and what is on its way there. Loaded once, after page.js.
() => {
  const uploads = () => document.getElementById("fn-uploads");
  const view = () => new URLSearchParams(location.search).get("v") ?? "";

  // -- which view the address names ----------------------------------------------------------------------------------

  const show = () => {
    document.documentElement.dataset.view = view();
    document.querySelectorAll(".fn-view").forEach((link) => {
      link.toggleAttribute("aria-current", link.dataset.view === view());
    });
    if (view() === "documents") list();
  };

  const turnTo = (name) => {
    const address = new URL(location.href);
    name ? address.searchParams.set("v", name) : address.searchParams.delete("v");
    history.pushState(null, "", address);
    show();
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".fn-view");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    turnTo(link.dataset.view);
  });
  addEventListener("popstate", show);

  // -- what is stored ------------------------------------------------------------------------------------------------

  const list = async () => {
    await window.footnote.fill("fn-stored", "/page/documents");
    if (document.querySelector("#fn-stored [data-wait]")) setTimeout(list, 1500);
  };
  const changed = () => Promise.all([list(), window.footnote.listSources()]);

  const problem = async (answer) => (await answer.json().catch(() => ({}))).detail ?? `The server said ${answer.status}.`;
  const unreachable = { ok: false, status: 0, json: async () => ({ detail: "The server does not answer." }) };
  const call = (path, options) => fetch(path, options).catch(() => unreachable);

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("#fn-stored [data-do]");
    if (!button) return;
    const { source, title } = button.closest("tr").dataset;
    const rows = () => [...document.querySelectorAll("#fn-stored tr[data-source]")];
    const row = () => rows().find((one) => one.dataset.source === source);
    const tell = (text) => row() && (row().querySelector(".fn-told").textContent = text);
    const query = `source=${encodeURIComponent(source)}`;
    if (button.dataset.do === "remove") {
      if (!confirm(`Take "${title}" out of the index?`)) return;
      const answer = await call(`/v1/documents?${query}`, { method: "DELETE" });
      if (!answer.ok) return tell(await problem(answer));
      const at = rows().indexOf(row());
      await changed();
      rows()[Math.min(at, rows().length - 1)]?.querySelector("button")?.focus(); // the keyboard goes on where it was
    } else {
      const answer = await call(`/v1/documents/again?${query}`, { method: "POST" });
      if (!answer.ok) return tell(await problem(answer));
      let said = "";
      await followed(await answer.json(), (text) => tell((said = text)));
      await changed();
      tell(said);
    }
  });

  // -- what is on its way --------------------------------------------------------------------------------------------

  const row = (name) => {
    const item = document.createElement("li");
    const label = document.createElement("span");
    const bar = document.createElement("progress");
    const told = document.createElement("span");
    label.textContent = label.title = name;
    label.dir = "auto";
    bar.max = 1;
    bar.setAttribute("aria-label", name);
    told.className = "fn-told";
    told.textContent = "waits";
    item.append(label, bar, told);
    uploads().append(item);
    const say = (text, state = "", share) => {
      told.textContent = text;
      item.toggleAttribute("data-state", state !== "");
      if (state) item.dataset.state = state;
      share === undefined ? bar.removeAttribute("value") : (bar.value = share);
      bar.hidden = state !== "";
    };
    bar.value = 0;
    return say;
  };

  // A job until its end; says what became of it.
  const followed = async (job, say) => {
    while (job.status === "queued" || job.status === "running") {
      say(job.status === "queued" ? "waits for its turn" : "is read and embedded");
      await new Promise((later) => setTimeout(later, 300));
      const answer = await call(`/v1/jobs/${job.id}`);
      if (!answer.ok) return say(await problem(answer), "failed");
      job = await answer.json();
    }
    if (job.error) return say(job.error.detail, "failed");
    const { added, updated, unchanged, removed, failed, skipped } = job.report;
    const counts = [["new", added], ["changed", updated], ["known already", unchanged], ["gone", removed]];
    const done = counts.filter(([, some]) => some.length).map(([word, some]) => (some.length === 1 ? word : `${some.length} ${word}`));
    const bad = [...failed, ...skipped].map((f) => f.reason);
    say([...done, ...bad.slice(0, 3), ...(bad.length > 3 ? [`and ${bad.length - 3} more`] : [])].join(" · "), bad.length ? "failed" : "done");
  };

  const send = (file, name, say) =>
    new Promise((sent) => {
      const form = new FormData();
      form.append("files", file, name);
      const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
      request.open("POST", "/v1/documents");
      request.responseType = "json";
      request.upload.onprogress = (e) => e.lengthComputable && say("is sent", "", e.loaded / e.total);
      request.onload = () => sent(request);
      request.onerror = () => sent({ status: 0 });
      request.send(form);
    });

  const bring = async (file, name, say) => {
    let answer = await send(file, name, say);
    while (answer.status === 429) {
      say("waits: others are before");
      await new Promise((later) => setTimeout(later, 1000 * (Number(answer.getResponseHeader("Retry-After")) || 5)));
      answer = await send(file, name, say);
    }
    if (answer.status !== 202) return say(answer.response?.detail ?? "The server does not answer.", "failed");
    await followed(answer.response, say);
  };

  let last = Promise.resolve(); // one after the other: the first are there early
  const take = (files) => {
    files.map(([file, name]) => [file, name, row(name)]).forEach(([file, name, say]) => {
      last = last.then(() => bring(file, name, say)).then(changed, changed);
    });
  };

  // A folder's files by their path, in which a dash stands for the slash: the server takes names, not paths.
  const named = (file, path) => [file, (path || file.name).replace(/^\/+/, "").replaceAll("/", "-")];
  const inside = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((found, failed) => entry.file(found, failed));
      return file.name.startsWith(".") ? [] : [named(file, entry.fullPath)];
    }
    const reader = entry.createReader();
    const files = [];
    for (;;) {
      const some = await new Promise((found, failed) => reader.readEntries(found, failed)); // a hundred at a time
      if (!some.length) return files;
      for (const one of some) files.push(...(await inside(one)));
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-choose]");
    if (button) document.getElementById(button.dataset.choose).click();
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("#fn-files, #fn-folder")) return;
    take([...event.target.files].filter((f) => !f.name.startsWith(".")).map((f) => named(f, f.webkitRelativePath)));
    event.target.value = "";
  });
  const over = (event) => event.dataTransfer?.types.includes("Files") && view() === "documents" && document.getElementById("fn-drop");
  document.addEventListener("dragover", (event) => {
    const place = over(event);
    if (!place) return;
    event.preventDefault();
    place.classList.add("fn-over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || document.getElementById("fn-drop")?.classList.remove("fn-over"));
  document.addEventListener("drop", async (event) => {
    const place = over(event);
    if (!place) return;
    event.preventDefault();
    place.classList.remove("fn-over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = (await Promise.all(entries.map(inside))).flat();
    take(files.length ? files : [...event.dataTransfer.files].map((f) => named(f, "")));
  });

  const begin = () => (document.getElementById("fn-stored") ? show() : setTimeout(begin, 30));
  begin();
}
