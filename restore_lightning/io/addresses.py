"""Addresses of what is kept elsewhere, and the secrets in them."""

import os
import re

from restore_lightning.errors import UserError

ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<user>[^/\s?#'\"]*@)?(?P<place>[^\s?#'\"]*)(?P<query>\?[^\s#'\"]*)?"
)
VARIABLE = re.compile(r"\$\{(\w+)\}")
SECRET = re.compile(r"sig|token|key|secret|passw|pwd|credential|auth|access", re.IGNORECASE)
"""Names of a query's values that open what they are sent to: presigned S3, Azure's SAS, and the like."""
HIDDEN = "***"


def without_secrets(text: str) -> str:
    """A text in whose addresses users, passwords and the values of queries cannot be read; `${NAME}` stays.

    >>> without_secrets("https://me:pw@host/set?sig=ab%2F&v=${V} cannot be read")
    'https://***@host/set?sig=***&v=${V} cannot be read'
    """

    def shown(found: re.Match[str]) -> str:
        user, query = found["user"] or "", found["query"] or ""
        if _literal(user.rstrip("@").replace(":", "")):
            user = f"{HIDDEN}@"
        values = [entry.partition("=") for entry in query[1:].split("&")]
        hidden = "&".join(f"{name}{equals}{HIDDEN if _literal(value) else value}" for name, equals, value in values)
        return f"{found['scheme']}://{user}{found['place']}{query[:1]}{hidden}"

    return ADDRESS.sub(shown, text) if "://" in text else text


def check_no_secret(where: str, address: str) -> None:
    """Refuse an address that would carry a secret into the run's files; `where` is its key, for the message.

    Raises:
        UserError: It holds a password or a signature, other than as `${NAME}`.
    """
    for found in ADDRESS.finditer(address):
        user, _, password = (found["user"] or "").rstrip("@").partition(":")
        token = user if found["scheme"].startswith("http") and not password else ""
        given = [password, token]
        entries = [entry.partition("=") for entry in (found["query"] or "")[1:].split("&")]
        given += [value for name, _, value in entries if SECRET.search(name)]
        if any(map(_literal, given)):
            raise UserError(
                f"{where} {without_secrets(address)} holds a password, key or signature, which config.yaml, checkpoints"
                f" and W&B would keep: put it into an environment variable, e.g. SHARDS_SECRET, and write"
                " ${SHARDS_SECRET} in its place (in single quotes on the command line)"
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


def file_in(address: str, name: str) -> str:
    """The address of a file in a folder; a query of web servers stays behind it.

    >>> file_in("https://host/set/?sig=a", "index.npz")
    'https://host/set/index.npz?sig=a'
    """
    folder, mark, query = address.partition("?") if address.startswith("http") else (address, "", "")
    return f"{folder.rstrip('/')}/{name}{mark}{query}"


def _literal(text: str) -> bool:
    """Whether anything of it is not a variable."""
    return bool(VARIABLE.sub("", text))
