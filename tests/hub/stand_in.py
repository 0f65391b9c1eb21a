"""The parts of the Hugging Face Hub's protocol that publishing and fetching use, on this machine, with real files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "hf_stand_in"
LARGE = 1_000_000  # bytes from which a file takes the route of large files


class Hub:
    """Repositories as folders: `root`/<kind>s/<owner>/<name>."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.large: dict[str, bytes] = {}  # by SHA-256

    def folder(self, kind: str, repository: str) -> Path:
        return self.root / f"{kind}s" / repository

    def files(self, kind: str, repository: str) -> list[str]:
        folder = self.folder(kind, repository)
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def commit(self, kind: str, repository: str) -> str:
        """A digest of all that a repository holds."""
        digest = hashlib.sha1()
        for name in self.files(kind, repository):
            digest.update(name.encode() + (self.folder(kind, repository) / name).read_bytes())
        return digest.hexdigest()

    def apply(self, kind: str, repository: str, lines: list[dict]) -> None:
        folder = self.folder(kind, repository)
        for line in lines:
            value = line["value"]
            if line["key"] in ("file", "lfsFile"):
                path = folder / value["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                small = line["key"] == "file"
                path.write_bytes(base64.b64decode(value["content"]) if small else self.large[value["oid"]])
            elif line["key"] == "deletedFile":
                (folder / value["path"]).unlink()


@contextmanager
def serve(root: Path) -> Iterator[tuple[Hub, str]]:
    """A running stand-in with its address."""
    hub = Hub(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def reply(self, answer: object = None, status: int = 200, **headers: str) -> None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status: int, words: str, code: str = "") -> None:
            self.reply({"error": words}, status, X_Error_Message=words, **({"X_Error_Code": code} if code else {}))

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def do_PUT(self) -> None:
            content = self.body()
            hub.large[hashlib.sha256(content).hexdigest()] = content
            self.reply({})

        def do_POST(self) -> None:
            body = self.body()
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.refuse(401, "Invalid username or password.")
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                kind, name = asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"
                hub.folder(kind, name).mkdir(parents=True, exist_ok=True)
                prefix = "" if kind == "model" else f"{kind}s/"
                return self.reply({"url": f"{address}/{prefix}{name}", "name": name})
            if self.path == "/api/validate-yaml":
                return self.reply({"errors": [], "warnings": []})
            if match := re.fullmatch(r"/api/(\w+)s/([^/]+/[^/]+)/(preupload|commit)/main(\?.*)?", self.path):
                kind, name, action, _ = match.groups()
                if action == "commit":
                    hub.apply(kind, name, [json.loads(line) for line in body.splitlines()])
                    commit = hub.commit(kind, name)
                    return self.reply({"commitUrl": f"{address}/{name}/commit/{commit}", "commitOid": commit})
                modes = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["size"] > LARGE else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
                return self.reply({"files": modes})
            if self.path.endswith(".git/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{address}/large/{each['oid']}"}}}
                    for each in json.loads(body)["objects"]
                ]
                return self.reply({"transfer": "basic", "objects": objects})
            return self.refuse(404, f"no such route: {self.path}")

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if match := re.fullmatch(r"/api/(\w+)s/([^/]+/[^/]+)(?:/(revision|tree)/(\w+))?", path):
                kind, name, what, _ = match.groups()
                if not hub.folder(kind, name).is_dir():
                    return self.refuse(404, "Repository not found", "RepoNotFound")
                files = hub.files(kind, name)
                if what == "tree":
                    entries = [
                        {
                            "type": "file",
                            "path": file,
                            "size": (hub.folder(kind, name) / file).stat().st_size,
                            "oid": hashlib.sha1(file.encode()).hexdigest(),
                        }
                        for file in files
                    ]
                    return self.reply(entries)
                siblings = [{"rfilename": file} for file in files]
                return self.reply({"id": name, "sha": hub.commit(kind, name), "siblings": siblings})
            if match := re.fullmatch(r"/(?:(dataset)s/)?([^/]+/[^/]+)/resolve/\w+/(.+)", path):
                kind, name, file = match.groups("model")
                content = (hub.folder(kind, name) / file).read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                return self.reply(content, ETag=etag, X_Repo_Commit=hub.commit(kind, name))
            return self.refuse(404, f"no such route: {self.path}")

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
