"""What stands at the side of the chat -> HTML, pure: conversations, and the sources that may be asked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rag.conversations import Conversation
from rag.index import Stored
from ui.render import esc
from ui.words import ENGLISH, Words

PICKED_FROM = 1000  # sources that the list shows one by one


@dataclass(slots=True)
class _Folder:
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    documents: list[Stored] = field(default_factory=list)

    def sources(self) -> int:
        return len(self.documents) + sum(folder.sources() for folder in self.folders.values())


def render_conversations(kept: Sequence[Conversation], search: str = "", words: Words = ENGLISH) -> str:
    """Links that page.js opens in place; followed in a tab of their own they open as well."""
    if not kept:
        return f'<p class="fn-empty">{words("none_found") if search else words("none_kept")}</p>'
    return f'<ul class="fn-kept">{"".join(_conversation(c, words) for c in kept)}</ul>'


def render_pick(documents: Sequence[Stored] | None, words: Words = ENGLISH) -> str:
    """A check box for each source and folder, all of them checked. None: not known yet."""
    if documents is None:
        return f'<p class="fn-empty" data-wait="true">{words("opening")}</p>'
    if not documents:
        return f'<p class="fn-empty">{words("nothing_indexed")}</p>'
    shown = documents[:PICKED_FROM]
    more = len(documents) - len(shown)
    rest = f'<p class="fn-empty" data-more="true">{words.count("more_source", more)}</p>' if more else ""
    return f'<ul class="fn-tree">{_branch(_tree(shown), "", words)}</ul>{rest}'


def _conversation(c: Conversation, words: Words) -> str:
    title, key = esc(c.title), esc(c.id)
    return (
        f'<li data-c="{key}"><a class="fn-open" href="/?c={key}" title="{title}" dir="auto">{title}</a>'
        f'<details class="fn-more"><summary aria-label="{esc(words("more_for", title=c.title))}">⋯</summary><div class="fn-menu">'
        f'<a href="/v1/conversations/{key}?format=markdown" download>{words("save_markdown")}</a>'
        f'<a href="/v1/conversations/{key}" download>{words("save_json")}</a>'
        f'<button type="button" class="fn-forget">{words("delete")}</button></div></details></li>'
    )


def _tree(documents: Iterable[Stored]) -> _Folder:
    root = _Folder()
    for document in documents:
        folder = root
        for name in document.source.split("/")[:-1]:
            folder = folder.folders.setdefault(name, _Folder())
        folder.documents.append(document)
    return root


def _branch(folder: _Folder, path: str, words: Words) -> str:
    folders = "".join(
        f"<li>{_box(f'{path}{name}/', words('folder', name=name))}<details><summary>{esc(name)} "
        f"<small>{inner.sources()}</small></summary><ul>{_branch(inner, f'{path}{name}/', words)}</ul></details></li>"
        for name, inner in folder.folders.items()
    )
    return folders + "".join(
        f"<li><label>{_box(d.source)}<span dir='auto' title='{esc(d.source)}'>{esc(d.title or d.source)}</span></label></li>"
        for d in folder.documents
    )


def _box(source: str, label: str = "") -> str:
    """With a `label` the box of a folder: the name of a document, which may be an address, can end with a slash too."""
    named = f' data-folder aria-label="{esc(label)}"' if label else ""
    return f'<input type="checkbox" checked data-source="{esc(source)}"{named}>'
