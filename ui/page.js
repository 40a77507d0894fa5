// Loaded once. Listeners stand on the document, since Gradio patches what lies below.
() => {
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
    light([card, ...marks]);
    card.focus({ preventScroll: true });
    show(marks[0], "center");
  };

  const toSentence = (back) => {
    const sentence = document.getElementById(back.getAttribute("href").slice(1));
    if (!sentence) return;
    light([sentence]);
    sentence.querySelector(".fn-note")?.focus({ preventScroll: true });
    show(sentence, "center");
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".fn-note, .fn-back");
    if (!link) return;
    event.preventDefault(); // the page's <base> would make it a navigation
    link.matches(".fn-note") ? toQuote(link) : toSentence(link);
  });

  // A tip that would end under the question box opens upwards.
  const place = (event) => {
    const ref = event.target.closest?.(".fn-ref");
    if (!ref) return;
    ref.classList.remove("fn-up", "fn-closed");
    const floor = document.getElementById("fn-composer")?.getBoundingClientRect().top ?? innerHeight;
    if (ref.querySelector(".fn-tip").getBoundingClientRect().bottom > floor) ref.classList.add("fn-up");
  };
  document.addEventListener("mouseover", place);
  document.addEventListener("focusin", place);
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
}
