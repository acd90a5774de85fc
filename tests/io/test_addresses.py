"""Secrets in addresses: not shown, not kept."""

import pytest

from restore_lightning.errors import UserError
from restore_lightning.io.addresses import check_no_secret, with_variables, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/set", "https://host/set"),
        ("s3://bucket/set?", "s3://bucket/set?"),
        ("https://me:s3cret@host:8000/set", "https://***@host:8000/set"),
        ("https://s3cret@host/set is away", "https://***@host/set is away"),
        ("https://me:s3c@ret@host/set", "https://***@host/set"),
        ("403, url='https://host/a?X-Amz-Signature=s3cret&v=s3cret'", "403, url='https://host/a?X-Amz-Signature=***&v=***'"),
        ("two: s3://k:s3cret@b/c, https://h/?sig=s3cret", "two: s3://***@b/c, https://h/?sig=***"),
        ("https://${USER}:${PASSWORD}@host/set?sig=${SIG}", "https://${USER}:${PASSWORD}@host/set?sig=${SIG}"),
        ("simplecache::https://me:s3cret@host", "simplecache::https://***@host"),
    ],
)  # fmt: skip
def test_what_is_shown(text, shown):
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "address",
    [
        "https://me:s3cret@host/set",
        "https://s3cret@host/set",
        "s3://key:s3cret@bucket/set",
        "https://host/set?sv=2024&sig=s3cret",
        "https://host/set?X-Amz-Credential=s3cret",
        "https://host/set?token=${TOKEN}s3cret",
        "simplecache::https://me:s3cret@host/set",
    ],
)
def test_secrets_are_refused(address):
    with pytest.raises(UserError, match=r"^data.root .* holds a password, key or signature, which") as error:
        check_no_secret("data.root", address)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        *("https://host/set", "s3://bucket/set", "sftp://me@host/set", "https://host/set?version=3", "C:/photos"),
        *("https://${TOKEN}@host/set", "https://${USER}:${PASSWORD}@host/set", "https://host/set?v=1&sig=${SIG}"),
    ],
)
def test_addresses_without_secrets(address):
    check_no_secret("data.root", address)


def test_variables_of_the_environment(monkeypatch):
    monkeypatch.setenv("SET_SIG", "a%2Fb")
    monkeypatch.delenv("SET_NONE", raising=False)
    assert with_variables("https://host/set?sig=${SET_SIG}") == "https://host/set?sig=a%2Fb"
    assert with_variables("https://host/$SET_SIG") == "https://host/$SET_SIG"
    with pytest.raises(
        UserError, match=r"https://host/\$\{SET_NONE\}: there is no environment variable SET_NONE, set it"
    ):
        with_variables("https://host/${SET_NONE}")
