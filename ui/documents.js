// The documents view: files are sent in batches, each a job that is asked how far it is; what is indexed stands below.
// Names and reasons are text, never markup.
({ say, on, onTyped, call, fill, view, turnTo, shownViews, listSources }) => {
  const BATCH_FILES = 20;
  const BATCH_BYTES = 32_000_000;
  const OPEN_JOBS = 3;
  const POLL_MS = 500;
  const REACHED = { sending: 0.05, queued: 0.3, reading: 0.4, embedding: 0.6, storing: 0.85 };
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const element = (tag, className, text = "") => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };

  // -- what is indexed -----------------------------------------------------------------------------------------------

  const told = new Map(); // source -> what stands in its row until it is asked for again
  const row = (source) => document.querySelector(`#fn-stored tr[data-source="${CSS.escape(source)}"]`);
  const tell = (source, text, failed = false) => {
    told.set(source, [text, failed]);
    const line = row(source)?.querySelector(".fn-row-told");
    if (!line) return;
    line.textContent = text;
    line.classList.toggle("fn-bad", failed);
  };
  const list = async () => {
    const search = document.getElementById("fn-search-documents")?.value ?? "";
    await fill("fn-stored", `/page/stored?search=${encodeURIComponent(search)}`);
    told.forEach(([text, failed], source) => tell(source, text, failed));
    const shown = document.querySelector("#fn-stored [data-writes]");
    document.getElementById("fn-drop").hidden = shown?.dataset.writes !== "true";
    if (document.querySelector("#fn-stored [data-wait]")) setTimeout(list, 1500);
  };
  shownViews.documents = list;
  const changed = () => Promise.all([list(), listSources()]);

  const remove = async (source, title) => {
    if (!confirm(say("delete_document", { title }))) return;
    const [gone, said] = await call("DELETE", `/v1/documents?source=${encodeURIComponent(source)}`);
    if (!gone) return tell(source, said.detail, true);
    told.delete(source);
    const after = row(source)?.nextElementSibling?.dataset.source;
    await changed();
    document.getElementById("fn-documents-told").textContent = say("deleted", { title });
    (row(after ?? "")?.querySelector("[data-do=delete]") ?? document.getElementById("fn-documents-title")).focus();
  };

  const reindex = async (source) => {
    tell(source, say("queued"));
    const [taken, job] = await call("POST", `/v1/documents/again?source=${encodeURIComponent(source)}`);
    if (!taken) return tell(source, job.detail, true);
    await follow(job, ([file]) => tell(source, statusOf(file), file.status === "failed"));
    await changed();
  };

  // -- uploads -------------------------------------------------------------------------------------------------------

  const queue = []; // of batches
  const batches = new Set(); // under way
  const files = []; // {file, name, line, status}, as they are shown

  const statusOf = ({ status, passages, sources, reason }) => {
    if (status === "failed") return reason ?? say("failed");
    const text = say(status === "stored" ? `stored.${passages === 1 ? "one" : "many"}` : status, { n: passages, source: sources?.[0] });
    return reason ? `${text}. ${reason}` : text;
  };

  const show = (entry, { status, passages, sources, reason }, part = 0) => {
    entry.status = status;
    entry.line.dataset.status = status;
    entry.line.querySelector(".fn-up-status").textContent = statusOf({ status, passages, sources, reason });
    const bar = entry.line.querySelector("progress");
    bar.hidden = !(status in REACHED);
    bar.value = (REACHED[status] ?? 1) + (status === "sending" ? 0.25 * part : 0);
    entry.line.querySelector("[data-do=send-again]").hidden = status !== "failed" || !entry.retry;
    const total = files.length;
    const through = files.filter((other) => !(other.status in REACHED)).length;
    document.querySelector("#fn-uploads [role=status]").textContent = say("uploaded", { n: through, total });
  };

  const enlist = (file, name) => {
    const line = element("li", "fn-up");
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", name);
    const again = element("button", "", say("again"));
    again.type = "button";
    again.dataset.do = "send-again";
    const named = element("span", "fn-up-name", name);
    named.dir = "auto";
    line.append(named, bar, element("span", "fn-up-status"), again);
    const entry = { file, name, line, status: "queued", retry: false };
    again.addEventListener("click", () => send([entry]));
    files.push(entry);
    return entry;
  };

  const send = (entries) => {
    entries.forEach((entry) => show(entry, { status: "sending" }));
    let batch = [];
    let bytes = 0;
    entries.forEach((entry) => {
      if (batch.length && (batch.length === BATCH_FILES || bytes + entry.file.size > BATCH_BYTES)) {
        queue.push(batch);
        [batch, bytes] = [[], 0];
      }
      batch.push(entry);
      bytes += entry.file.size;
    });
    if (batch.length) queue.push(batch);
    pump();
  };

  const pump = () => {
    while (queue.length && batches.size < OPEN_JOBS) {
      const batch = queue.shift();
      batches.add(batch);
      bring(batch).finally(() => {
        batches.delete(batch);
        pump();
      });
    }
  };

  const failed = (batch, reason, retry) =>
    batch.forEach((entry) => {
      entry.retry = retry;
      show(entry, { status: "failed", reason });
    });

  const bring = async (batch) => {
    const [status, said, wait_s] = await post(batch);
    if (status === 429) {
      batch.forEach((entry) => (entry.line.querySelector(".fn-up-status").textContent = say("later")));
      await sleep(1000 * (wait_s || 5));
      return bring(batch);
    }
    if (status === 415 && batch.length > 1) {
      queue.unshift(...batch.map((entry) => [entry])); // none could be taken: each has its own reason
      return;
    }
    if (status !== 202) return failed(batch, said.detail ?? say("no_answer"), status !== 415 && status !== 413);
    await follow(said, (states) => states.forEach((state, i) => show(batch[i], state)));
    await changed();
  };

  // fetch does not tell how much of a body has gone
  const post = (batch) =>
    new Promise((done) => {
      const form = new FormData();
      batch.forEach(({ file, name }) => form.append("files", file, name));
      const request = new XMLHttpRequest();
      request.open("POST", "/v1/documents");
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total }) =>
        batch.forEach((entry) => show(entry, { status: "sending" }, total ? loaded / total : 0));
      request.onload = () =>
        done([request.status, request.response ?? {}, Number(request.getResponseHeader("Retry-After"))]);
      request.onerror = () => done([0, {}, 0]);
      request.send(form);
    });

  const follow = async (job, tellFiles) => {
    tellFiles(job.files);
    while (job.status !== "done" && job.status !== "failed") {
      await sleep(POLL_MS);
      const [found, said, wait_s] = await call("GET", `/v1/jobs/${job.id}`);
      if (found) tellFiles((job = said).files);
      else if (wait_s) await sleep(1000 * wait_s);
      else return tellFiles(job.files.map((file) => ({ ...file, status: "failed", reason: said.detail })));
    }
  };

  // Of a folder the names keep their way, since files of the same name are told apart by it: "notes - 2024 - a.md"
  const named = (path) => path.split("/").filter(Boolean).join(" - ");
  const visible = (path) => !path.split("/").some((part) => part.startsWith("."));
  const take = (found) => {
    const taken = found.filter(([, path]) => visible(path));
    if (!taken.length) return;
    const entries = taken.map(([file, path]) => enlist(file, named(path)));
    const box = document.getElementById("fn-uploads");
    box.hidden = false;
    box.querySelector("ul").append(...entries.map((entry) => entry.line));
    send(entries);
  };

  const within = async (entry) => {
    if (entry instanceof File) return [[entry, entry.name]];
    if (entry.isFile) return [[await new Promise((done, stop) => entry.file(done, stop)), entry.fullPath.slice(1)]];
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((done, stop) => reader.readEntries(done, stop)); // a hundred at a time
      if (!some.length) return found;
      for (const one of some) found.push(...(await within(one)));
    }
  };

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.documentElement.toggleAttribute("data-dragging", true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.documentElement.toggleAttribute("data-dragging", false);
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.documentElement.toggleAttribute("data-dragging", false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const entries = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()); // now: they are gone after a wait
    turnTo("documents");
    await list();
    if (document.getElementById("fn-drop").hidden) return; // who may only read is told so
    take((await Promise.all(entries.map(within))).flat());
  });

  on("change", "#fn-files, #fn-folder", (input) => {
    take([...input.files].map((file) => [file, file.webkitRelativePath || file.name]));
    input.value = "";
  });
  on("click", "[data-choose]", (button) => document.getElementById(`fn-${button.dataset.choose}`).click());
  on("click", "#fn-stored [data-do]", (tool) => {
    const line = tool.closest("tr");
    if (tool.dataset.do === "delete") remove(line.dataset.source, line.querySelector("a").textContent);
    else reindex(line.dataset.source);
  });
  on("click", "[data-do=clear-uploads]", () => {
    const open = files.filter((entry) => entry.status in REACHED);
    files.filter((entry) => !open.includes(entry)).forEach((entry) => entry.line.remove());
    files.splice(0, files.length, ...open);
    document.getElementById("fn-uploads").hidden = !open.length;
  });
  onTyped("fn-search-documents", list);
  addEventListener("focus", () => view() === "documents" && list());
  addEventListener("beforeunload", (event) => {
    if (files.some((entry) => entry.status === "sending")) event.preventDefault();
  });
}
