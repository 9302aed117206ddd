"""Where secrets stand in a text: what bears an issuer's mark, and what stands where a password or a key does. Pure.

Nothing is matched over a whole text. Marks (`ghp_`, `password`) are looked for as they are, and only where one stands
a pattern with a limit is tried: 100 kB take a few ms, and no text takes more than linear time.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from rekall.secret_shapes import (
    COMMANDS,
    DUMMY_PARTS,
    DUMMY_WORDS,
    KEY_OWNERS,
    KINDS,
    LEAST_LETTERS,
    MIDDLE_SHAPES,
    NAME,
    NAME_STEMS,
    PLACEHOLDER,
    SHAPES,
    WEAK_MARKS,
    Lazy,
    Shape,
)

# A value is looked at so far; what goes on behind it belongs to it.
LONGEST_VALUE = 512

# Kinds that a name alone tells; a mark says more.
UNMARKED = frozenset(("password", "url-password", "secret", "token", "api-key", "secret-key"))
# Where a secret begins and ends, and its kind.
Span = tuple[int, int, str]

_PEM = Lazy(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = Lazy(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_PEM_LINE = Lazy(
    r"(?:[ \t>#|*\"'+-]|\\[nrt]|\r?\n){0,80}(?:[A-Za-z0-9+/=]{16,10000}"
    r"|(?:Proc-Type|DEK-Info|Comment|Version): ?[^\n]{0,200})"
)
_BASE64 = Lazy(r"[A-Za-z0-9+/]{40,100000}={0,2}")
_URL_USER = Lazy(r"://([^\s/:@\"'<>]{0,100}):([^\s/@\"'<>]{1,200})@")
_LOGIN = Lazy(r"(?:-u|--user|--basic -u)[ =]?[\"']?[\w.@+-]{1,60}:([^\s\"':@/]{3,100})(?=[\s\"']|\Z)")
_BETWEEN = Lazy(  # a name and its value: `_2 = "`, `": '`, ` [None]: `, ` is `
    r"(?:[_-]?\d{1,2})?(?P<quote>[\"'\]]{0,2})[ \t]{0,4}(?:\[[^\]\n]{0,24}\])?[ \t]{0,4}"
    r"(?P<sign>:=|=>|==?|:|\bis[ \t:]{1,3}|\best[ \t:]{1,3}|>)[ \t]{0,4}(?P<open>[\"'`]?)"
)
_FLAG = Lazy(r"[ \t]{1,4}(?P<open>[\"']?)")
_QUOTED = {mark: Lazy(rf"[^{mark}\n]{{1,{LONGEST_VALUE}}}") for mark in "\"'`"}
_BARE = Lazy(rf"[^\s\"'`<>]{{1,{LONGEST_VALUE}}}")
_REST = Lazy(r"[^\s\"'`<>]*")
_SCHEME = Lazy(r"(?:bearer|basic|token|apikey|digest)[ \t]{1,3}", re.IGNORECASE)
_TOKEN = Lazy(r"[A-Za-z0-9_+/=-]{20,200}")
_AWS_SECRET = Lazy(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_IDENTIFIER = Lazy(r"[A-Za-z_@][A-Za-z_]*(?:[.:/-]{1,2}[A-Za-z_]+)*[!?]?")
_PATH = Lazy(r"[/.~]|[a-z+]{2,10}://")
_UUID = Lazy(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_DIGIT, _LETTER, _CAPITAL, _SMALL = (Lazy(p) for p in (r"\d", r"[^\W\d_]", "[A-Z]", "[a-z]"))
_DIGITS = Lazy(r"\d+")
_MARKS_IN_VALUE = Lazy(r"[^\w \-.:/@]")


def spans_of(text: str) -> list[Span]:
    """Return where secrets stand in `text`, in their order; of two over each other the one that begins first."""
    low = text.lower()
    if len(low) != len(text):  # a capital that becomes two letters
        low = "".join(c.lower() if c.isascii() else c for c in text)
    spans = {*_keys(text), *_tokens(text), *_in_urls(text), *_beside_names(text, low)}
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0], -span[1], span[2] in UNMARKED, span[2])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
    return found


# --- what bears a mark ---


def _places(text: str, mark: str) -> Iterator[int]:
    place = text.find(mark)
    while place >= 0:
        yield place
        place = text.find(mark, place + 1)


def _is_inside_word(text: str, place: int) -> bool:
    before = text[max(0, place - 3) : place]
    if not before or not (before[-1] == "_" or (before[-1].isalnum() and before.isascii())):
        return False
    return before[-2:] not in ("\\n", "\\r", "\\t") and not before.startswith("%")


def _tokens(text: str) -> Iterator[Span]:
    """Look for marks in the words that are long enough for a token first: to cut a text at its blanks is cheap."""
    long_words = " ".join(word for word in text.split() if len(word) >= LEAST_LETTERS)
    if not long_words:
        return
    for shape in SHAPES:
        for mark in shape.marks:
            if mark in long_words:
                yield from _marked(text, shape, mark)
    for least, most, shape in MIDDLE_SHAPES:
        for place in _places(text, shape.marks[0]):
            for start in range(place - most, place - least + 1):
                match = shape.pattern.match(text, start) if start >= 0 and not _is_inside_word(text, start) else None
                if match:
                    yield match.start(), match.end(), shape.kind
                    break


def _marked(text: str, shape: Shape, mark: str) -> Iterator[Span]:
    done = 0
    for place in _places(text, mark):
        if place < done or (mark in WEAK_MARKS and _is_inside_word(text, place)):
            continue
        match = shape.pattern.match(text, place)
        if not match or _is_dull(match[0]):
            continue
        done = match.end()
        yield match.start(), done, shape.kind
        if shape.kind == "aws-key":  # its other half is often close by, in a list or a CSV
            for secret in _AWS_SECRET.finditer(text, done, done + 160):
                if _is_random(secret[0], least=3.5):
                    yield secret.start(), secret.end(), "secret-key"


def _is_dull(token: str) -> bool:
    """Tell whether a token is one of the documentation: `ghp_xxxxxxxx…`."""
    longest = max(token, key=token.count)
    return token.count(longest) > len(token) * 2 // 3


def _keys(text: str) -> Iterator[Span]:
    """Find private keys: PEM with or without its end, also in one line; PuTTY's; base 64 of PEM."""
    for place in _places(text, "-----BEGIN "):
        begin = _PEM.match(text, place)
        if begin:
            yield from _pem(text, begin)
    for place in _places(text, "LS0tLS1CRUdJTi"):
        match = _BASE64.match(text, place) if _holds_private_key(text[place : place + 88]) else None
        if match:
            yield match.start(), match.end(), "private-key"
    for place in _places(text, "Private-Lines:"):
        end = _end_of_lines(text, text.find("\n", place))
        if end > place:
            yield place, end, "private-key"


def _pem(text: str, begin: re.Match[str]) -> Iterator[Span]:
    following = text.find("-----BEGIN ", begin.end())
    end = _PEM_END.search(text, begin.end(), following if following >= 0 else len(text))
    lines_end = _end_of_lines(text, begin.end())
    if end and (lines_end > begin.end() or _TOKEN.search(text, begin.end(), end.start())):
        yield begin.start(), end.end(), "private-key"
    elif lines_end > begin.end():
        yield begin.start(), lines_end, "private-key"


def _end_of_lines(text: str, place: int) -> int:
    """Return where lines of base 64 end that begin at `place`."""
    while place >= 0:
        match = _PEM_LINE.match(text, place)
        if not match:
            return place
        place = match.end()
    return place


def _holds_private_key(text: str) -> bool:
    import binascii

    try:
        return b"PRIVATE KEY" in binascii.a2b_base64(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return False


# --- what stands where a secret does ---


def _in_urls(text: str) -> Iterator[Span]:
    for place in _places(text, "://"):
        match = _URL_USER.match(text, place)
        if match and not _stands_for_one(match[2], least=3):
            yield match.start(2), match.end(2), "url-password"
    for mark in ("-u", "--user"):
        for place in _places(text, mark):
            match = None if _is_inside_word(text, place) else _LOGIN.match(text, place)
            if match and not _stands_for_one(match[1], least=4):
                yield match.start(1), match.end(1), "password"
    for mark, pattern in COMMANDS:
        for place in _places(text, mark):
            match = None if _is_inside_word(text, place) else pattern.match(text, place)
            if match and _has_digit_and_letter(match[1]) and not _stands_for_one(match[1], least=4):
                yield match.start(1), match.end(1), "password"


def _beside_names(text: str, low: str) -> Iterator[Span]:
    """Find the values of `PASSWORD=…`, `"api_key": "…"`, `--token …`, `Authorization: Bearer …` and their like."""
    done = 0
    for place in sorted(place for stem in NAME_STEMS for place in _places(low, stem)):
        name = NAME.match(low, place)
        if place < done or not name or not _is_name(text, low, place, name.end()):
            continue
        kind = "api-key" if low.startswith("key", place) else KINDS[low[place : place + 2]]
        span = _value_of(text, low, place, name.end(), kind)
        if span:
            done = span[1]
            yield span


def _is_name(text: str, low: str, start: int, end: int) -> bool:
    """Tell whether the name of a secret stands there, and no part of another word: `dbPassword`, not `bypass`."""
    after, before = text[end : end + 1], text[start - 1 : start]
    if after.isalpha():
        return False
    if low.startswith("key", start):
        return low.endswith(KEY_OWNERS, 0, start)
    if not before.isalnum():
        return True
    is_hump = text[start].isupper() and before.islower()
    is_long = end - start > 4
    return is_hump or before.isdigit() or (is_long and not low.startswith(("bearer", "auth"), start))


def _value_of(text: str, low: str, start: int, end: int, kind: str) -> Span | None:
    """Return where the value of the name that stands from `start` to `end` is, if it is a secret."""
    between = _BETWEEN.match(text, end)
    is_flag = False
    if not between:
        word = _word_before(text, start)
        is_flag = word.startswith("--") or low[start:end] == "bearer"
        between = _FLAG.match(text, end)
        if not between or not (is_flag or between["open"] or kind == "password"):
            return _loose(text, end, kind)
        if not is_flag and not between["open"]:
            return _loose(text, end, kind)
    place = between.end()
    scheme = _SCHEME.match(text, place)
    place = scheme.end() if scheme else place
    quote = between["open"]
    value = (_QUOTED[quote] if quote else _BARE).match(text, place)
    if not value:
        return None
    stop = value.end()
    if not quote:
        stop = _without_tail(text, start, place, stop)
    elif text[stop : stop + 1] != quote and stop - place < LONGEST_VALUE:
        return None  # an apostrophe
    found = text[place:stop]
    sign = between.groupdict().get("sign") or ""
    if scheme and len(found) >= 16 and not _stands_for_one(found, least=16):
        is_one = True
    elif sign.startswith(("is", "est")) or sign == ">":
        is_one = _has_digit_and_letter(found) and not _stands_for_one(found, least=8)
    else:
        is_assigned = sign == "=" and text[end : end + 1] == "="
        is_one = _is_secret(found, kind, bool(quote) or is_flag, is_assigned and text[start:end].isupper())
    if not is_one:
        return _loose(text, end, kind)
    if value.end() - place >= LONGEST_VALUE:
        rest = _REST.match(text, stop)
        stop = rest.end() if rest else stop
    return place, stop, kind


def _word_before(text: str, place: int) -> str:
    """Return what stands before `place` without a blank, 60 letters of it at most."""
    begin = max(0, place - 60)
    parts = text[begin:place].split()
    return parts[-1] if parts and not text[begin:place][-1:].isspace() else ""


def _without_tail(text: str, start: int, place: int, stop: int) -> int:
    """Return where a bare value ends: before the marks that close a sentence, a call or a URL's parameter."""
    if _word_before(text, start)[-40:].rpartition("&")[1] or "?" in _word_before(text, start):
        cut = text.find("&", place, stop)
        stop = cut if cut >= 0 else stop
    while stop > place and text[stop - 1] in ",;.)]}|\\:":
        stop -= 1
    return stop


def _is_secret(value: str, kind: str, is_quoted: bool, is_variable: bool) -> bool:
    """Tell whether a value beside a name is a secret, and no word, path, call or stand-in."""
    least = 6 if kind == "password" else 8
    if _stands_for_one(value, least):
        return False
    if " " in value and kind != "password":
        return False
    if _has_digit_and_letter(value):
        return not _is_code(value)
    if value.isdigit():
        return kind == "password" and (is_quoted or is_variable)
    if _MARKS_IN_VALUE.search(value):
        return not _is_code(value) and (is_quoted or is_variable)
    return is_variable and kind in ("password", "secret") and len(value) >= 8 and not _PATH.match(value)


def _has_digit_and_letter(value: str) -> bool:
    return _DIGIT.search(value) is not None and _LETTER.search(value) is not None


def _is_code(value: str) -> bool:
    """Tell whether a value is an expression: a call, a path, a variable, a member of something."""
    if _AWS_SECRET.fullmatch(value) or (len(value) >= 20 and _is_random(value, least=4.0)):
        return False
    if value[0] in "/~.@#&*\\|+=!?:-([{" and not value[1:].isalnum():
        return True
    if any(mark in value for mark in ("(", "[", "{", "::", "->", "://", "=>")):
        return True
    return bool(_IDENTIFIER.fullmatch(value)) or value.count("/") > 1


def _stands_for_one(value: str, least: int) -> bool:
    """Tell whether a value is too short, a variable, or one of the words that documentation has for a secret."""
    if len(value) < least or value[0] in "$%<{([*`" or len(set(value[:40])) < 4:
        return True
    low = value.lower()
    if low.startswith(PLACEHOLDER) or low.strip("_-!.'\"") in DUMMY_WORDS:
        return True
    is_long = len(value) >= 32 and _CAPITAL.search(value) and _SMALL.search(value) and _DIGIT.search(value)
    return len(value) < 80 and not is_long and any(part in low for part in DUMMY_PARTS)


def _loose(text: str, end: int, kind: str) -> Span | None:
    """Return a value of high entropy on the rest of the line, if the name is close to it."""
    line_end = text.find("\n", end, end + 260)
    for match in _TOKEN.finditer(text, end, line_end if line_end >= 0 else min(len(text), end + 260)):
        if match.start() - end > 40:
            return None
        if not _is_inside_word(text, match.start()) and _is_random(match[0], least=3.8):
            return match.start(), match.end(), kind
    return None


def _is_random(token: str, least: float) -> bool:
    """Tell whether a token looks as dice would make it, `least` bits a letter: no name, no path, no commit."""
    capitals, small, digits = len(_CAPITAL.findall(token)), len(_SMALL.findall(token)), _DIGITS.findall(token)
    if not (capitals and small and digits) or _UUID.fullmatch(token):
        return False
    is_mixed = len(digits) > 1 or (capitals > 0.3 * len(token) and small > 0.25 * len(token))  # names have few capitals
    if not is_mixed or (token.count("-") + token.count("_")) > len(token) // 6:
        return False
    counts = Counter(token)
    bits = -sum(n / len(token) * math.log2(n / len(token)) for n in counts.values())
    return bits >= least
