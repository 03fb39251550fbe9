#!/usr/bin/python3
"""Images and archives that nobody should trust.

    odd_images.py push REGISTRY OUTSIDE    pushes each image as REGISTRY/odd/NAME:latest, prints the names
    odd_images.py large REGISTRY MEGABYTES pushes one image of that size, zeros, as REGISTRY/odd/large:latest
    odd_images.py archives DIR OUTSIDE     writes the layers as DIR/NAME.tar

OUTSIDE is a folder of the host that hostile entries aim at; nothing may appear or change in it.
Names that begin with "bad-" must be refused with one sentence, "ok-" ones must work, "any-" ones may do
either: what counts is that nothing outside is touched and that the next build works.
"""
import gzip, hashlib, io, json, os, sys, tarfile, urllib.request


def entry(name, kind=tarfile.REGTYPE, link="", data=b"", mode=0o644, **more):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tar(*entries, fmt=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


DIR, SYM, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def layers(outside):
    """name → the layers' tars, lowest first"""
    up = "../" * 20
    deep = "/".join(["d"] * 5000)
    out = {
        "any-dotdot": [tar(entry(up + outside + "/dotdot", data=b"x"))],
        "any-dotdot-inside": [tar(entry("a/../../" + up + outside + "/dotdot", data=b"x"))],
        "ok-absolute": [tar(entry(outside + "/absolute", data=b"x"))],
        "any-hardlink-out": [tar(entry("link", HARD, link=up + outside + "/victim"), entry("link", data=b"overwritten"))],
        "any-hardlink-absolute": [tar(entry("link", HARD, link=outside + "/victim"), entry("link", data=b"overwritten"))],
        "any-hardlink-through-symlink": [
            tar(entry("s", SYM, link=outside), entry("h", HARD, link="s/victim"), entry("h", data=b"overwritten"))],
        "any-symlinked-parent": [tar(entry("s", SYM, link=outside), entry("s/through", data=b"x"))],
        "any-symlinked-parent-below": [tar(entry("s", SYM, link=outside)), tar(entry("s/through", data=b"x"))],
        "any-symlinked-parent-chain": [
            tar(entry("a", SYM, link="."), entry("a/b", SYM, link="a/../" + up + outside), entry("b/through", data=b"x"))],
        "any-whiteout-out": [tar(entry(".wh." + up + outside + "/victim"))],
        "any-whiteout-through": [tar(entry("s", SYM, link=outside)), tar(entry("s/.wh.victim"))],
        "any-whiteout-dotdot": [tar(entry("a", DIR, mode=0o755)), tar(entry("a/.wh..."), entry("a/.wh.."))],
        "any-opaque-through": [tar(entry("s", SYM, link=outside)), tar(entry("s/.wh..wh..opq"))],
        "any-whiteout-of-root": [tar(entry(".wh..wh..opq"), entry(".wh.."), entry(".wh.")), tar(entry(".wh..wh..opq"))],
        "any-dir-over-symlink": [tar(entry("s", SYM, link=outside)), tar(entry("s", DIR, mode=0o700), entry("s/x", data=b"x"))],
        "any-mode-through-symlink": [tar(entry("s", SYM, link=outside), entry("s/victim", mode=0o7777, data=b"x", uid=1))],
        "ok-duplicates": [tar(*[entry("same", data=str(i).encode()) for i in range(500)])],
        "ok-kind-changes": [tar(entry("x", data=b"x"), entry("x", DIR, mode=0o755), entry("x/y", data=b"y"),
                                entry("x", SYM, link="nowhere"), entry("x", data=b"z"))],
        "ok-devices": [tar(entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3), entry("fifo", tarfile.FIFOTYPE),
                           entry("sda", tarfile.BLKTYPE, devmajor=8, devminor=0))],
        "ok-self-link": [tar(entry("loop", SYM, link="loop"), entry("me", SYM, link="."))],
        "bad-self-hardlink": [tar(entry("loop", HARD, link="loop"))],
        "bad-missing-hardlink": [tar(entry("x", HARD, link="missing"))],
        "any-empty-name": [tar(entry(""), entry("/"), entry("."), entry("./"))],
        "ok-odd-names": [tar(entry("new\nline"), entry("tab\t"), entry(" "), entry("..."), entry("-rf"), entry("\x1b[31m"))],
        "bad-long-component": [tar(entry("n" * 300))],
        "any-deep": [tar(entry(deep, data=b"x"))],
        "bad-huge-pax": [tar(entry("x", pax_headers={"comment": "c" * (64 << 20)}))],
        "any-many-xattrs": [tar(entry("x", pax_headers={f"SCHILY.xattr.user.k{i}": "v" * 1000 for i in range(2000)}))],
        "any-odd-xattrs": [tar(entry("x", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y",
                                                       "SCHILY.xattr.trusted.overlay.redirect": "/etc",
                                                       "SCHILY.xattr.": "x", "SCHILY.xattr.nonsense": "x"}),
                              entry("d", DIR, mode=0o755, pax_headers={"SCHILY.xattr.trusted.overlay.redirect": up + outside}))],
        "any-odd-numbers": [tar(entry("x", pax_headers={"mtime": "-99999999999999", "uid": "99999999999", "size": "0"}))],
        "any-bad-numbers": [tar(entry("x", pax_headers={"mtime": "never", "uid": "-1", "size": "-5"}))],
        "bad-garbage": [bytes(range(256)) * 100],
        "bad-truncated": [tar(entry("x", data=b"x" * 100000))[:50000]],
        "any-negative-size": [bytearray(tar(entry("x", data=b"xyz")))],
        "ok-nothing": [b"\0" * 1024],
        "any-empty": [b""],
        "any-sparse-bomb": [sparse(1 << 50)],
    }
    out["any-negative-size"][0][124:136] = b"\xff" * 12
    out["any-negative-size"] = [bytes(out["any-negative-size"][0])]
    return out


def sparse(size):
    """A GNU sparse file of a petabyte in one block."""
    info, _ = entry("sparse")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[124:136] = b"00000000000\0"
    header[386:410] = b"00000000000\0" + b"00000000000\0"
    header[483:495] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"\0" * 1024


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Pusher:
    def __init__(self, registry):
        self.registry, self.names = registry, []

    def request(self, method, path, data, content_type="application/octet-stream"):
        request = urllib.request.Request(f"http://{self.registry}{path}", data, {"Content-Type": content_type}, method=method)
        urllib.request.urlopen(request).read()

    def blob(self, name, data):
        self.request("POST", f"/v2/odd/{name}/blobs/uploads/?digest={digest(data)}", data)
        return {"digest": digest(data), "size": len(data)}

    def image(self, name, tars, change_config=lambda c: c, change_manifest=lambda m: m, compress=gzip.compress):
        config = change_config({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(t) for t in tars]},
            "history": [{"created_by": name} for _ in tars]})
        config = config if isinstance(config, bytes) else json.dumps(config).encode()
        oci = "application/vnd.oci.image."
        manifest = {
            "schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
            "config": dict(self.blob(name, config), mediaType=oci + "config.v1+json"),
            "layers": [dict(self.blob(name, compress(t)), mediaType=oci + "layer.v1.tar+gzip") for t in tars]}
        manifest = change_manifest(manifest)
        manifest = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        self.put(name, manifest, oci + "manifest.v1+json")

    def put(self, name, manifest, content_type):
        self.request("PUT", f"/v2/odd/{name}/manifests/latest", manifest, content_type)
        self.names.append(name)


def changed(key, value):
    def change(document):
        *path, last = key.split(".")
        at = document
        for part in path:
            at = at[int(part)] if part.isdigit() else at[part]
        at[int(last) if last.isdigit() else last] = value
        return document

    return change


def push(registry, outside):
    pusher = Pusher(registry)
    for name, tars in layers(outside).items():
        pusher.image(name, tars)
    good = [tar(entry("x", data=b"x"))]
    pusher.image("ok-zip-bomb", [tar(entry("zeros", data=b"\0" * (200 << 20)))])
    pusher.image("bad-gzip", good, compress=lambda t: gzip.compress(t)[:-10])
    pusher.image("bad-gzip-tail", good, compress=lambda t: gzip.compress(t) + b"garbage" * 100)
    pusher.image("bad-not-gzip", good, compress=lambda t: b"\x1f\x8bnot gzip at all")
    wrong = "sha256:" + "1" * 64
    for name, change in {
        "bad-diff-id": changed("rootfs.diff_ids", [wrong]),
        "bad-few-diff-ids": changed("rootfs.diff_ids", []),
        "bad-diff-id-text": changed("rootfs.diff_ids", ["../../etc"]),
        "any-config-types": lambda c: b'{"config":[],"rootfs":"x","os":3,"architecture":{}}',
        "bad-config-json": lambda c: b'{"config":',
        "any-config-null": lambda c: b"null",
        "any-config-nested": lambda c: b"[" * 200000,
        "any-config-env": changed("config", {"Env": [1, None, "=", "A", "B=" + "x" * 1000000], "User": "\n", "WorkingDir": "../..", "ExposedPorts": []}),
        "any-config-numbers": lambda c: b'{"config":{},"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[1e999]}}',
    }.items():
        pusher.image(name, good, change_config=change)
    for name, change in {
        "bad-layer-digest": changed("layers.0.digest", "sha256:zz/../../x"),
        "bad-layer-size": changed("layers.0.size", 5),
        "bad-layer-negative": changed("layers.0.size", -1),
        "any-layer-huge": changed("layers.0.size", 1 << 62),
        "bad-layer-text": changed("layers.0.size", "many"),
        "bad-layers-missing": changed("layers.0", {}),
        "bad-layers-null": changed("layers", None),
        "bad-config-missing": changed("config", {}),
        "bad-config-digest": changed("config.digest", wrong),
        "bad-manifest-json": lambda m: b"{]",
        "bad-manifest-array": lambda m: b"[]",
        "bad-manifest-nested": lambda m: b'{"layers":' + b"[" * 300000,
        "any-manifest-media": changed("layers.0.mediaType", "text/html"),
        "any-manifest-utf8": changed("config.mediaType", "\udcff".encode("utf-8", "surrogateescape").decode("latin1")),
    }.items():
        pusher.image(name, good, change_manifest=change)
    index = "application/vnd.oci.image.index.v1+json"
    pusher.put("bad-index-empty", json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": []}).encode(), index)
    pusher.put("bad-index-missing", json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": [
        {"mediaType": index, "digest": wrong, "size": 5, "platform": {"os": "linux", "architecture": "amd64"}}]}).encode(), index)
    pusher.put("bad-index-platform", json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": wrong, "size": 5, "platform": 7}]}).encode(), index)
    print("\n".join(pusher.names))


if __name__ == "__main__":
    command, where, outside = sys.argv[1:4]
    if command == "push":
        push(where, outside)
    elif command == "large":
        Pusher(where).image("large", [tar(entry("zeros", data=bytes(int(outside) << 20)))])
    else:
        for name, tars in layers(outside).items():
            with open(os.path.join(where, name + ".tar"), "wb") as out:
                out.write(tars[-1])
