"""The view of the documents -> HTML, pure: what is stored, and what in it speaks to a model instead of its reader."""

from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from rag.index import Stored
from rag.screening import FLAGS
from ui.render import count, esc

SHOWN = 1000  # documents that the list shows one by one
QUOTED = 3  # flags of a document that are quoted
PLACE = (
    '<section class="fn-documents" aria-label="Documents"><h2>Documents</h2>'
    '<div id="fn-drop"><p>Drop files, folders or zip archives here, or '
    '<button type="button" data-choose="fn-files">choose files</button> '
    '<button type="button" data-choose="fn-folder">choose a folder</button></p>'
    "<small>PDF, Word, PowerPoint, Excel, text, Markdown, web pages, books, notebooks, mail, JSON, CSV, and archives of them</small>"
    '<input type="file" id="fn-files" multiple hidden><input type="file" id="fn-folder" webkitdirectory hidden></div>'
    '<ul id="fn-uploads" aria-label="Uploads" aria-live="polite"></ul><div id="fn-stored"></div></section>'
)


def render_documents(
    documents: Sequence[Stored] | None, size_of: Callable[[str], int | None], *, may_write: bool = True
) -> str:
    """A row for each document. None: not known yet. `size_of`: of the file at a path, in bytes; None where it is gone."""
    if documents is None:
        return '<p class="fn-empty" data-wait="true">The index is being opened…</p>'
    told = (
        ""
        if may_write
        else '<p class="fn-empty" data-read-only="true">Your key may read, and not change documents.</p>'
    )
    if not documents:
        return f'{told}<p class="fn-empty">Nothing is indexed yet.</p>'
    rows = "".join(_row(d, size_of(d.path), may_write) for d in documents[:SHOWN])
    more = len(documents) - SHOWN
    rest = (
        f'<p class="fn-empty">and {count(more, "more document")}; <code>rag documents</code> lists all</p>'
        if more > 0
        else ""
    )
    passages = count(sum(d.passages for d in documents), "passage")
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Document", "Size", "Passages", "Flags"))
    return (
        f"{told}<table><caption>{count(len(documents), 'document')}, {passages}</caption>"
        f'<thead><tr>{head}<th scope="col"><span class="fn-unseen">What can be done</span></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{rest}"
    )


def _row(d: Stored, size: int | None, may_write: bool) -> str:
    title, source = esc(d.title or d.source), esc(d.source)
    named = f'<a href="/v1/documents/text?{_query(d.source)}" target="_blank" dir="auto">{title}</a>'
    held = "file is gone" if size is None else _bytes(size)
    buttons = (
        f'<button type="button" data-do="again" title="Read its file again" aria-label="Read {title} again">Read again</button>'
        f'<button type="button" data-do="remove" aria-label="Delete {title}">Delete</button>'
        if may_write
        else ""
    )
    return (
        f'<tr data-source="{source}" data-title="{title}"><td>{named}<small dir="auto">{source}</small></td><td>{held}</td>'
        f'<td>{d.passages:,}</td><td>{_flags(d)}</td><td>{buttons}<p class="fn-told" role="status"></p></td></tr>'
    )


def _flags(d: Stored) -> str:
    if not d.flags:
        return ""
    kinds = Counter(flag.kind for flag in d.flags)
    said = ", ".join(f"{FLAGS[kind]}{f' ({n})' if n > 1 else ''}" for kind, n in kinds.items())
    quotes = "".join(f"<li><q>{esc(flag.quote[:200])}</q></li>" for flag in d.flags[:QUOTED])
    return f"<details><summary>{said}</summary><ul>{quotes}</ul></details>"


def _bytes(size: int) -> str:
    for unit, one in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= one:
            return f"{size / one:,.1f} {unit}"
    return f"{size} B"


def _query(source: str) -> str:
    return esc(urlencode({"source": source.encode("utf-8", "replace").decode()}))
