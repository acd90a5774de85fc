"""Addresses of what is kept elsewhere, and the secrets in them."""

import os
import re
from urllib.parse import quote, unquote

from restore_lightning.errors import UserError

VARIABLE = re.compile(r"\$\{(\w+)\}")
HARMLESS = frozenset(
    {
        *("v", "version", "versionid", "ref", "revision", "format", "alt", "dl", "download", "raw", "region"),
        *("sv", "ss", "srt", "sr", "st", "se", "sp", "spr", "skt", "ske", "sks", "skv"),  # of Azure, beside "sig"
        *("x-amz-algorithm", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "expires"),
    }
)
"""Names of a query's values that open nothing; any other name may be that of a secret."""
SHORTEST = 4
"""Characters of a variable's value that is looked for in messages: shorter ones are in other words, too."""
HIDDEN = "***"

SCHEME = r"[A-Za-z][\w+.-]*"


def _addresses(character: str) -> re.Pattern[str]:
    """Addresses whose parts are made of a character's pattern; in a chain, as "zip://a::https://b", each one."""
    part = rf"(?!::{SCHEME}://){character}"
    return re.compile(
        rf"(?P<scheme>{SCHEME})://(?P<user>(?:(?![/?#]){part})*@|(?:(?![/?#:]){part})*(?=:)(?:(?![?#]){part})*@)?"
        rf"(?P<place>(?:(?![?#]){part})*)(?P<query>\?(?:(?!#){part})*)?(?P<fragment>#(?:{part})*)?",
        re.DOTALL,
    )


IN_TEXT = _addresses(r"""(?:[^\s'"]|['"](?=['"]*[\w%&=/+-]))""")
"""Those within a text, which a space ends, or a quote that no more of them follows."""
WHOLE = _addresses(".")


def without_secrets(text: str) -> str:
    """A text in whose addresses users, passwords and the values of queries cannot be read; `${NAME}` stays.

    >>> without_secrets("https://me:pw@host/set?sig=ab%2F&v=${V} cannot be read")
    'https://***@host/set?sig=***&v=${V} cannot be read'
    """
    return IN_TEXT.sub(_hidden, text) if "://" in text else text


def check_no_secret(where: str, address: str) -> None:
    """Refuse an address that would carry a secret into the run's files; `where` is its key, for the message.

    A password, a web server's user alone, and the values of a query or fragment may be one, but for `HARMLESS`.

    Raises:
        UserError: It holds what may be a secret, other than as `${NAME}`.
    """
    for found in WHOLE.finditer(address):
        user, _, password = (found["user"] or "").rstrip("@").partition(":")
        token = user if found["scheme"].startswith("http") and not password else ""
        given = [password, token]
        for part in (found["query"], found["fragment"]):
            given += [value for name, _, value in _entries(part) if name.lower() not in HARMLESS]
        if any(map(_literal, given)):
            raise UserError(
                f"{where} {WHOLE.sub(_hidden, address)} holds what may be a password, key or signature, which"
                " config.yaml, checkpoints and W&B would keep: put it into an environment variable, e.g. SHARDS_SECRET,"
                " and write ${SHARDS_SECRET} in its place (in single quotes on the command line)"
            )


def with_variables(address: str) -> str:
    """An address with each `${NAME}` replaced by the environment variable.

    Raises:
        UserError: There is no such variable.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UserError(f"{without_secrets(address)}: there is no environment variable {found[1]}, set it")
        return os.environ[found[1]]

    return VARIABLE.sub(value, address)


def with_names(text: str, address: str) -> str:
    """A text in which the values of an address's variables are `${NAME}` again, percent-encoded or not."""
    names: dict[str, str] = {}
    for name in VARIABLE.findall(address):
        value = os.environ.get(name, "")
        forms = (value, quote(value), quote(value, safe=""), unquote(value))
        names |= {form: f"${{{name}}}" for form in forms if len(form) >= SHORTEST}
    either = "|".join(re.escape(form) for form in sorted(names, key=len, reverse=True))
    return re.sub(either, lambda found: names[found[0]], text) if names else text


def is_web(address: str) -> bool:
    """Whether a web server is asked; in a chain, as "simplecache::https://host", the last one counts."""
    return re.findall(f"({SCHEME})://", re.split("[?#]", address)[0])[-1:] in (["http"], ["https"])


def file_in(address: str, name: str) -> str:
    """The address of a file in a folder; a query of web servers stays behind it.

    >>> file_in("https://host/set/?sig=a", "index.npz")
    'https://host/set/index.npz?sig=a'
    """
    folder, mark, query = address.partition("?") if is_web(address) else (address, "", "")
    return f"{folder.rstrip('/')}/{name}{mark}{query}"


def _hidden(found: re.Match[str]) -> str:
    user = found["user"] or ""
    if _literal(user.rstrip("@").replace(":", "")):
        user = f"{HIDDEN}@"
    return (
        f"{found['scheme']}://{user}{found['place']}{_hidden_values(found['query'])}{_hidden_values(found['fragment'])}"
    )


def _hidden_values(part: str | None) -> str:
    """A query or fragment whose values cannot be read."""
    entries = [f"{name}{equals}{HIDDEN if _literal(value) else value}" for name, equals, value in _entries(part)]
    return (part or "")[:1] + "&".join(entries)


def _entries(part: str | None) -> list[tuple[str, str, str]]:
    """Name, "=" and value of what a query or fragment holds; what has no "=" is a value."""
    found = [entry.partition("=") for entry in re.split("[&;]", (part or "")[1:])]
    return [(name, equals, value) if equals else ("", "", name) for name, equals, value in found]


def _literal(text: str) -> bool:
    """Whether anything of it is not a variable."""
    return bool(VARIABLE.sub("", text))
