"""Reading infotext back: the text in which A1111 and its kin write down what made a picture.

Owns that notation's grammar; `recipe_text` writes it.
"""

import json
import re

_NEGATIVE = "Negative prompt:"
# Name: value, where a value with a comma, a colon or a line break is a JSON string. Names begin words and are bounded:
# a stranger's line without any must not be searched anew from each of its characters.
_SETTING = re.compile(r'(?<!\w)(\w[\w \-/]{0,99}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d+)x(\d+)")
_MIN_SETTINGS = 3  # a last line with fewer is part of the prompt
_MAX_SETTINGS_CHARS = 65_536  # so is a longer one


def parsed(text: str) -> dict[str, str]:
    """``Prompt``, ``Negative prompt`` and each setting by its name; a size also as ``Size-1`` and ``Size-2``."""
    lines = text.strip().split("\n")
    settings = _settings(lines[-1])
    if len(settings) < _MIN_SETTINGS:
        settings = {}
    else:
        lines.pop()
    prompt, negative = _prompts(lines)
    return {"Prompt": prompt, "Negative prompt": negative, **settings}


def _prompts(lines: list[str]) -> tuple[str, str]:
    found: tuple[list[str], list[str]] = ([], [])
    side = 0
    for line in lines:
        if line.strip().startswith(_NEGATIVE):
            side, line = 1, line.strip().removeprefix(_NEGATIVE)
        found[side].append(line.strip())
    return "\n".join(found[0]).strip(), "\n".join(found[1]).strip()


def _settings(line: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    if len(line) > _MAX_SETTINGS_CHARS:
        return settings
    for name, value in _SETTING.findall(line):
        settings[name.strip()] = _unquoted(value.strip())
        size = _SIZE.fullmatch(value.strip())
        if size is not None:
            settings[f"{name.strip()}-1"], settings[f"{name.strip()}-2"] = size[1], size[2]
    return settings


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
