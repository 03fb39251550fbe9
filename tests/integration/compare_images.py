#!/usr/bin/python3
"""Compares two images: compare_images.py OURS.tar THEIRS.tar [--exact | --files]

Each is an OCI layout as a tar. What must be the same: the config (but for times), the number of layers, and in each
layer every entry with its type, mode, owner, link, device, size, content, extended attributes and order. Times must be
the same with --exact, and then the layers' diff ids, too. With --files both are tars of the files alone. Prints what differs, one line each; exits 1 if anything does.
"""
import gzip, hashlib, io, json, sys, tarfile


def image(path):
    archive = tarfile.open(path)
    blob = lambda d: archive.extractfile("blobs/" + d.replace(":", "/")).read()
    document = json.loads(archive.extractfile("index.json").read())
    while "manifests" in document:
        document = json.loads(blob(document["manifests"][0]["digest"]))
    config = json.loads(blob(document["config"]["digest"]))
    layers = [blob(layer["digest"]) for layer in document["layers"]]
    return config, [gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer for layer in layers]


def entries(layer, times):
    out = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for number, info in enumerate(archive):
            body = archive.extractfile(info).read() if info.isreg() else b""
            attributes = {k: v for k, v in info.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            facts = dict(at=number, type=info.type, mode=oct(info.mode), owner=(info.uid, info.gid), link=info.linkname, size=info.size,
                         device=(info.devmajor, info.devminor) if info.isdev() else None,
                         content=hashlib.sha256(body).hexdigest()[:16], xattrs=attributes)
            if times:
                facts["mtime"] = info.mtime
            out[info.name] = facts
    return out


def timeless(config):
    config = json.loads(json.dumps(config))
    config.pop("created", None)
    config["rootfs"].pop("diff_ids")
    for step in config.get("history", []):
        step.pop("created", None)
        if step.get("created_by", "").startswith("HEALTHCHECK "):
            step["created_by"] = "HEALTHCHECK"  # BuildKit has printed this structure in several ways
    return config


def files(path):
    return {"rootfs": {"diff_ids": []}}, [open(path, "rb").read()]


def main():
    exact = "--exact" in sys.argv
    read = files if "--files" in sys.argv else image
    (config, layers), (other_config, other_layers) = read(sys.argv[1]), read(sys.argv[2])
    found = []
    a, b = timeless(config), timeless(other_config)
    for key in sorted(set(a) | set(b)):
        if a.get(key) != b.get(key):
            found.append(f"config {key}: {json.dumps(a.get(key))} / {json.dumps(b.get(key))}")
    if len(layers) != len(other_layers):
        found.append(f"{len(layers)} / {len(other_layers)} layers")
    for number, (ours, theirs) in enumerate(zip(layers, other_layers)):
        x, y = entries(ours, exact), entries(theirs, exact)
        for name in sorted(set(x) | set(y)):
            if name not in x or name not in y:
                found.append(f"layer {number}: {name!r} only in {'the second' if name not in x else 'the first'}")
                continue
            for fact in x[name]:
                if x[name][fact] != y[name][fact]:
                    found.append(f"layer {number}: {name!r} {fact}: {x[name][fact]} / {y[name][fact]}")
        if exact and not found and ours != theirs:
            found.append(f"layer {number}: the entries are the same, the bytes of the tar are not")
    print("\n".join(found[:40]))
    return 1 if found else 0


sys.exit(main())
