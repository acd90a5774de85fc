"""An extension of Griffe, which reads the docstrings: what the site shows otherwise than an editor does."""

from typing import Any

from griffe import Class, Extension, Object


def fenced(text: str) -> str:
    r"""Put a fence around each doctest that stands outside of an `Examples:` section.

    >>> fenced("Adds.\n\n>>> 1 + 1\n2").splitlines()
    ['Adds.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    lines: list[str] = []
    inside = False
    for line in [*text.splitlines(), ""]:
        if line.startswith(">>>") and not inside:
            lines.append("```pycon")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join(lines[:-1])


class Docstrings(Extension):
    """Doctests become blocks of code, and the arguments of a `NamedTuple` its attributes."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring before it is parsed."""
        if obj.docstring is None:
            return
        obj.docstring.value = fenced(obj.docstring.value)
        if isinstance(obj, Class) and "NamedTuple" in map(str, obj.bases):  # Griffe knows no arguments of theirs
            obj.docstring.value = obj.docstring.value.replace("Args:\n", "Attributes:\n")
