"""Text brought to one form, so that two ways of writing the same thing compare equal.

Folded are case, accents, typographic marks, possessive endings, numbers in figures and in English or Spanish words,
percentages, amounts of dollars, and dates. Kept are the signs that make another number of the same figures: the minus of
-40, the point of 1.225, the half of 2½.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

CAPITAL = r"[^\W\d_a-zß-öø-ÿ]"  # for patterns: a letter that is no small one of those from a to ÿ


def _values(words: str, first: int = 0, step: int = 1) -> dict[str, int]:
    """The words between two bars have the same value, one step above the last ones."""
    groups = words.split("|")
    return {word: first + step * place for place, group in enumerate(groups) for word in group.split()}


_UNITS = _values(
    "zero cero|one uno|two dos|three tres|four cuatro|five cinco|six seis|seven siete|eight ocho|nine nueve"
)
# "once" is Spanish for eleven and an English word: it stays a word.
_TEENS = _values(
    "ten diez|eleven|twelve doce|thirteen trece|fourteen catorce|fifteen quince|sixteen dieciseis|"
    "seventeen diecisiete|eighteen dieciocho|nineteen diecinueve||veintiuno veintiun veintiuna|veintidos|veintitres|"
    "veinticuatro|veinticinco|veintiseis|veintisiete|veintiocho|veintinueve",
    first=10,
)
_TENS = _values(
    "twenty veinte|thirty treinta|forty cuarenta|fifty cincuenta|sixty sesenta|seventy setenta|eighty ochenta|"
    "ninety noventa",
    first=20,
    step=10,
)
_HUNDREDS = _values(
    "cien ciento|doscientos doscientas|trescientos trescientas|cuatrocientos cuatrocientas|quinientos quinientas|"
    "seiscientos seiscientas|setecientos setecientas|ochocientos ochocientas|novecientos novecientas",
    first=100,
    step=100,
)
_THOUSAND = {"thousand", "mil"}
_SCALES = {
    word: 10**power
    for power, words in {
        6: "million millions millon millones mn",
        9: "billion billions bn millardo millardos",
        12: "trillion trillions tn billon billones",  # the Spanish billion is the English trillion
    }.items()
    for word in words.split()
}
_MONEY_SUFFIXES = {"k": "thousand", "m": "million", "b": "billion"}
_ORDINALS = _values(
    "first primer primero primera|second segundo segunda|third tercer tercero tercera|fourth cuarto cuarta|"
    "fifth quinto quinta|sixth sexto sexta|seventh septimo septima|eighth octavo octava|ninth noveno novena|"
    "tenth decimo decima|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|"
    "nineteenth|twentieth",
    first=1,
)
_MONTH_NAMES = list(_values("january|february|march|april|may|june|july|august|september|october|november|december"))
_MESES = _values("enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre setiembre|octubre|noviembre|diciembre")
_MONTHS = {name: name for name in _MONTH_NAMES} | {mes: _MONTH_NAMES[place] for mes, place in _MESES.items()}
_SHORT_MONTHS = {month[:3]: month for month in _MONTH_NAMES} | {"sept": "september"}
_SHORT_MESES = {"ene": "january", "abr": "april", "ago": "august", "dic": "december"}
_DOLLARS = {"dollar", "dollars", "dolar", "dolares", "usd"}

_MINUS = "\u2212"  # before a figure; every other dash only joins or parts words
_SIGN = re.compile(r"(?<![^\s(\[])(?<!\d )-(?=\d)")
_SUPERSCRIPT = r"[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]"
_AREA = re.compile(rf"(?<![^\W\d_])([kcdm]?m|ft|mi|yd|in)([\u00b2\u00b3])(?!{_SUPERSCRIPT})")
_RAISED = re.compile(rf"([\u207a\u207b]?)({_SUPERSCRIPT}+)")
_FRACTION = re.compile(r"(?<![^\W\d_])(?:(?<![\d.,])(\d+) ?)?([\u00bc-\u00be\u2150-\u215e\u2189])")
# What tells the two languages from each other where a point is read.
_SPANISH = frozenset("el la los las de del que en un una y e se con por para es son era fue tiene mide costo".split())
_ENGLISH = frozenset("the of and to is are was were has had have with that by at from it its which for an".split())
_LONE_POINT = re.compile(r"(?<![\d.,])[1-9]\d{0,2}\.(?!000)\d{3}(?![.,]?\d)")

_TOKEN = re.compile(r"\u2212|\d+(?:[.,]\d+)*[^\W\d_]*|\w+|\$")
_NUMBER = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]*)")
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")


def fold(text: str, spanish: bool | None = None) -> str:
    """The folded words of the text, one space between them: "3 Dec. 1911" becomes "3 december 1911".

    `spanish`: whether "1.225" is the thousand of a Spanish text or the decimal of an English one. None: as the words of the
    text tell, and a thousand where they do not.
    """
    plain = _plain(text)
    if not (_reads_spanish(plain) if spanish is None else spanish):
        plain = _LONE_POINT.sub(r"\g<0>0", plain)  # four digits behind a point part no thousands
    return " ".join(_fold_dates(_fold_money(_fold_numbers(_TOKEN.findall(plain)))))


def contains(folded_text: str, phrase: str) -> bool:
    """Whether the phrase stands in a text that is already folded, as whole words.

    A phrase is often too short to tell its language: its points may be read either way.
    """
    readings = {fold(phrase), fold(phrase, spanish=False)}
    return any(folded and f" {folded} " in f" {folded_text} " for folded in readings)


def _reads_spanish(plain: str) -> bool:
    said = re.findall(r"[^\W\d_]+", plain)
    return sum(w in _SPANISH for w in said) >= sum(w in _ENGLISH for w in said)


def _plain(text: str) -> str:
    """Lower case without accents; signs that mean a word are written as that word."""
    text = re.sub(r"(?<=\d)(?:[\u00a0\u2009\u202f](?=\d{3}\b)| (?=000\b))", "", text)
    text = re.sub(r"(?<=\d)\.?[ºª]", "th", text)
    text = _RAISED.sub(_spell_raised, _AREA.sub(_spell_area, _FRACTION.sub(_spell_fraction, text.casefold())))
    text = unicodedata.normalize("NFKD", text)
    text = "".join(char for char in text if not unicodedata.combining(char))
    text = re.sub(r"[\u2018\u2019\u02bc`\u00b4]", "'", text)
    text = _SIGN.sub(_MINUS, text.replace(_MINUS, "-"))
    text = re.sub(r"[\u2010-\u2015]", "-", text)
    text = re.sub(r"(?<=0)'s\b", "s", text)  # a decade: 1990's
    text = re.sub(r"(?<=\w)'s\b", "", text)
    text = re.sub(r"\b(?:[^\W\d_]\.){2,}", lambda match: match[0].replace(".", "") + " ", text)
    text = re.sub(r"%|\bper cent\b|\bpor cien(?:to)?\b", " percent ", text)
    text = re.sub(r"\busd?\s*\$|\busd(?=\s*\d)", " $ ", text)
    return _ISO_DATE.sub(_spell_date, text)


def _spell_fraction(match: re.Match[str]) -> str:
    """2½ as 2.5000: behind four digits nobody looks for thousands. A third is written 0.33, as people do."""
    part = unicodedata.numeric(match[2])
    return f"{int(match[1] or 0) + round(part, 2 if part * 8 % 1 else 3):.4f}"


def _spell_area(match: re.Match[str]) -> str:
    power = "square" if match[2] == "\u00b2" else "cubic"
    return f" {power} {match[1]} "


def _spell_raised(match: re.Match[str]) -> str:
    """A power or the number of a footnote stands by itself: 10⁶ is not 106."""
    sign = "minus " if match[1] == "\u207b" else ""
    return f" {sign}{unicodedata.normalize('NFKD', match[2])} "


def _spell_date(match: re.Match[str]) -> str:
    year, month, day = (int(part) for part in match.groups())
    return f"{day} {_MONTH_NAMES[month - 1]} {year}" if 1 <= month <= 12 and 1 <= day <= 31 else match[0]


def _fold_numbers(tokens: Sequence[str]) -> list[str]:
    folded: list[str] = []
    at = 0
    while at < len(tokens):
        if ordinal := _ordinal(tokens, at):
            place, at = ordinal
            folded.append(f"{place}th")
        elif negative := _negative(tokens, at):
            value, at = negative
            folded.append(_figures(value))
        elif number := _number(tokens, at):
            value, at = number
            folded.append(_figures(value))
        else:
            folded.append(_literal(tokens[at]))
            at += 1
    return [word for word in folded if word != _MINUS]


def _ordinal(tokens: Sequence[str], at: int) -> tuple[int, int] | None:
    if tokens[at] in _ORDINALS:
        return _ORDINALS[tokens[at]], at + 1
    tens, unit = _TENS.get(tokens[at]), _ORDINALS.get(_token(tokens, at + 1), 0)
    return (tens + unit, at + 2) if tens and 0 < unit < 10 else None


def _number(tokens: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """The number that begins at this token, and where it ends: "2.7 million", "dos mil once", "a hundred"."""
    block = _digits_block(tokens, at) or _word_block(tokens, at)
    if block is None:
        return None
    value, at = block
    if half := _half(tokens, at):
        value, at = value + Decimal("0.5"), half
    scale = 1
    while factor := _SCALES.get(_token(tokens, at)):
        scale, at = scale * factor, at + 1
    value *= scale
    if scale == 1:
        return value, at
    if half := _half(tokens, at):
        return value + Decimal(scale) / 2, half
    # "one million five hundred thousand": the rest is spelt out and smaller than the scale.
    rest = _word_block(tokens, at)
    if rest and _token(tokens, rest[1]) not in _SCALES and _token(tokens, at) not in {"a", "an", "un"}:
        return value + rest[0], rest[1]
    return value, at


def _negative(tokens: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """The number below zero that begins at this token: "−40", "minus forty", "menos 40 grados" (but "al menos 40")."""
    if tokens[at] not in (_MINUS, "minus", "menos"):
        return None
    number = _number(tokens, at + 1)
    if number is None or (at and tokens[at] == "minus" and _number(tokens, at - 1)):
        return None
    value, end = number
    if tokens[at] == "menos" and (
        _token(tokens, at - 1) in {"al", "lo", "o"} or not _token(tokens, end).startswith("grado")
    ):
        return None
    return -value, end


def _digits_block(tokens: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    match = _NUMBER.fullmatch(_token(tokens, at))
    if match is None:
        return None
    figures, suffix = match.groups()
    following = suffix or _token(tokens, at + 1)
    if suffix in _MONEY_SUFFIXES and _token(tokens, at - 1) == "$":
        following = _MONEY_SUFFIXES[suffix]
    elif suffix and suffix not in _SCALES:
        return None
    scaled = following in _SCALES or following in _THOUSAND
    value = _decimal(figures, scaled)
    if value is None:
        return None
    if following in _THOUSAND:
        return value * 1000, at + (1 if suffix else 2)
    if suffix:
        return value * _SCALES[following], at + 1
    return value, at + 1


def _decimal(figures: str, scaled: bool) -> Decimal | None:
    """The value of figures with points or commas; None where they are no number ("1.5.9").

    A lone separator before three digits parts thousands. Before a scale word a point does so only in front of 000:
    "2.375 million" has decimals, "12.000 millones" has thousands.
    """
    if len(figures) > 25:
        return None
    head, *groups = re.split(r"[.,]", figures)
    separators = re.findall(r"[.,]", figures)
    if not groups:
        return Decimal(head)
    thousands = len(head) <= 3 and head != "0" and all(len(group) == 3 for group in groups)
    if len(groups) == 1 and separators[0] == "." and scaled and groups[0] != "000":
        thousands = False
    if thousands and len(set(separators)) == 1:
        return Decimal(head + "".join(groups))
    if len(groups) == 1:
        return Decimal(f"{head}.{groups[0]}")
    if len(set(separators[:-1])) == 1 and separators[-1] != separators[0] and all(len(g) == 3 for g in groups[:-1]):
        return Decimal(f"{head}{''.join(groups[:-1])}.{groups[-1]}")
    return None


def _word_block(tokens: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """A number below a million in words: [hundreds] [thousand [and] [hundreds]]."""
    first, following = _token(tokens, at), _token(tokens, at + 1)
    if first in {"a", "an", "un"} and following in _SCALES:
        return Decimal(1), at + 1
    if first == "mil":
        value = 1
    elif first == "a" and following == "thousand":
        value, at = 1, at + 1
    else:
        value, end = _hundreds(tokens, at)
        if end == at:
            return None
        at = end
    if _token(tokens, at) not in _THOUSAND:
        return Decimal(value), at
    at += 1
    rest, end = _tens(tokens, at + 1) if _token(tokens, at) == "and" else _hundreds(tokens, at)
    return Decimal(value * 1000 + rest), end if rest else at


def _hundreds(tokens: Sequence[str], at: int) -> tuple[int, int]:
    """A number below a thousand in words and where it ends; it ends where it began when there is none."""
    if hundreds := _HUNDREDS.get(_token(tokens, at)):
        rest, end = _tens(tokens, at + 1)
        return hundreds + rest, end
    value, end = (1, at + 1) if _token(tokens, at) == "a" else _tens(tokens, at)
    if end == at or _token(tokens, end) != "hundred":
        return _tens(tokens, at)
    end += 1
    rest, after = _tens(tokens, end + 1) if _token(tokens, end) == "and" else _tens(tokens, end)
    return value * 100 + rest, after if rest else end


def _tens(tokens: Sequence[str], at: int) -> tuple[int, int]:
    token = _token(tokens, at)
    if token in _UNITS or token in _TEENS:
        return _UNITS.get(token, _TEENS.get(token, 0)), at + 1
    if token not in _TENS:
        return 0, at
    after = at + 2 if _token(tokens, at + 1) == "y" else at + 1
    unit = _token(tokens, after)
    if unit in {"un", "una"} and after == at + 2:
        return _TENS[token] + 1, after + 1
    return (_TENS[token] + _UNITS[unit], after + 1) if _UNITS.get(unit) else (_TENS[token], at + 1)


def _half(tokens: Sequence[str], at: int) -> int | None:
    """Where "and a half" or "y medio" ends."""
    if list(tokens[at : at + 3]) == ["and", "a", "half"]:
        return at + 3
    return at + 2 if list(tokens[at : at + 2]) in (["y", "medio"], ["y", "media"]) else None


def _literal(token: str) -> str:
    match = _NUMBER.fullmatch(token)
    if match is None or not match[2]:
        return token
    value = _decimal(match[1], scaled=False)
    suffix = "th" if match[2] in {"st", "nd", "rd", "th"} else match[2]
    return token if value is None else f"{_figures(value)}{suffix}"


def _figures(value: Decimal) -> str:
    figures = format(value, "f")
    return figures.rstrip("0").rstrip(".") if "." in figures else figures


def _fold_money(tokens: Sequence[str]) -> list[str]:
    """Amounts as number and "dollar", whichever came first."""
    folded: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at] == "$" and _token(tokens, at + 1)[:1].isdigit():
            folded += [tokens[at + 1], "dollar"]
            at += 2
            continue
        if folded and folded[-1][:1].isdigit() and tokens[at] in {"de", "us"} and _token(tokens, at + 1) in _DOLLARS:
            at += 1
        folded.append("dollar" if tokens[at] in _DOLLARS else tokens[at])
        at += 1
    # "$15 million dollars" says it twice.
    return [token for place, token in enumerate(folded) if token != "dollar" or folded[place - 1 : place] != ["dollar"]]


def _fold_dates(tokens: Sequence[str]) -> list[str]:
    """Dates as day, month, year, so that "december 1911" and "1911" stay parts of "3 december 1911"."""
    folded: list[str] = []
    at = 0
    while at < len(tokens):
        date = _day_first(tokens, at) or _month_first(tokens, at)
        if date is None:
            folded.append(tokens[at])
            at += 1
            continue
        words, at = date
        year = at + 1 if _token(tokens, at) in {"of", "de", "del"} else at
        if re.fullmatch(r"\d{4}", _token(tokens, year)):
            words, at = [*words, tokens[year]], year + 1
        folded += words
    return folded


def _day_first(tokens: Sequence[str], at: int) -> tuple[list[str], int] | None:
    day = _day(tokens, at)
    at = at + 2 if _token(tokens, at + 1) in {"of", "de"} else at + 1
    token = _token(tokens, at)
    month = _MONTHS.get(token) or _SHORT_MONTHS.get(token) or _SHORT_MESES.get(token)
    return ([day, month], at + 1) if day and month else None


def _month_first(tokens: Sequence[str], at: int) -> tuple[list[str], int] | None:
    day = _day(tokens, at + 1)
    # A short name counts only beside a figure: "dec" alone may be anything.
    short = _SHORT_MONTHS.get(tokens[at]) if _token(tokens, at + 1)[:1].isdigit() else None
    month = _MONTHS.get(tokens[at]) or short
    if month is None:
        return None
    return ([day, month], at + 2) if day else ([month], at + 1)


def _day(tokens: Sequence[str], at: int) -> str | None:
    day = _token(tokens, at).removesuffix("th")
    return day if day.isdecimal() and 1 <= int(day) <= 31 else None


def _token(tokens: Sequence[str], at: int) -> str:
    return tokens[at] if 0 <= at < len(tokens) else ""
