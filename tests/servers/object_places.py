#!/usr/bin/env python3
"""object_places.py s3|azure|gha: stands in for an object store in the integration tests and says so: it is no
product of the vendors, but it checks every signature by the vendors' rules and refuses what they refuse. Prints its
port on loopback. Keys: s3 "id"/"secret" in region "r1"; azure account "acc" with key base64("key"); gha any bearer.
Every request is told on stderr."""
import base64, email.utils, hashlib, hmac, json, re, sys, threading, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KIND = sys.argv[1]
OBJECTS, UPLOADS, MODIFIED = {}, {}, {}
LOCK = threading.Lock()


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Place(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        print(self.command, self.path, file=sys.stderr, flush=True)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(self, status, body=b"", **headers):
        self.log_message()
        self.send_response(status)
        self.send_header("x-ms-request-id", "1")  # what clients log
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>refused</Message></Error>".encode(), x_ms_error_code=code)

    def give(self, data, want_range):
        """An object, or its part from an offset on."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", want_range or "")
        if self.command == "HEAD":
            return self.answer(200, Content_Length=str(len(data)), Last_Modified=email.utils.formatdate(MODIFIED.get(self.key, 0), usegmt=True))
        if match:
            return self.answer(206, data[int(match[1]):])
        self.answer(200, data)

    def split(self):
        url = urllib.parse.urlsplit(self.path)
        self.key = urllib.parse.unquote(url.path)
        self.raw_path = url.path
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))

    def handle_any(self):
        self.split()
        data = self.body()
        with LOCK:
            {"s3": self.s3, "azure": self.azure, "gha": self.gha}[KIND](data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = handle_any

    # ---- s3 -----------------------------------------------------------------------------------------
    def s3_signature(self, data):
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=id/(\d{8})/r1/s3/aws4_request,\s*SignedHeaders=([^,]*),\s*Signature=(\w+)",
                             self.headers.get("Authorization", ""))
        payload = self.headers.get("x-amz-content-sha256", "")
        if not match or payload != hashlib.sha256(data).hexdigest():
            return False
        day, names, given = match.groups()
        signed = {name: " ".join((self.headers.get(name) or "").split()) for name in names.split(";")}
        if "host" not in signed or any(n.lower().startswith("x-amz-") and n.lower() not in signed for n in self.headers):
            return False
        quote = lambda text: urllib.parse.quote(text, safe="-_.~")
        query = "&".join(sorted(f"{quote(k)}={quote(v)}" for k, v in self.query.items()))
        path = urllib.parse.quote(self.key, safe="/-_.~")
        canonical = "\n".join([self.command, path, query, "".join(f"{n}:{v}\n" for n, v in sorted(signed.items())), names, payload])
        stamp = self.headers["x-amz-date"]
        place = f"{day}/r1/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{place}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = b"AWS4secret"
        for part in (day, "r1", "s3", "aws4_request"):
            key = mac(key, part)
        return hmac.compare_digest(mac(key, text).hex(), given)

    def s3(self, data):
        if not self.s3_signature(data):
            return self.refuse(403, "SignatureDoesNotMatch")
        upload = self.query.get("uploadId")
        if self.command == "POST" and "uploads" in self.query:
            UPLOADS["u1"] = {}
            return self.answer(200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
        if self.command == "PUT" and upload:
            UPLOADS[upload][int(self.query["partNumber"])] = data
            return self.answer(200, ETag=f'"{hashlib.md5(data).hexdigest()}"')
        if self.command == "POST" and upload:
            numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", data)]
            OBJECTS[self.key] = b"".join(UPLOADS[upload][n] for n in numbers)
            return self.answer(200, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
        if self.command == "PUT":
            source = self.headers.get("x-amz-copy-source")
            OBJECTS[self.key] = OBJECTS["/" + urllib.parse.unquote(source)] if source else data
            if source:
                MODIFIED[self.key] = 4000000000
            return self.answer(200, b"<CopyObjectResult/>" if source else b"")
        if self.key not in OBJECTS:
            return self.refuse(404, "NoSuchKey")
        self.give(OBJECTS[self.key], self.headers.get("Range"))

    # ---- azure --------------------------------------------------------------------------------------
    def azure_signature(self, data):
        header = lambda name: self.headers.get(name, "")
        own = sorted((n.lower(), v.strip()) for n, v in self.headers.items() if n.lower().startswith("x-ms-"))
        resource = "/acc" + self.raw_path + "".join(f"\n{k.lower()}:{v}" for k, v in sorted(self.query.items()))
        text = "\n".join([self.command, header("Content-Encoding"), header("Content-Language"), str(len(data) or ""), header("Content-MD5"),
                          header("Content-Type"), "", header("If-Modified-Since"), header("If-Match"), header("If-None-Match"),
                          header("If-Unmodified-Since"), header("Range"), "".join(f"{n}:{v}\n" for n, v in own) + resource])
        return header("Authorization") == "SharedKey acc:" + base64.b64encode(mac(b"key", text)).decode()

    def azure(self, data):
        if not self.azure_signature(data):
            return self.refuse(403, "AuthenticationFailed")
        if self.query.get("restype") == "container":
            if self.command == "PUT":
                OBJECTS[self.key] = b""
                return self.answer(201)
            return self.answer(200) if self.key in OBJECTS else self.refuse(404, "ContainerNotFound")
        if self.command == "PUT" and "/" + self.key.split("/")[1] not in OBJECTS:
            return self.refuse(404, "ContainerNotFound")
        self.azure_blob(data)

    def azure_blob(self, data):
        comp = self.query.get("comp")
        if self.command == "PUT" and comp == "block":
            UPLOADS.setdefault(self.key, {})[self.query["blockid"]] = data
            return self.answer(201)
        if self.command == "PUT":
            if self.headers.get("If-None-Match") == "*" and self.key in OBJECTS:
                return self.refuse(409, "BlobAlreadyExists")
            if comp == "blocklist":
                data = b"".join(UPLOADS[self.key][i.decode()] for i in re.findall(rb"<Latest>([^<]*)</Latest>", data))
            elif self.headers.get("x-ms-blob-type") != "BlockBlob":
                return self.refuse(400, "MissingRequiredHeader")
            OBJECTS[self.key] = data
            return self.answer(201)
        if self.key not in OBJECTS:
            return self.refuse(404, "BlobNotFound")
        self.give(OBJECTS[self.key], self.headers.get("x-ms-range") or self.headers.get("Range"))

    # ---- gha: both versions, with its blobs in the same server -----------------------------------------
    def gha(self, data):
        if self.key.startswith("/upload/"):
            self.key = self.key[len("/upload/"):]
            return self.azure_blob(data)
        if self.key.startswith("/blob/"):
            return self.give(OBJECTS["done:" + self.key[len("/blob/"):]], self.headers.get("x-ms-range") or self.headers.get("Range"))
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            return self.answer(401, b'{"message":"no token"}')
        (self.gha_twirp if self.key.startswith("/twirp/") else self.gha_old)(data)

    def newest(self, prefix):
        found = [key[5:] for key in OBJECTS if key.startswith("done:" + prefix)]
        return found[-1] if found else None

    def tell(self, value, status=200):
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def where(self, folder, key):
        return f"http://{self.headers['Host']}/{folder}/{urllib.parse.quote(key, safe='')}"

    def gha_twirp(self, data):
        call, ask = self.key.rsplit("/", 1)[1], json.loads(data)
        key = ask["key"]
        if call == "CreateCacheEntry":
            if key in UPLOADS:
                return self.tell({"code": "already_exists", "message": "cache entry exists"}, 409)
            UPLOADS[key] = {}
            return self.tell({"ok": True, "signed_upload_url": self.where("upload", key) + "?sig=x"})
        if call == "FinalizeCacheEntryUpload":
            if len(OBJECTS[key]) != int(ask["size_bytes"]):
                return self.tell({"code": "invalid_argument"}, 400)
            OBJECTS["done:" + key] = OBJECTS.pop(key)
            return self.tell({"ok": True, "entry_id": "1"})
        found = self.newest(key)
        self.tell({"ok": True, "matched_key": found, "signed_download_url": self.where("blob", found)} if found else {"ok": False})

    def gha_old(self, data):
        if self.command == "GET":
            found = self.newest(self.query["keys"])
            if not found:
                return self.answer(204)
            return self.tell({"cacheKey": found, "scope": "s", "archiveLocation": self.where("blob", found)})
        if self.command == "POST" and self.key.endswith("/caches"):
            key = json.loads(data)["key"]
            if key in UPLOADS.values():
                return self.tell({"typeKey": "ArtifactCacheItemAlreadyExistsException", "message": "exists"}, 409)
            number = str(len(UPLOADS) + 1)
            UPLOADS[number] = key
            OBJECTS[number] = b""
            return self.tell({"cacheId": int(number)})
        number = self.key.rsplit("/", 1)[1]
        if self.command == "PATCH":
            first = int(re.match(r"bytes (\d+)-", self.headers["Content-Range"])[1])
            OBJECTS[number] = OBJECTS[number].ljust(first, b"\0")[:first] + data + OBJECTS[number][first + len(data):]
            return self.answer(204)
        if len(OBJECTS[number]) != json.loads(data)["size"]:
            return self.tell({"message": "size"}, 400)
        OBJECTS["done:" + UPLOADS[number]] = OBJECTS.pop(number)
        self.answer(204)


server = ThreadingHTTPServer(("127.0.0.1", 0), Place)
print(server.server_address[1], flush=True)
server.serve_forever()
