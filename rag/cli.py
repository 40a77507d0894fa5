"""The command line. Results go to stdout, progress and sources to stderr; nothing is coloured without a terminal.

Exit status: 0 done (a refusal is done), 1 failed, 2 bad usage or input, 3 worse than `--against`, 4 some files failed.
"""

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rag.errors import InputError, RagError
from rag.types import QUESTION_CHARACTERS

if TYPE_CHECKING:
    from rag.client import Caller
    from rag.config import Settings
    from rag.pipeline import Rag

FAILED, BAD_INPUT, DROPPED, SOME_FAILED = 1, 2, 3, 4
SETTLED_MS = 300  # without a further change, before changed files are read
STOPPED = 130  # by Ctrl-C, as shells count it
HERE = Path(__file__).parent.parent
SAMPLE = HERE / "seeds"
SAMPLE_QUESTIONS = HERE / "eval" / "data" / "seeds.jsonl"

app = typer.Typer(
    help="Ask your own documents a question; every sentence of the answer carries a footnote to the words that support it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # half of the start-up time for coloured help
)
documents_app = typer.Typer(
    rich_markup_mode=None, help="List, read or remove what is indexed.", invoke_without_command=True
)
eval_app = typer.Typer(
    rich_markup_mode=None, help="Measure the answers against questions with known answers.", no_args_is_help=True
)
app.add_typer(documents_app, name="documents")
app.add_typer(eval_app, name="eval")
bench_app = typer.Typer(
    rich_markup_mode=None,
    help="Measure search, answers and the support check on public question sets.",
    no_args_is_help=True,
)
app.add_typer(bench_app, name="bench")
keys_app = typer.Typer(rich_markup_mode=None, help="Keys of the endpoint and the page.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
doctor_app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
app.add_typer(doctor_app, name="doctor")

HISTORY_FORM = '[{"role": "user" or "assistant", "content": "…"}, …]'
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.", show_default=False)] = None,
    prune: Annotated[bool, typer.Option(help="Remove documents under PATHS whose files are gone.")] = False,
    sample: Annotated[bool, typer.Option("--sample", help="Bring in the sample corpus.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the folders until Ctrl-C, prune as well.")] = False,
    as_json: Json = False,
) -> None:
    """Bring files and folders into the index; what has not changed is left alone."""
    paths = [*(paths or []), *([SAMPLE] if sample else [])]
    if not paths:
        raise InputError("Name a file or folder: `rag ingest PATH`, or `rag ingest --sample`.", "paths")
    for path in paths:
        if not path.expanduser().exists():
            raise InputError(f"No such file or folder: {path}", "paths")
        if watch and not path.expanduser().is_dir():
            raise InputError(f"{path} is a file; --watch follows folders: name the one that it is in.", "paths")
    if watch and dry:
        raise InputError("--watch goes on until Ctrl-C, --dry-run does nothing: choose one.", "watch")
    show = _print_json if as_json else _print_dry if dry else _print_ingest
    if watch:
        with _caller() as caller, contextlib.suppress(KeyboardInterrupt):
            _follow(caller, paths, show)
        _say("Stopped following.")
        return
    with _caller() as caller, _progress("Reading") as report:
        result = caller.ingest(paths, prune, report, dry=dry)
    show(result)
    raise typer.Exit(SOME_FAILED if result["failed"] else 0)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="The archive to write, like footnote.zip.")]) -> None:
    """Write index, uploads, conversations, keys and settings to one archive, also while serving."""
    from rag.backups import back_up, check_possible, still
    from rag.client import running_server

    settings = _settings()
    check_possible(settings)
    with _progress("Packing") as report:
        if client := running_server(settings.home):
            client.back_up(file, report)
        else:
            back_up(settings.home, file.expanduser().absolute(), still(settings.home), report)
    _say(
        f"{settings.home} is in {file} ({file.expanduser().stat().st_size / 1e6:,.1f} MB). `rag restore {file}` brings it back."
    )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `rag backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Move aside what RAG_HOME holds.")] = False,
) -> None:
    """Bring back what an archive holds. Nothing is touched before all of it has been checked."""
    from rag.backups import restore as bring_back

    home = _settings().home
    with _progress("Unpacking") as report:
        aside = bring_back(file.expanduser(), home, force=force, report=report)
    _say(f"Restored {file} into {home}.")
    if aside:
        _say(f"What was there before lies in {aside}; delete that folder when it is of no more use.")


@app.command()
def ask(
    question: str,
    as_json: Json = False,
    source: Annotated[list[str] | None, typer.Option(help="Only this document, or folder/. May be repeated.")] = None,
    history: Annotated[Path | None, typer.Option(help="A JSON file: [{role, content}, …], oldest first.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Also tell how the answer came about.")] = False,
) -> None:
    """Answer a question from the documents. The answer goes to stdout, its sources to stderr."""
    _check(question)
    turns = _read_history(history)
    with _caller() as caller:
        events = caller.stream(question, turns, source or [])
        answer = _last(events) if as_json else _show_stream(events)
        trace = caller.trace(answer["id"]) if explain else None
    if as_json:
        _print_json(answer | ({"trace": trace} if trace else {}))
        return
    _print_sources(answer)
    if trace:
        from rag.tracing import as_trace, explained

        _say(f"\n{explained(as_trace(trace))}")


@app.command()
def search(
    query: str,
    k: Annotated[int, typer.Option("-k", help="How many passages.", min=1, max=100)] = 10,
    as_json: Json = False,
    source: Annotated[list[str] | None, typer.Option(help="Only this document, or folder/. May be repeated.")] = None,
) -> None:
    """Find the best passages, best first."""
    _check(query)
    with _caller() as caller:
        passages = caller.search(query, k, source or [])
    if as_json:
        _print_json({"passages": passages})
        return
    for number, p in enumerate(passages, 1):
        ranks = ", ".join(f"{name} {rank}" for name, rank in p["ranks"].items())
        print(f"{number}. {_place(p)}  score {p['score']:.2f} ({ranks})\n   {' '.join(p['text'].split())}\n")
        if others := dict.fromkeys(place["source"] for place in p["also"]):
            print(f"   Nearly the same in {', '.join(others)}\n")


@documents_app.callback()
def documents(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand:
        return
    from rag.screening import FLAGS

    with _caller() as caller:
        found = caller.documents()
    if as_json:
        _print_json({"documents": found})
        return
    for d in found:
        print(f"{d['source']}  {d['title']}  ({d['passages']} passages, {d['characters']:,} characters)")
        for flag in d["flags"]:
            print(f"    {FLAGS[flag['kind']]}: {flag['quote']}")
    if not found:
        _say("Nothing is indexed yet: `rag ingest PATH` first.")


@documents_app.command("remove")
def remove(
    sources: Annotated[
        list[str] | None, typer.Argument(help="As `rag documents` names them.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All documents.")] = False,
) -> None:
    """Take documents out of the index; the files stay."""
    if not sources and not everything:
        raise InputError("Name a document, or all of them with --all.", "sources")
    with _caller() as caller:
        gone = [d["source"] for d in caller.documents()] if everything else list(sources or [])
        caller.remove(gone)
    _say(f"Removed {len(gone)} of the documents." if len(gone) != 1 else f"Removed {gone[0]}.")


@documents_app.command("text")
def text(source: str) -> None:
    """Print the stored text of a document, the one that every offset points into."""
    with _caller() as caller:
        sys.stdout.write(caller.text(source))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 7860,
) -> None:
    """Serve the chat page and the endpoint. A folder that was never used gets the sample corpus."""
    from rag.models.embedder import SentenceTransformerEmbedder

    settings = _settings()
    embedder = SentenceTransformerEmbedder(settings.embedder)  # loads in its own process while this one still imports
    try:
        from rag.serving import run

        run(settings, embedder, host, port, sample=SAMPLE, questions=SAMPLE_QUESTIONS, say=_say)
    finally:
        embedder.close()


@eval_app.command("run")
def eval_run(
    questions: Annotated[
        Path | None, typer.Option(help="Your questions; default: the sample's, on the sample.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="An earlier run to compare with.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows, summary and report.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only this many questions, drawn with a fixed seed.", min=1)] = None,
    robust: Annotated[
        bool, typer.Option("--robust", help="Ask also among unrelated passages, and of changed ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask every question of a set and score the answers."""
    from datetime import datetime

    from rich.console import Console

    from eval.dataset import drawn, load_cases
    from eval.report import print_run
    from eval.robustness import robustness
    from eval.runner import evaluate

    cases = drawn(load_cases(questions or SAMPLE_QUESTIONS), limit)
    with contextlib.ExitStack() as stack:
        rag = stack.enter_context(_eval_rag(questions))
        texts = {d.source: rag.text(d.source) for d in rag.documents()}
        more = stack.enter_context(robustness(rag, cases, texts)) if robust else None
        run = evaluate(
            cases,
            lambda case: rag.ask(case.question, case.history),
            texts=texts,
            out=out or Path("eval-runs") / f"{datetime.now():%Y%m%d-%H%M%S}",
            model=rag.model,
            fingerprint=rag.fingerprint,
            against=against,
            questions=questions or SAMPLE_QUESTIONS,
            trace=rag.trace,
            more=more or (lambda _: {}),
        )
    if as_json:
        _print_json(run.as_dict())
    else:
        print_run(run, Console())
    raise typer.Exit(DROPPED if run.comparison and run.comparison.dropped else 0)


@eval_app.command("compare")
def eval_compare(a: Path, b: Path, as_json: Json = False) -> None:
    """Compare two runs question by question, with paired intervals."""
    from rich.console import Console

    from eval.report import print_comparison
    from eval.runner import compare_runs

    comparison = compare_runs(a, b)
    if as_json:
        _print_json(comparison.as_dict())
    else:
        print_comparison(comparison, Console())
    raise typer.Exit(DROPPED if comparison.dropped else 0)


@eval_app.command("init")
def eval_init(
    path: Annotated[Path, typer.Argument(help="A file or folder, indexed or not.")],
    questions: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="The question file; what it holds is kept.")] = Path("questions.jsonl"),
) -> None:
    """Draft questions from your documents, to be accepted, edited or rejected on a terminal, now or later."""
    from eval.drafting import counts, draft, places, read_documents, review
    from rag.models.llm import open_llm

    settings = _settings()
    accepted, still_open, _ = counts(out)
    failed: list[str] = []
    held = accepted + still_open
    if held < questions:
        documents, failed = read_documents(path, settings.max_file_mb * 1_000_000)
        llm = open_llm(settings)
        if llm is None:
            raise InputError(
                "Drafting questions needs a model: `rag weights` brings one, RAG_LLM names another.", "llm"
            )
        try:
            with _progress("Drafting", unit="questions") as report:
                held = draft(
                    places(documents), llm, out, questions, settings.check, lambda done, total: report(done, total, "")
                )
        finally:
            llm.close()
    if sys.stdin.isatty() and sys.stdout.isatty():
        review(out, input, print)
    accepted, still_open, rejected = counts(out)
    _say(f"{out}: {accepted} accepted, {still_open} open, {rejected} rejected.")
    if held < questions:
        _say("No more sentences gave a question that its own sentence answers.")
    if still_open:
        _say("`rag eval init` again, on a terminal, goes through the open ones; only accepted ones are asked.")
    for reason in failed:
        _say(f"Failed {reason}")
    raise typer.Exit(SOME_FAILED if failed else 0)


@eval_app.command("export")
def eval_export(
    run: Path,
    to: Annotated[str, typer.Option(help="ragas (JSON lines) or deepeval (a JSON list).")],
    out: Annotated[Path | None, typer.Option(help="File to write; default: stdout.")] = None,
) -> None:
    """Write a run in the form that another evaluator reads."""
    from eval.export import FORMS, export
    from eval.results import read_rows

    if to not in FORMS:
        raise InputError(f"No form {to!r}: choose one of {', '.join(FORMS)}.", "to")
    text = export(read_rows(run), to)
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror}.", "out") from error
    _say(f"Written to {out}.")


@bench_app.command("retrieval")
def bench_retrieval(
    dirs: Annotated[list[Path], typer.Argument(help="Folders with documents/ or corpus.jsonl, and questions.jsonl.")],
    questions: Annotated[str | None, typer.Option(help="Another question file of the set.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only this many questions of each set.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="What the sample of --limit is drawn with.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the indexes of the last run.")] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="BM25, dense and RRF beside it.")] = False,
    as_json: Json = False,
) -> None:
    """How high the gold passages of question sets rank, through this program's own ingest and search."""
    from rich.console import Console

    from eval.bench import print_retrieval, read_set, retrieval, retrieval_as_json

    settings = _settings()
    sets = [read_set(folder, questions, limit, seed) for folder in dirs]
    with _progress("Starting", unit="steps") as report:
        results = [
            retrieval(
                s, settings, resume=resume, baselines=baselines, progress=lambda now, done, n: report(done, n, now)
            )
            for s in sets
        ]
    if as_json:
        _print_json(retrieval_as_json(results))
    else:
        command = " ".join(["rag", *sys.argv[1:]])
        wide = None if sys.stdout.isatty() else 140
        print_retrieval(results, Console(width=wide), command=command, embedder=settings.embedder)


@bench_app.command("load")
def bench_load(
    seconds: Annotated[float, typer.Option(help="How long.", min=1)] = 120,
    readers: Annotated[int, typer.Option(help="How many search at the same time.", min=1)] = 50,
    answers: Annotated[int, typer.Option(help="How many ask the model at the same time.", min=0)] = 8,
    questions: Annotated[Path | None, typer.Option(help="A question file; default: the sample's.")] = None,
    as_json: Json = False,
) -> None:
    """Many callers at once on the running server of RAG_HOME: errors, mixed-up answers, health, memory."""
    from rich.console import Console

    from eval.bench_load import load, print_load
    from eval.bench_peers import memory_mb
    from eval.dataset import load_cases
    from rag.client import SERVER_FILE, running_server

    home = _settings().home
    if not running_server(home):
        raise InputError(f"No server runs on {home}. Start `rag serve` first.", "home")
    said = json.loads((home / SERVER_FILE).read_text(encoding="utf-8"))
    asked = [case.question for case in load_cases(questions or SAMPLE_QUESTIONS)]
    with _progress("Starting", unit="seconds") as report:
        result = load(
            said["address"],
            asked,
            key=said["token"],
            seconds=seconds,
            readers=readers,
            answers=answers,
            memory=lambda: memory_mb(said["pid"]),
            progress=lambda now, done, n: report(done, n, now),
        )
    if as_json:
        _print_json(result.as_dict())
    else:
        console = Console(width=None if sys.stdout.isatty() else 140)
        print_load(result, console, command=" ".join(["rag", *sys.argv[1:]]), readers=readers, answers=answers)
    raise typer.Exit(0 if result.sound else 1)


@bench_app.command("support")
def bench_support(
    paths: Annotated[list[Path], typer.Argument(help="Files of pairs; folders with corpus.jsonl and rated answers.")],
    limit: Annotated[int | None, typer.Option(help="Only this many pairs or answers of each.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="What the sample of --limit is drawn with.")] = 0,
    as_json: Json = False,
) -> None:
    """How well the support check tells what the evidence says from what it does not."""
    from rich.console import Console

    from eval.bench_support import print_support, support, support_as_json

    with _progress("Checking", unit="sets") as report:
        results = []
        for done, path in enumerate(paths):
            report(done, len(paths), path.name)
            results += support(path, limit, seed)
    if as_json:
        _print_json(support_as_json(results))
    else:
        wide = None if sys.stdout.isatty() else 140
        print_support(results, Console(width=wide), command=" ".join(["rag", *sys.argv[1:]]))


@bench_app.command("redteam")
def bench_redteam(
    file: Annotated[Path, typer.Argument(help="Questions; the documents lie beside it in the folder of its name.")],
    limit: Annotated[int | None, typer.Option(help="Only this many questions.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="What the sample of --limit is drawn with.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the last run stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Whether documents that give orders are obeyed, and whether they can still be asked."""
    from rich.console import Console

    from eval.bench_redteam import print_redteam, redteam, redteam_as_json

    settings = _settings()
    with _progress("Starting", unit="steps") as report:
        result = redteam(
            file,
            settings,
            limit=limit,
            seed=seed,
            resume=resume,
            progress=lambda now, done, n: report(done, n, now),
        )
    if as_json:
        _print_json(redteam_as_json(result, file.stem))
    else:
        wide = None if sys.stdout.isatty() else 140
        print_redteam(result, Console(width=wide), command=" ".join(["rag", *sys.argv[1:]]))


@bench_app.command("peers")
def bench_peers(
    dirs: Annotated[list[Path], typer.Argument(help="Folders with documents/ or corpus.jsonl, and questions.jsonl.")],
    questions: Annotated[str | None, typer.Option(help="Another question file of the set.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only this many questions of each set.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="What the sample of --limit is drawn with.")] = 0,
    peer: Annotated[list[str] | None, typer.Option(help="Only this one. May be repeated.")] = None,
    python: Annotated[Path | None, typer.Option(help="The peers' own Python; default: .venv-peers/bin/python.")] = None,
    as_json: Json = False,
) -> None:
    """The same questions through this program and through LangChain, LlamaIndex, Haystack and txtai."""
    from rich.console import Console

    from eval.bench import read_set
    from eval.bench_peers import PEERS, PYTHON, peers, peers_as_json, print_peers

    sets = [read_set(folder, questions, limit, seed) for folder in dirs]
    with _progress("Starting", unit="steps") as report:
        results = {
            s.name: peers(s, peer or PEERS, python=python or PYTHON, progress=lambda now, done, n: report(done, n, now))
            for s in sets
        }
    if as_json:
        _print_json(peers_as_json(results))
    else:
        wide = None if sys.stdout.isatty() else 200
        print_peers(results, Console(width=wide), command=" ".join(["rag", *sys.argv[1:]]))


@bench_app.command("speed")
def bench_speed(
    folder: Annotated[Path, typer.Argument(help="A folder with documents/ or corpus.jsonl, and questions.jsonl.")],
    sizes: Annotated[str, typer.Option(help="Passages in the indexes that are searched.")] = "1000,10000,100000,300000",
    limit: Annotated[int, typer.Option(help="How many questions are searched for.", min=1)] = 200,
    out: Annotated[Path | None, typer.Option(help="Folder for speed.json and the plot.")] = None,
    as_json: Json = False,
) -> None:
    """What ingest, search, embedding and start-up take, and how search grows with the index."""
    from rich.console import Console

    from eval.bench import read_set
    from eval.bench_speed import print_speed, speed, write_speed

    settings = _settings()
    try:
        wanted = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        raise InputError(f"--sizes takes numbers with commas between them, not {sizes!r}.", "sizes") from None
    questions = read_set(folder, limit=limit)
    with _progress("Starting", unit="steps") as report:
        result = speed(questions, settings, wanted, lambda now, done, n: report(done, n, now))
    if out:
        write_speed(result, out)
    if as_json:
        _print_json(result.as_dict())
    else:
        command = " ".join(["rag", *sys.argv[1:]])
        wide = None if sys.stdout.isatty() else 160
        print_speed(result, Console(width=wide), command=command, embedder=settings.embedder)


@bench_app.command("memory")
def bench_memory(
    path: Annotated[Path | None, typer.Argument(help="A file or folder to ingest.")] = None,
    text_mb: Annotated[
        int | None, typer.Option(help="Instead of PATH, one text of so many MB, of the sample's words.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """How much memory an ingest takes beside its vectors, which are made here, not embedded."""
    from rich.console import Console

    from eval.bench_memory import memory, memory_of_text, print_memory

    with _progress("Ingesting", unit="runs") as report:
        report(0, 1, str(path or f"{text_mb} MB"))
        if path is not None and text_mb is None:
            result = memory(path)
        elif text_mb is not None and path is None:
            result = memory_of_text(SAMPLE, text_mb)
        else:
            raise InputError("Give either a file or folder, or --text-mb.", "path")
    if as_json:
        _print_json(result.as_dict())
    else:
        wide = None if sys.stdout.isatty() else 140
        print_memory(result, Console(width=wide), command=" ".join(["rag", *sys.argv[1:]]))


@bench_app.command("answers")
def bench_answers(
    dirs: Annotated[list[Path], typer.Argument(help="Folders with documents/ or corpus.jsonl, and questions.jsonl.")],
    questions: Annotated[str | None, typer.Option(help="Another question file of the set.")] = None,
    closed: Annotated[
        bool, typer.Option("--closed", help="Each question is answered from its own passages alone.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Beside it, what the model alone says when told that it may refuse.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="Only this many questions of each set, half of them answerable.", min=1)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the last run stopped.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the rows; default: bench/answers in RAG_HOME.")] = None,
    as_json: Json = False,
) -> None:
    """How right the answers to question sets are, how well they are cited, and what is refused."""
    from rich.console import Console

    from eval.bench_answers import answers, answers_as_json, print_answers, read_answer_set

    settings = _settings()
    sets = [read_answer_set(folder, questions, limit) for folder in dirs]
    rows = out or settings.home / "bench" / "answers"
    with _progress("Starting", unit="steps") as report:
        results = [
            answers(
                s,
                settings,
                out=rows,
                given=closed,
                plain=plain,
                resume=resume,
                progress=lambda now, done, n: report(done, n, now),
            )
            for s in sets
        ]
    if as_json:
        _print_json(answers_as_json(results))
    else:
        wide = None if sys.stdout.isatty() else 140
        print_answers(results, Console(width=wide), command=" ".join(["rag", *sys.argv[1:]]))
    failed = sum(row.error is not None for result in results for row in result.rows)
    if failed:
        _say(f"{failed} questions failed: see {rows}. --resume asks them again.")
    raise typer.Exit(FAILED if failed else 0)


@app.command()
def calibrate(
    questions: Annotated[Path, typer.Argument(help="Questions on your index, some that it does not answer.")],
    max_false_refusal: Annotated[
        float, typer.Option(help="Largest share of answerable questions that may be refused.", min=0, max=1)
    ] = 0.12,
    write: Annotated[bool, typer.Option("--write", help="Put the thresholds into rag.toml.")] = False,
    out: Annotated[Path | None, typer.Option(help="Page with the plot; default: calibration.html in RAG_HOME.")] = None,
    as_json: Json = False,
) -> None:
    """Choose the thresholds RAG_GATE and RAG_CHECK, under which questions are refused."""
    from rich.console import Console

    from eval.calibration import calibrate as chosen_on
    from eval.calibration import print_calibration, probes, write_page
    from eval.dataset import load_cases
    from rag.config import write_settings

    cases = load_cases(questions)
    settings = _settings()
    # Nothing is refused before the check and all but bylines at it: no answer is written.
    with _eval_rag(questions, gate=0.0, check=1.0) as rag, _progress("Asking", unit="questions") as report:
        found = []
        for probe in probes(cases, lambda case: rag.ask(case.question, case.history)):
            found.append(probe)
            report(len(found), len(cases), "")
    result = chosen_on(found, max_false_refusal, settings.gate, settings.check)
    page = out or settings.home / "calibration.html"
    write_page(result, page, questions.name)
    if as_json:
        _print_json(result.as_dict())
    else:
        print_calibration(result, Console())
        _say(f"Plot: {page}")
    if write:
        thresholds = {"gate": result.chosen.gate, "check": result.chosen.check}
        _say(f"Written to {write_settings(settings.home, thresholds)}.")
        for name in ("RAG_GATE", "RAG_CHECK"):
            if os.environ.get(name):
                _say(f"{name} is set in the environment and goes before rag.toml.")


@app.command()
def weights() -> None:
    """Bring the weights of the local model and verify them."""
    from rag.models.weights import SIZE, fetch_weights, weights_ready

    models = _settings().models
    if weights_ready(models):
        _say(f"The model is in {models}, verified.")
        return
    _say(f"Fetching the model, {SIZE / 1e9:.1f} GB, into {models} …")
    with _progress("Fetching the model", unit="bytes") as report:
        path = fetch_weights(models, lambda done: report(done, SIZE, ""))
    _say(f"The model is in {path}, verified.")


@app.command()
def mcp() -> None:
    """Serve `ask`, `search` and `read_passage` over stdin and stdout, for programs that speak MCP."""
    from rag.mcp import mcp_server

    with _caller() as caller:
        mcp_server(caller).run("stdio")


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        Literal["read", "write", "admin"], typer.Option(help="write: may also bring in and remove documents.")
    ] = "read",
    per_minute: Annotated[int | None, typer.Option(help="Most requests a minute.", min=1)] = None,
) -> None:
    """Make a key. It is printed once and kept only as a hash."""
    from rag.keys import Keys

    print(Keys(_settings().home).add(name, scope, per_minute))
    _say("Keep it now: it is not shown again. From here on the server lets nobody in without a key.")


@keys_app.command("list")
def keys_list(as_json: Json = False) -> None:
    """Names, scopes and limits."""
    from rag.keys import Keys

    keys = Keys(_settings().home).all()
    if as_json:
        _print_json(
            {"keys": [{"name": k.name, "scope": k.scope, "per_minute": k.per_minute, "made": k.made} for k in keys]}
        )
        return
    for k in keys:
        print(f"{k.name}  {k.scope}  {f'{k.per_minute} a minute' if k.per_minute else 'no limit'}  since {k.made}")
    if not keys:
        _say("There are no keys: `rag keys add NAME` makes one.")


@keys_app.command("revoke")
def keys_revoke(name: str) -> None:
    """Take a key back; a running server heeds it at once."""
    from rag.keys import Keys

    Keys(_settings().home).revoke(name)
    _say(f"Revoked {name}.")


@app.command()
def config(as_json: Json = False) -> None:
    """Print every setting, its value and where it came from."""
    from rag.config import PREFIX, explain_settings

    origins = explain_settings()
    if as_json:
        _print_json({o.name: {"value": _plain(o.value), "origin": o.origin} for o in origins})
        return
    for o in origins:
        print(f"{PREFIX}{o.name.upper()} = {_plain(o.value)}  ({o.origin})\n    {o.description}")


@doctor_app.callback()
def doctor(context: typer.Context) -> None:
    """Check that all that an answer needs is in place, and say what to do where it is not."""
    if context.invoked_subcommand:
        return
    from rag.doctor import examine

    findings = examine(_settings())
    for finding in findings:
        print(
            f"{'ok  ' if finding.ok else 'MISS'}  {finding.what}" + ("" if finding.ok else f"\n      {finding.remedy}")
        )
    raise typer.Exit(0 if all(f.ok for f in findings) else FAILED)


@doctor_app.command("miss")
def doctor_miss(
    question: Annotated[str, typer.Option(help="What was asked.")],
    expect: Annotated[str, typer.Option(help="A sentence of the documents that the answer should rest on.")],
    as_json: Json = False,
) -> None:
    """Say where a sentence was lost on its way into the answer."""
    _check(question)
    with _caller() as caller:
        found = caller.diagnose(question, expect)
    if as_json:
        _print_json(found)
        return
    for step in found["steps"]:
        print(f"{'ok' if step['ok'] else 'no':4}{step['name']}: {step['found']}")
    print(f"\nLost: {found['stage']}. {found['remedy']}" if found["remedy"] else "\nThe answer rests on it.")
    _say(f"\nThe answer: {found['text']}")


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app(prog_name="rag")
    except SystemExit as stop:
        if stop.code == STOPPED:
            _say("Stopped. What was finished is kept.")
        raise
    except KeyboardInterrupt:
        _say("Stopped.")
        sys.exit(STOPPED)
    except RagError as error:
        _say(f"Error: {error}")
        sys.exit(BAD_INPUT if isinstance(error, InputError) else FAILED)
    finally:
        _flush()


# -- what the commands share --------------------------------------------------------------------------------------


def _settings() -> "Settings":
    from rag.config import load_settings

    return load_settings()


@contextlib.contextmanager
def _caller() -> "Iterator[Caller]":
    from rag.client import connect

    settings = _settings()
    caller = connect(settings)
    try:
        if caller.outdated:
            _say(caller.outdated)
        yield caller
    finally:
        caller.close()


def _follow(caller: "Caller", paths: list[Path], show: Callable[[dict[str, Any]], None]) -> None:
    """Ingests whatever changes under the folders, without end. What fails is told, and tried again when it changes."""
    from watchfiles import watch

    from rag.loading import settled

    roots = [settled(path) for path in paths]
    changed: set[Path] | None = None  # None: all of it, once the watcher runs, so that no change falls between
    for changes in watch(*roots, watch_filter=None, step=SETTLED_MS, rust_timeout=SETTLED_MS, yield_on_timeout=True):
        if changed is not None:
            if not changes:
                continue
            changed |= {Path(path) for _, path in changes}
        try:
            with _progress("Reading") as report:
                result = caller.ingest(roots, True, report, changed)
        except RagError as error:
            if changed is None:
                raise
            _say(f"Error: {error}")
            continue
        if changed is None:
            show(result)
            _say(f"Following {', '.join(map(str, paths))}. Ctrl-C ends it.")
        elif any(result[name] for name in ("added", "updated", "removed", "failed")):
            show(result)
        changed = set()


@contextlib.contextmanager
def _eval_rag(questions: Path | None, **changed: float) -> "Iterator[Rag]":
    """The user's index for the user's questions; for the sample's, the sample in a temporary home.

    `changed`: settings with other values.
    """
    import tempfile

    from rag.pipeline import Rag

    settings = _settings().model_copy(update=changed)
    if questions:
        with Rag.open(settings) as rag:
            yield rag
        return
    with (
        tempfile.TemporaryDirectory(prefix="footnote-eval-") as folder,
        Rag.open(settings.model_copy(update={"home": Path(folder)})) as rag,
    ):
        rag.ingest([SAMPLE])
        yield rag


@contextlib.contextmanager
def _progress(title: str, unit: str = "files") -> Iterator[Callable[[int, int, str], None]]:
    """A bar on a terminal; without one, nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    amount = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None, now="")
        yield lambda done, total, now: bar.update(task, completed=done, total=total, now=now)


def _flush() -> None:
    """A reader that left early (`| head`) is no error, also not when Python flushes once more at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check(question: str) -> None:
    """What the pipeline checks as well, before the models are loaded for nothing."""
    if not question.strip():
        raise InputError("The question is empty.")
    try:
        question.encode()
    except UnicodeEncodeError:
        raise InputError("The question is not valid UTF-8.") from None
    if len(question) > QUESTION_CHARACTERS:
        raise InputError(f"The question has {len(question):,} characters; at most {QUESTION_CHARACTERS:,} are read.")


def _read_history(path: Path | None) -> list[Any]:
    from rag.types import Message

    if path is None:
        return []
    try:
        turns = [(turn["role"], turn["content"]) for turn in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"Cannot read the history {path}: {error!r}. It must be {HISTORY_FORM}.", "history") from error
    if any(role not in ("user", "assistant") or not isinstance(content, str) for role, content in turns):
        raise InputError(f"Cannot use the history {path}: it must be {HISTORY_FORM}.", "history")
    return [Message(role, content) for role, content in turns]


def _last(events: Iterator[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    for name, data in events:
        if name == "done":
            return data
    raise RagError("The answer broke off.")


def _show_stream(events: Iterator[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Prints the answer as it comes to a terminal, and whole to a pipe or file, where nothing can be taken back.

    Where the last check takes back what was shown, that is said and the final text follows.
    """
    shown, live = "", sys.stdout.isatty()
    for name, data in events:
        if name == "retrieved":
            _say(f"Reading {len(data['passages'])} passages …") if sys.stderr.isatty() else None
        elif name == "delta" and live:
            shown += data["text"]
            print(data["text"], end="", flush=True)
        elif name == "done":
            if shown.strip() != data["text"]:
                print(f"\n\nAfter the last check:\n{data['text']}" if shown else data["text"], end="")
            print()
            return data
    raise RagError("The answer broke off.")


def _print_sources(answer: dict[str, Any]) -> None:
    _say("")
    if answer["standalone_question"] != answer["question"]:
        _say(f"Understood as: {answer['standalone_question']}")
    for c in answer["citations"]:
        _say(f"[{c['number']}] {_place(c)} ({c['support']})\n    “{' '.join(c['quote'].split())}”")
    if answer["status"] == "not_in_documents":
        _say("Nearest passages:")
        for p in answer["passages"][:3]:
            _say(f"  - {_place(p)}: {' '.join(p['text'].split())[:160]}…")
    for s in answer["sentences"]:
        if s["support"] in ("partial", "unsupported"):
            _say(f"{s['support'].capitalize()}: {s['text']}")
    if answer["missing"]:
        _say(f"Not answered: {answer['missing']}")
    for note in answer["notes"]:
        _say(note)


def _print_dry(result: dict[str, Any]) -> None:
    for done, what in (("added", "add"), ("updated", "update"), ("removed", "remove")):
        for source in result[done]:
            print(f"{what:8}{source}")
    _print_ingest(result)
    _say("Nothing was changed: this was a dry run.")


def _print_ingest(result: dict[str, Any]) -> None:
    counts = ", ".join(f"{len(result[name])} {name}" for name in ("added", "updated", "unchanged", "removed", "failed"))
    idle = not any(result[name] for name in ("added", "updated", "removed", "failed"))
    print(f"Nothing to do: {counts}." if idle else f"{counts}.")
    for skipped in result["skipped"]:
        _say(f"Passed over {skipped['path']}: {skipped['reason']}")
    for failed in result["failed"]:
        _say(f"Failed {failed['path']}: {failed['reason']}")


def _place(item: dict[str, Any]) -> str:
    page = f", page {item['page']}" if item["page"] else ""
    sheet = f", sheet {item['sheet']}" if item["sheet"] else ""
    row = _rows(item["rows"] if "rows" in item else [item["row"]])
    heading = f", {' > '.join(item['heading'])}" if item["heading"] and list(item["heading"]) != [item["sheet"]] else ""
    return f"{item['source']}{page}{sheet}{row}{heading}"


def _rows(rows: list[int | None]) -> str:
    """Of a citation one row or None, of a passage those of its sentences."""
    if not rows or rows[0] is None:
        return ""
    return f", row {rows[0]}" if rows[0] == rows[-1] else f", rows {rows[0]}–{rows[-1]}"


def _plain(value: object) -> Any:
    """A setting as JSON; keys, and passwords in addresses, are not shown."""
    if value is None or isinstance(value, int | float):
        return value
    return "(set)" if "Secret" in type(value).__name__ else re.sub(r"//[^/@]*@", "//…@", str(value))


def _print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
