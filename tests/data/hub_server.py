"""A server on loopback that speaks the protocols of the Hugging Face hub and of GitHub: listings at a commit, files
with ETags and ranges, redirects to a store on another port, gates, and the faults that a network has."""

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

PAGE = 100  # entries of a listing; the rest follows by its Link header
TOKEN = "hf_test"


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Repo:
    """Files at one commit. Any revision is answered with that content, unless `only` names the ones that exist."""

    def __init__(self, files, *, commit="c" * 40, gated=False, lfs=(), only=None):
        self.files, self.commit, self.gated, self.lfs, self.only = files, commit, gated, set(lfs), only


class HubServer:
    """`with HubServer() as server:` then `server.hub["owner/name"] = Repo({...})`."""

    def __init__(self):
        self.hub, self.git, self.releases = {}, {}, {}
        self.served = Counter()  # whole or partial answers with a body, by path
        self.ranges = []  # (path, Range header) of resumed downloads
        self.breaks = {}  # path -> list of byte counts after which the next answers break off
        self.delays = {}  # path -> list of Retry-After values of 429 answers that come first
        self.swaps = {}  # path -> bytes served in place of those that were listed
        self.redirect = {}  # path -> where its file is said to be
        self.authorised = []  # (path, Authorization) of every request with one
        self.on_served = None
        handler = type("Handler", (_Handler,), {"hub": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        self.url, self.store = (f"http://127.0.0.1:{each.server_address[1]}" for each in self._servers)

    def __enter__(self):
        for each in self._servers:
            each.daemon_threads = True
            threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in self._servers:
            each.shutdown()
            each.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        if token := self.headers.get("Authorization"):
            self.hub.authorised.append((path, token))
        if body and self.hub.delays.get(path):
            return self.send({}, b"", 429, {"Retry-After": str(self.hub.delays[path].pop(0))})
        for prefix, handle in (
            ("/api/datasets/", self.hub_api), ("/datasets/", self.hub_file), ("/store/", self.stored),
            ("/api/v3/repos/", self.git_api), ("/raw/", self.git_file), ("/media/", self.git_media),
        ):  # fmt: skip
            if path.startswith(prefix):
                return handle(path.removeprefix(prefix), query, body)
        return self.release(path, body)

    # the hub

    def hub_api(self, rest, query, body):
        owner, name, *more = rest.split("/")
        repo = self.hub.hub.get(f"{owner}/{name}")
        if repo is None:
            return self.fail(401, "RepoNotFound")
        revision = more[1] if len(more) > 1 else "main"
        if repo.only and revision not in (*repo.only, repo.commit):
            return self.fail(404, "RevisionNotFound")
        # as the real hub, a revision that is a commit is itself
        commit = revision if len(revision) == 40 else repo.commit
        if more[:1] != ["tree"]:
            return self.json({"id": f"{owner}/{name}", "sha": commit, "private": False, "gated": repo.gated and "auto",
                              "disabled": False, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip
        start = int(query.get("cursor", ["0"])[0])
        entries = [self.entry(repo, path) for path in sorted(repo.files)]
        headers = {}
        if start + PAGE < len(entries):
            here = f"{self.hub.url}/api/datasets/{rest}?recursive=True&cursor={start + PAGE}"
            headers["Link"] = f'<{here}>; rel="next"'
        return self.json(entries[start : start + PAGE], headers)

    def entry(self, repo, path):
        data = repo.files[path]
        made = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
        if path in repo.lfs:
            made["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return made

    def hub_file(self, rest, query, body):
        owner, name, _, revision, *path = rest.split("/")
        repo, path = self.hub.hub.get(f"{owner}/{name}"), "/".join(path)
        if repo is None:
            return self.fail(401, "RepoNotFound")
        if repo.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.fail(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        if path not in repo.files:
            return self.fail(404, "EntryNotFound")
        data = repo.files[path]
        commit = revision if len(revision) == 40 else repo.commit
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_id(data)}"'}
        if path in repo.lfs:  # large files lie in a store elsewhere
            digest = hashlib.sha256(data).hexdigest()
            headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(data)), "ETag": f'"{digest}"'}
            place = f"{self.hub.store}/store/hub/{owner}/{name}/{quote(path)}"
            headers["Location"] = self.hub.redirect.get(path, place)
            return self.send(headers, b"", 302)
        return self.file(path, data, body, headers)

    # GitHub

    def git_api(self, rest, query, body):
        owner, name, what, *more = rest.split("/")
        repo = self.hub.git.get(f"{owner}/{name}")
        if repo is None:
            return self.fail(404, "")
        if what == "commits":
            return self.json({"sha": repo.commit})
        tree = [{"path": "data", "type": "tree", "sha": "0"}]
        for path, data in repo.files.items():
            tree.append({"path": path, "type": "blob", "sha": blob_id(data), "size": len(data)})
        return self.json({"sha": more[-1], "tree": tree, "truncated": False})

    def git_file(self, rest, query, body):
        owner, name, _, *path = rest.split("/")
        repo, path = self.hub.git.get(f"{owner}/{name}"), "/".join(path)
        if repo is None or path not in repo.files:
            return self.fail(404, "")
        return self.file(path, repo.files[path], body, {"ETag": f'"{blob_id(repo.files[path])}"'})

    def git_media(self, rest, query, body):
        owner, name, _, *path = rest.split("/")
        return self.file("media/" + "/".join(path), self.hub.git[f"{owner}/{name}"].media["/".join(path)], body, {})

    def release(self, path, body):
        if path not in self.hub.releases:
            return self.fail(404, "")
        return self.send({"Location": f"{self.hub.store}/store/release{path}"}, b"", 302)

    def stored(self, rest, query, body):
        kind, _, path = rest.partition("/")
        if kind == "release":
            data = self.hub.releases[f"/{path}"]
        else:
            owner, name, *inner = path.split("/")
            path = "/".join(inner)
            data = self.hub.hub[f"{owner}/{name}"].files[path]
        return self.file(path, data, body, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    # answers

    def file(self, path, data, body, headers):
        data = self.hub.swaps.get(path, data)
        start, wanted = 0, self.headers.get("Range")
        tag = self.headers.get("If-Range")
        if wanted and (tag is None or tag == headers.get("ETag")):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if body:
                self.hub.ranges.append((path, wanted))
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        piece, status = data[start:], 206 if start else 200
        headers = headers | {"Accept-Ranges": "bytes"}
        if body:
            self.hub.served[path] += 1
            if self.hub.on_served:
                self.hub.on_served(path)
            if self.hub.breaks.get(path):
                cut = self.hub.breaks[path].pop(0)
                self.start(status, headers, len(piece))
                self.wfile.write(piece[:cut])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return None
        return self.send(headers, piece if body else b"", status, length=len(piece))

    def json(self, value, headers=None):
        return self.send({"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode(), 200)

    def fail(self, status, code):
        return self.send({"X-Error-Code": code, "X-Error-Message": "no"} if code else {}, b"", status)

    def send(self, headers, data, status, more=None, length=None):
        self.start(status, headers | (more or {}), len(data) if length is None else length)
        if self.command != "HEAD":
            self.wfile.write(data)
        return None

    def start(self, status, headers, length):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
