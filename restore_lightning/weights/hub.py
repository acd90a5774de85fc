"""Bundles on the Hugging Face hub: fetched once, named by their commit."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from yaml import YAMLError

from restore_lightning import __version__
from restore_lightning.errors import UserError, shortened_error, shortened_text
from restore_lightning.weights.bundle import CARD, CONFIG, FILES, MODEL, is_bundle, read_config

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

HUB = "hub:"
"""What names of bundles on the hub begin with."""
MISSING = "needs huggingface_hub: pip install 'restore-lightning[hub]'"


class Repository(NamedTuple):
    """A name on the hub.

    Args:
        path: "owner/name".
        revision: A branch, tag or commit; None: the newest commit.
    """

    path: str
    revision: str | None


def repository(text: str) -> Repository:
    """The repository that "hub:owner/name[@revision]" names.

    Raises:
        UserError: It is no such name.
    """
    found = re.fullmatch(r"hub:([\w.-]+/[\w.-]+)(?:@(\S+))?", text, re.ASCII)
    if found is None:
        raise UserError(f"{text}: give hub:owner/name, or hub:owner/name@revision for a branch, tag or commit")
    return Repository(found[1], found[2])


def fetch(text: str) -> tuple[str, Path]:
    """A bundle on the hub, from the cache where it is there.

    Args:
        text: "hub:owner/name[@revision]".

    Returns:
        The name with the commit that the revision stands for now, and the bundle's folder in huggingface_hub's cache.

    Raises:
        UserError: There is none, or it cannot be fetched.
    """
    path, revision = repository(text)
    with _told(text):
        api = _api()
        # The small file first: a repository of another kind is refused before its weights are fetched.
        config = Path(api.hf_hub_download(path, CONFIG, revision=revision))
        commit = config.parent.name
        try:
            read_config(config.parent)
        except UserError as error:
            raise UserError(f"{text} is no bundle of ours: {error}", error.exit_code) from error
        api.hf_hub_download(path, MODEL, revision=commit)
    return f"{HUB}{path}@{commit}", config.parent


def cached() -> dict[str, Path]:
    """Name with commit -> folder of every bundle in huggingface_hub's cache; none where it is not installed."""
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return {}
    try:
        repositories = scan_cache_dir().repos
    except (CacheNotFound, ValueError):
        return {}
    found = {
        f"{HUB}{one.repo_id}@{revision.commit_hash}": revision.snapshot_path
        for one in repositories
        if one.repo_type == "model"
        for revision in one.revisions
    }
    return {name: folder for name, folder in sorted(found.items()) if (folder / MODEL).is_file() and is_bundle(folder)}


def push(folder: Path, text: str, message: str, private: bool, replace: bool) -> str:
    """Upload a bundle as one commit; the repository is made where there is none.

    Args:
        folder: The bundle's.
        text: "hub:owner/name".
        message: Of the commit.
        private: Whether a repository that is made is private, and one that is public is refused.
        replace: Whether a bundle that is there may be replaced; it stays under its commit.

    Returns:
        The name with the commit.

    Raises:
        UserError: No whole bundle, no token, a bundle that is there already, a public repository, or the hub refuses.
    """
    path, revision = repository(text)
    if revision is not None:
        raise UserError(f"{text}: a push makes a commit of its own, leave @{revision} out")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing)} of a bundle: make it anew by restore bundle")
    with _told(text):
        from huggingface_hub import CommitOperationAdd, get_token

        api = _api()
        if get_token() is None:
            raise UserError(f"{text} needs a token to write: set HF_TOKEN, or log in by hf auth login")
        there = [name for name in FILES if api.file_exists(path, name)]
        if there and not replace:
            raise UserError(
                f"{text} holds {', '.join(there)} already: give --overwrite (what is there stays under its commit)"
            )
        _check_card(folder / CARD)
        api.create_repo(path, private=private or None, exist_ok=True)
        # Asked afterwards: whoever made the repository, what is uploaded now would be seen.
        if private and not api.repo_info(path).private:
            raise UserError(f"{text} is public: leave --private out, or make it private on its page first")
        files = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in FILES]
        commit = api.create_commit(path, files, commit_message=message)
    return f"{HUB}{path}@{commit.oid}"


def _check_card(path: Path) -> None:
    """Have the hub check a card's header, before there is a repository for it.

    Raises:
        UserError: It cannot be read, or the hub would not take it.
    """
    from huggingface_hub import ModelCard

    try:
        ModelCard.load(path).validate()
    except (ValueError, YAMLError) as error:
        raise UserError(f"{path}: the hub does not take its header: {shortened_text(str(error), 200)}") from error


def _api() -> "HfApi":
    """The hub, or what HF_ENDPOINT names; tokens and the cache's place are huggingface_hub's business."""
    from huggingface_hub import HfApi

    return HfApi(library_name="restore-lightning", library_version=__version__)


def _answer(error: "HfHubHTTPError") -> str:
    """Status of an answer, what the hub says of it, and what to do."""
    status = error.response.status_code
    hint = "; try again later" if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500 else ""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        hint = "; see what the token may do"
    said = " ".join((error.server_message or "").split())
    named = " ".join(filter(None, [str(status), error.response.reason_phrase]))
    return f"{named}{f' ({shortened_text(said, 100)})' if said else ''}{hint}"


@contextmanager
def _told(text: str) -> Iterator[None]:
    """Say in one line what huggingface_hub raises within."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise UserError(f"{text} {MISSING}") from error
    unreached = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)
    # The first that fits counts: each may be a special case of a later one.
    lines: Sequence[tuple[type[Exception] | tuple[Any, ...], str]] = (
        (
            errors.GatedRepoError,
            "its owner asks for consent on its page; then set HF_TOKEN, or log in by hf auth login",
        ),
        (
            errors.RepositoryNotFoundError,
            "no such repository, or a private one, for which set HF_TOKEN or log in by hf auth login",
        ),
        (errors.RevisionNotFoundError, "no such branch, tag or commit"),
        (
            unreached,
            "it is not cached, and the hub cannot be reached: check the network, and that HF_HUB_OFFLINE is not set",
        ),
        (errors.EntryNotFoundError, f"it holds no {CONFIG} and {MODEL}, it is no bundle of restore bundle"),
    )
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of three libraries for HTTP, one after the other, in huggingface_hub's versions
        answer = error.__cause__ if isinstance(error, unreached) else error
        line = next((line for kind, line in lines if isinstance(error, kind)), None)
        if isinstance(answer, errors.HfHubHTTPError) and (line is None or answer is not error):
            line = f"the hub answers {_answer(answer)}"
        if line is None:
            line = f"the hub cannot be used: {shortened_error(error, 200)}"
        raise UserError(f"{text}: {line}", exit_code=1) from error
