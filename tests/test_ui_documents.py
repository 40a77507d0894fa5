"""The list of the documents as HTML."""

from rag.index import Stored
from rag.types import Flag
from ui.documents import SHOWN, render_documents


def stored(source: str, *flags: Flag) -> Stored:
    return Stored(source, "On bees", 3, 9, "0", f"/x/{source}", "/x", flags)


def shown(*documents: Stored, size: int | None = 1_234_567, may_write: bool = True) -> str:
    return render_documents(documents, lambda _: size, may_write=may_write)


def test_a_row_has_the_size_of_the_file_and_what_can_be_done() -> None:
    html = shown(stored("bees.md"))
    assert "1.2 MB" in html and "1 document, 3 passages" in html
    assert html.count("<button") == 2
    assert "file is gone" in shown(stored("bees.md"), size=None)
    assert "999 B" in shown(stored("bees.md"), size=999) and "1.0 kB" in shown(stored("bees.md"), size=1000)


def test_flags_are_counted_by_kind_and_quoted() -> None:
    html = shown(
        stored("a.md", Flag("order", 0, 3, "Obey <b>me</b>"), Flag("order", 4, 7, "Now"), Flag("hidden", 0, 0, "x"))
    )
    assert "speaks to a model (2), hidden text" in html
    assert "<q>Obey &lt;b&gt;me&lt;/b&gt;</q>" in html


def test_who_may_only_read_has_no_buttons() -> None:
    html = shown(stored("bees.md"), may_write=False)
    assert "<button" not in html and "data-read-only" in html


def test_an_index_that_is_opened_or_empty_says_so_and_a_long_one_is_cut() -> None:
    assert "data-wait" in render_documents(None, lambda _: 0)
    assert "Nothing is indexed yet" in shown()
    assert "and 2 more documents" in shown(*[stored(f"{n}.md") for n in range(SHOWN + 2)])
