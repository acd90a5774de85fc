"""Secrets in addresses: not shown, not kept."""

import pytest

from restore_lightning.errors import UserError
from restore_lightning.io.addresses import check_no_secret, file_in, with_names, with_variables, without_secrets


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
        ("zip://a.zip::https://me:s3cret@host/b", "zip://a.zip::https://***@host/b"),
        ("https://me:s3/cret@host/set", "https://***@host/set"),
        ("https://host/set?s3cret#s3cret", "https://host/set?***#***"),
        ("https://host/set#token=s3cret&t=${T}", "https://host/set#token=***&t=${T}"),
        ("'https://host/set?sig=ab'cd' is away", "'https://host/set?sig=***' is away"),
        ("['https://h/?sig=a', \"https://h/b\"]", "['https://h/?sig=***', \"https://h/b\"]"),
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
        "zip://a.zip::https://me:s3cret@host/set",
        *(f"https://host/set?{name}=s3cret" for name in ("pass", "pw", "code", "unheard-of")),
        *("https://host/set?s3cret", "https://host/set?v=1;w=s3cret", "https://host/set?sig=ab s3cret"),
        *("https://host/set#token=s3cret", "https://host/set#s3cret", "https://host/set?v=1#s3cret"),
        *("https://me:a/s3cret@host/set", "https://me:a?s3cret@host/set", "https://me:a#s3cret@host/set"),
    ],
)
def test_secrets_are_refused(address):
    with pytest.raises(
        UserError, match=r"^data.root .* holds what may be a password, key or signature, which"
    ) as error:
        check_no_secret("data.root", address)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        *("https://host/set", "s3://bucket/set", "sftp://me@host/set", "https://host/set?version=3", "C:/photos"),
        *("https://${TOKEN}@host/set", "https://${USER}:${PASSWORD}@host/set", "https://host/set?v=1&sig=${SIG}"),
        *(
            "https://host:8000/set",
            "https://host/set@2x?${SIG}#${SIG}",
            "zip://a.zip::https://u:${P}@host/set?SV=1&se=2",
        ),
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


def test_values_of_variables_are_names_again(monkeypatch):
    """As libraries repeat them: as they are, encoded or decoded; a short value is part of other words."""
    monkeypatch.setenv("SET_SIG", "a/b+c=")
    monkeypatch.setenv("SET_CODED", "d%2Fe%3D")
    monkeypatch.setenv("SET_V", "4")
    address = "https://host/set?v=${SET_V}&sig=${SET_SIG}&code=${SET_CODED}&none=${SET_NONE}"
    said = "404: sig a/b+c= a/b%2Bc%3D a%2Fb%2Bc%3D, code d%2Fe%3D d/e="
    sig, code = " ${SET_SIG}", " ${SET_CODED}"
    assert with_names(said, address) == f"404: sig{sig * 3}, code{code * 2}"
    assert with_names(said, "https://host/set") == said


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("https://host/set?v=1", "https://host/set/index.npz?v=1"),
        ("simplecache::https://host/set/?v=${V}", "simplecache::https://host/set/index.npz?v=${V}"),
        ("s3://bucket/what?", "s3://bucket/what?/index.npz"),
    ],
)
def test_a_file_in_a_folder(folder, file):
    assert file_in(folder, "index.npz") == file
