"""A server on 127.0.0.1 that can misbehave, and what counts as a file there."""

import gzip
import hashlib
import http.server
import io
import random
import tarfile
import threading
import time
import zipfile
from dataclasses import dataclass, field


def noise(count, seed=0):
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(count)  # noqa: S311


#: The length of a page whose server does not tell it.
UNTOLD = -1


@dataclass
class Page:
    """One address and how it is served.

    cut_after: bytes after which a connection ends, a list: one for each request.
    """

    data: bytes
    etag: str = '"one"'
    ranges: bool = True
    cut_after: list = field(default_factory=list)
    length: int | None = None
    status: list = field(default_factory=list)
    redirect: str | None = None
    slow_s: float = 0.0
    slow_from: int = 0
    kind: str = "application/octet-stream"
    asked: list = field(default_factory=list)
    served: int = 0
    after: object = None
    span: str | None = None
    modified: str | None = None
    heeds_if_range: bool = True


class Server:
    """Pages by path; ``url(path)`` is where one is served."""

    def __init__(self):
        self.pages = {}
        pages = self.pages

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments):
                pass

            def do_GET(self):
                serve(self, pages.get(self.path))

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def add(self, path, data, **how):
        self.pages[path] = Page(data, **how)
        return self.pages[path]

    def url(self, path):
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def serve(handler, page):
    handler.close_connection = True
    if page is None:
        handler.send_error(404)
        return
    wanted = handler.headers.get("Range")
    page.asked.append((wanted, handler.headers.get("If-Range")))
    if page.redirect:
        handler.send_response(302)
        handler.send_header("Location", page.redirect)
        handler.send_header("Content-Length", "0")
        handler.send_header("Connection", "close")
        handler.end_headers()
        return
    if page.status:
        handler.send_error(page.status.pop(0))
        return
    same = handler.headers.get("If-Range") in (None, page.etag, page.modified)
    same = same or not page.heeds_if_range
    start = int(wanted[6:-1]) if wanted and page.ranges and same else 0
    if start and start >= len(page.data):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(page.data)}")
        handler.send_header("Content-Length", "0")
        handler.send_header("Connection", "close")
        handler.end_headers()
        return
    body = page.data[start:]
    handler.send_response(206 if start else 200)
    if start:
        span = page.span or f"bytes {start}-{len(page.data) - 1}/{len(page.data)}"
        handler.send_header("Content-Range", span)
    if page.etag:
        handler.send_header("ETag", page.etag)
    if page.modified:
        handler.send_header("Last-Modified", page.modified)
    handler.send_header("Content-Type", page.kind)
    handler.send_header("Connection", "close")
    length = page.length if page.length is not None and not start else len(body)
    if length != UNTOLD:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    send(handler, page, body)
    if page.after:
        page.after(page)


def send(handler, page, body):
    stop = page.cut_after.pop(0) if page.cut_after else len(body)
    step = 1000 if page.slow_s else 65536
    sent = 0
    while sent < min(stop, len(body)):
        piece = body[sent : min(sent + step, stop)]
        if page.slow_s and sent >= page.slow_from:
            piece = piece[:1]
            time.sleep(page.slow_s)
        # Counted first: the client may be done with the last piece before this thread goes on.
        page.served += len(piece)
        try:
            handler.wfile.write(piece)
            handler.wfile.flush()
        except OSError:  # the client left
            page.served -= len(piece)
            return
        sent += len(piece)


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_zip(members):
    """A zip archive of ``{name: bytes}``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return out.getvalue()


def make_tar(members, *, compress=True):
    """A tar.gz archive of ``{name: bytes}`` or of ready ``TarInfo``s."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if compress else "w") as packed:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                packed.addfile(data)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zeros(count):
    """Gzip of so many MiB of zeros, at no cost: gzip members may follow each other."""
    return gzip.compress(bytes(1 << 20)) * count
