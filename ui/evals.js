// The evaluation view: a question set is run as a job that is asked how far it is; what came of it stands below.
({ say, on, call, fill, view, shownViews }) => {
  const POLL_MS = 1000;
  const by = (id) => document.getElementById(id);
  const tell = (text) => (by("fn-eval-told").textContent = text);
  let shown = ""; // the run that stands below
  let followed = ""; // the run under way

  const show = async (id) => {
    if (!(await fill("fn-eval-run", `/page/evals/${id}`))) return;
    shown = id;
    const chosen = by("fn-eval-runs");
    if (chosen) chosen.value = id;
    const plots = by("fn-eval-plots");
    const report = plots && (await fetch(`/v1/evals/${id}/report`).catch(() => null));
    if (!report?.ok || shown !== id) return;
    const page = new DOMParser().parseFromString(await report.text(), "text/html"); // nothing in it runs
    page.querySelectorAll(".figures figure").forEach((figure) => {
      const caption = say(`plot.${figure.dataset.plot}`);
      figure.querySelector("figcaption").textContent = caption;
      figure.querySelector("svg").setAttribute("aria-label", caption);
      figure.querySelectorAll("style").forEach((style) => style.remove()); // they would style the whole page
      plots.append(document.adoptNode(figure));
    });
  };

  const list = async () => {
    await fill("fn-eval-start", "/page/evals");
    const current = by("fn-eval-current")?.value;
    if (current) follow(current);
    const runs = [...(by("fn-eval-runs")?.options ?? [])].map((option) => option.value);
    if (runs.includes(shown)) by("fn-eval-runs").value = shown;
    else if (runs.length) await show(runs[0]);
  };
  shownViews.evals = list;

  const follow = async (id) => {
    if (followed === id) return;
    followed = id;
    const now = by("fn-eval-now");
    const stop = now.querySelector("button");
    now.hidden = false;
    stop.disabled = false;
    by("fn-eval-form")?.querySelector("button").toggleAttribute("disabled", true);
    for (;;) {
      const [found, run, wait_s] = await call("GET", `/v1/evals/${id}`);
      if (!found && !wait_s) tell(run.detail);
      if (found ? run.status !== "running" : !wait_s) break;
      if (found) {
        Object.assign(now.querySelector("progress"), { max: run.total, value: run.done });
        now.querySelector("p").textContent = say("eval_state", run);
      }
      await new Promise((done) => setTimeout(done, POLL_MS + 1000 * wait_s));
    }
    now.hidden = true;
    followed = "";
    shown = id;
    await list();
    await show(id);
  };

  on("submit", "#fn-eval-form", async (form, event) => {
    event.preventDefault();
    tell("");
    const { set, limit } = Object.fromEntries(new FormData(form));
    const [taken, run] = await call("POST", "/v1/evals", { set, limit: Number(limit) || null });
    taken ? follow(run.id) : tell(run.detail);
  });
  on("click", "[data-do=eval-stop]", async (stop) => {
    stop.disabled = true;
    const [stopped, said] = await call("POST", `/v1/evals/${followed}/stop`);
    if (!stopped) tell(said.detail);
  });
  on("change", "#fn-eval-runs", (runs) => show(runs.value));
  addEventListener("focus", () => view() === "evals" && list());
}
