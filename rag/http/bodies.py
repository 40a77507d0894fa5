"""What requests may hold."""

from typing import Annotated

from pydantic import AfterValidator


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Half a character (a lone surrogate): not valid Unicode") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]
