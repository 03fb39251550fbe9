#!/usr/bin/python3
"""A registry in memory that misbehaves on request.

    faulty_registry.py PORT_FILE        serves on a free loopback port and writes it to PORT_FILE

It speaks enough of the distribution API to be pushed to and pulled from. A fault is set with
    POST /_fault   METHOD PATH_REGEX KIND [ARGUMENT] [TIMES]
and holds for requests that match, TIMES times (default: always). Kinds:
    stall          accept the request and never answer
    drip BYTES     send that many bytes of the body, then nothing more, connection kept open
    cut BYTES      send that many bytes of the body, then close the connection
    flip           answer with the body's first byte changed
    status CODE    answer with this status (429 and 503 with Retry-After: 1)
    loop           redirect to itself
    length N       announce N bytes more than there are, then close
    header K=V     answer as usual with this header changed
    body TEXT      answer with this body
GET /_hits?METHOD%20REGEX says how many requests matched so far, GET /_wait waits until a fault was hit,
POST /_clear takes all faults away.
"""
import hashlib, json, re, sys, threading, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

blobs, manifests, uploads = {}, {}, {}
faults, requests = [], []
hit = threading.Event()
lock = threading.Lock()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Fault:
    def __init__(self, text):
        parts = text.split(None, 3)
        self.method, self.path, self.kind = parts[0], re.compile(parts[1]), parts[2]
        rest = parts[3] if len(parts) > 3 else ""
        self.left = -1
        match = re.search(r"\s*\btimes=(\d+)$", rest)
        if match:
            self.left, rest = int(match.group(1)), rest[: match.start()]
        self.argument = rest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def fault(self):
        with lock:
            requests.append(self.command + " " + self.path)
            for fault in faults:
                if fault.left == 0 or fault.method not in ("*", self.command) or not fault.path.search(self.path):
                    continue
                if fault.left > 0:
                    fault.left -= 1
                hit.set()
                return fault
        return None

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            out = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return out
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, code, body=b"", headers=None):
        headers = dict(headers or {})
        fault = getattr(self, "active", None)
        kind = fault.kind if fault else ""
        if kind == "flip" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if kind == "body":
            body = fault.argument.encode()
            headers.pop("Docker-Content-Digest", None)
        if kind == "header":
            key, value = fault.argument.split("=", 1)
            headers[key] = value
        length = len(body) + (int(fault.argument) if kind == "length" else 0)
        if self.command == "GET" and code == 200 and "Range" in self.headers and kind not in ("body", "header"):
            start = int(re.match(r"bytes=(\d+)-", self.headers["Range"]).group(1))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, code = body[start:], 206
            length = len(body)
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind in ("cut", "drip"):
            body = body[: int(fault.argument)]
        self.wfile.write(body)
        if kind == "drip":
            self.wfile.flush()
            self.sleep()
        if kind in ("cut", "length", "drip"):
            self.close_connection = True

    def sleep(self):
        self.connection.settimeout(600)
        try:
            self.connection.recv(1)  # until the other side gives up
        except OSError:
            pass

    def control(self):
        url = urllib.parse.urlparse(self.path)
        body = self.read_body().decode()
        with lock:
            if url.path == "/_fault":
                faults.append(Fault(body))
                hit.clear()
            elif url.path == "/_clear":
                faults.clear()
                hit.clear()
        text = ""
        if url.path == "/_wait":
            text = "hit" if hit.wait(20) else "none"
        if url.path == "/_hits":
            pattern = re.compile(urllib.parse.unquote(url.query))
            text = str(sum(1 for r in requests if pattern.search(r)))
        self.active = None
        self.answer(200, text.encode())

    def handle_all(self):
        self.active = None
        if self.path.startswith("/_"):
            return self.control()
        fault = self.active = self.fault()
        if fault and fault.kind == "stall":
            return self.sleep()
        if fault and fault.kind == "status":
            self.read_body()
            code = int(fault.argument)
            error = json.dumps({"errors": [{"code": "DENIED" if code == 403 else "TOOMANYREQUESTS" if code == 429 else
                                            "UNKNOWN", "message": "told to fail"}]}).encode()
            return self.answer(code, error, {"Retry-After": "1"} if code in (429, 503) else {})
        if fault and fault.kind == "loop":
            self.read_body()
            return self.answer(307, b"", {"Location": f"http://{self.headers['Host']}{self.path}"})
        getattr(self, "do_" + self.command.lower())(urllib.parse.urlparse(self.path))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_all

    def get(self, url):
        if url.path in ("/v2", "/v2/"):
            return self.answer(200, b"{}")
        match = re.match(r"/v2/(.+)/(manifests|blobs)/(.+)$", url.path)
        if not match:
            return self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such path"}]}')
        name, what, reference = match.groups()
        with lock:
            found = manifests.get((name, reference)) if what == "manifests" else blobs.get(reference)
        if found is None:
            code = "MANIFEST_UNKNOWN" if what == "manifests" else "BLOB_UNKNOWN"
            return self.answer(404, json.dumps({"errors": [{"code": code, "message": "not here"}]}).encode())
        data, media_type = found if what == "manifests" else (found, "application/octet-stream")
        self.answer(200, data, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)})

    do_get = do_head = get

    def do_post(self, url):
        query = urllib.parse.parse_qs(url.query)
        data = self.read_body()
        name = url.path.split("/v2/")[1].split("/blobs/")[0]
        if "mount" in query and query["mount"][0] in blobs:
            return self.created(name, query["mount"][0])
        if "digest" in query:
            blobs[query["digest"][0]] = data
            return self.created(name, query["digest"][0])
        upload = str(len(uploads) + 1)
        uploads[upload] = data
        self.answer(202, b"", {"Location": f"/v2/{name}/blobs/uploads/{upload}", "Range": "0-0"})

    def do_patch(self, url):
        upload = url.path.rsplit("/", 1)[1]
        uploads[upload] += self.read_body()
        self.answer(202, b"", {"Location": url.path, "Range": f"0-{len(uploads[upload]) - 1}"})

    def do_put(self, url):
        data = self.read_body()
        match = re.match(r"/v2/(.+)/manifests/(.+)$", url.path)
        if match:
            name, reference = match.groups()
            for key in (reference, digest_of(data)):
                manifests[(name, key)] = (data, self.headers.get("Content-Type"))
            return self.answer(201, b"", {"Docker-Content-Digest": digest_of(data), "Location": url.path})
        upload = url.path.rsplit("/", 1)[1]
        digest = urllib.parse.parse_qs(url.query)["digest"][0]
        whole = uploads.pop(upload) + data
        if digest_of(whole) != digest and "lenient" not in url.query:
            return self.answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"not these bytes"}]}')
        blobs[digest] = whole
        self.created(url.path.split("/v2/")[1].split("/blobs/")[0], digest)

    def created(self, name, digest):
        self.answer(201, b"", {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/blobs/{digest}"})


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that went away is what we are for


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    with open(sys.argv[1] + ".new", "w") as out:
        out.write(str(server.server_address[1]))
    import os

    os.rename(sys.argv[1] + ".new", sys.argv[1])
    server.serve_forever()
