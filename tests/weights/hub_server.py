"""A server that speaks the hub's API as huggingface_hub uses it: repositories in memory, with their commits."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_" + "tokenofnobody" * 2


@dataclass
class Hub:
    """What the server holds, and what it was asked.

    Args:
        commits: "owner/name" -> its commits, oldest first: name of a file -> content.
        uploads: Checksum -> content, of what was uploaded and not committed yet.
        requests: (method, path, user agent, authorization) of each.
        gated: Names of those whose owner asks for consent.
        private: Names of those that are private.
        refused: "owner/name" -> status that its files are answered with.
    """

    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    endpoint: str = ""

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Add a commit with these files beside the earlier ones."""
        commits = self.commits.setdefault(name, [])
        commits.append({**(commits[-1] if commits else {}), **files})
        return self.oid(name, len(commits) - 1)

    def oid(self, name: str, number: int) -> str:
        return hashlib.sha1(f"{name} {number}".encode()).hexdigest()

    def files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """A commit and its files; None: there is no such revision."""
        oids = {self.oid(name, i): files for i, files in enumerate(self.commits[name])}
        if revision == "main":
            revision = list(oids)[-1] if oids else ""
        return (revision, oids[revision]) if revision in oids else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization")
        self.hub.requests.append((self.command, self.path, self.headers.get("User-Agent", ""), authorization))
        path = self.path.partition("?")[0]
        if self.command in ("GET", "HEAD"):
            return self.resolved(path)
        if self.command == "PUT":  # as to a signed address
            self.hub.uploads[path.rpartition("/")[2]] = body
            return self.answer(200)
        if path == "/api/validate-yaml":
            errors = (
                [{"message": '"license" must be one of'}] if "license: nobodys" in json.loads(body)["content"] else []
            )
            return self.answer(400 if errors else 200, {"errors": errors, "warnings": []})
        if authorization != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid username or password."})
        return self.written(path, body)

    do_GET = do_HEAD = do_PUT = do_POST = handle_one  # noqa: N815  (the library's names)

    def resolved(self, path):
        if (name := path.removeprefix("/api/models/")) in self.hub.commits:
            return self.answer(200, {"id": name, "private": name in self.hub.private})
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if found is None or found[1] not in self.hub.commits:
            return self.answer(404, X_Error_Code="RepoNotFound")
        if found[1] in self.hub.refused:
            return self.answer(self.hub.refused[found[1]])
        if found[1] in self.hub.gated:
            return self.answer(403, X_Error_Code="GatedRepo")
        there = self.hub.files(found[1], found[2])
        if there is None:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        content = there[1].get(found[3])
        if content is None:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=there[0])
        return self.answer(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=there[0])

    def written(self, path, body):
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            there = name in self.hub.commits
            self.hub.commits.setdefault(name, [])
            if not there and (asked.get("private") or asked.get("visibility") == "private"):
                self.hub.private.add(name)
            return self.answer(409 if there else 200, {"url": f"{self.hub.endpoint}/{name}", "name": name})
        if path.endswith("/preupload/main"):
            modes = [
                {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith("tensors") else "regular"}
                for one in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        name = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path)[1]
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
                assert hashlib.sha256(files[value["path"]]).hexdigest() == value["oid"]
        oid = self.hub.commit(name, files)
        return self.answer(200, {"commitOid": oid, "commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}"})


def serving() -> tuple[ThreadingHTTPServer, Hub]:
    """A server to start by `serve_forever`, and what it holds."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    return server, hub
