"""Text of the catalogue as an assistant may see it: visible characters, in one line, bounded."""

from __future__ import annotations

import re
import unicodedata

# Colours and other commands to a terminal.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
# Drawn as nothing, though Unicode calls them letters or marks: fillers, and variation selectors,
# which can carry a hidden text.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)


def plain(text: str, most: int) -> str:
    """Without controls, what turns text around, and what is not seen; cut to `most` characters."""
    text = _BLANK.sub("", _ANSI.sub("", text[: 8 * most]))
    # C: controls, bidi and zero-width marks, tags, surrogates; Z: every kind of space.
    kinds = ((char, unicodedata.category(char)) for char in text)
    seen = (" " if kind[0] == "Z" or char in "\t\n\r" else char
            for char, kind in kinds if kind[0] != "C" or char in "\t\n\r")  # fmt: skip
    line = " ".join("".join(seen).split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
