"""The list of documents, read back with a parser."""

from rag.index import Stored
from rag.types import Flag
from tests.test_ui_render import Node, Tree
from ui.documents import SHOWN, render_documents
from ui.words import WORDS

WORDS_EN = WORDS["en"]


def stored(source: str, title: str = "", flags: tuple[Flag, ...] = ()) -> Stored:
    return Stored(source, title, 3, 10, "0" * 64, f"/x/{source}", "/x", flags)


def tree(documents: list[Stored] | None, sizes: list[int | None], *, writes: bool = True, search: str = "") -> Node:
    html = render_documents(documents, sizes, WORDS_EN, writes=writes, search=search)
    return Tree(f"<div>{html}</div>").open[0]


def test_each_document_has_its_size_passages_and_flags() -> None:
    flag = Flag("order", 0, 5, "<b>obey</b>")
    found = tree([stored("a/<one>.md", "One"), stored("two.md", flags=(flag,))], [12_345, None])
    assert found.one("caption").text == "What is indexed: 2 documents, 6 passages"
    first, second = found.all("tr")[1:]
    assert first.attributes["data-source"] == "a/<one>.md"
    assert first.one("a").attributes["href"] == "/v1/documents/text?source=a%2F%3Cone%3E.md"
    assert [cell.text for cell in first.all("td")[:3]] == ["12 kB", "3", "none"]
    assert [cell.text for cell in second.all("td")[:2]] == ["file gone", "3"]
    assert second.one("summary").text == "1 flag"
    assert second.one("q").text == "<b>obey</b>"
    assert [button.attributes["title"] for button in first.all("button")] == [
        "Read the file of One again",
        "Delete One",
    ]


def test_who_may_not_write_sees_no_buttons() -> None:
    found = tree([stored("one.md")], [1], writes=False)
    assert found.all("button") == []
    assert found.one("table").attributes["data-writes"] == "false"
    assert "a key of the scope write" in found.one("p").text


def test_an_empty_list_says_why_it_is_empty() -> None:
    assert tree(None, []).one("p").attributes["data-wait"] == "true"
    assert tree([], []).text == "Nothing is indexed yet."
    assert tree([], [], search="x").text == "No document has these words in its name or title."


def test_of_very_many_documents_the_rest_is_counted() -> None:
    found = tree([stored(f"{n}.md") for n in range(SHOWN + 5)], [1] * SHOWN)
    assert len(found.all("tr")) == SHOWN + 1
    assert found.all("p")[0].text == "and 5 more: search for them"
