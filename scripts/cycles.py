#!/usr/bin/env python3
"""Finds circles of imports between the files of a crate, and fails if there is one.

usage: cycles.py [CRATE...]     (folders with src/; by default core, kernels, ffi and cli)

A file imports another if it names something that the other one defines: in a `use`, or by a path in
the code. Re-exports are followed to the definition, so that it makes no difference by which way a
name is reached. A `pub use` is no import unless the file uses the name itself; neither is `mod x;`,
nor what is under `#[cfg(test)]`. Methods are not seen: they are called without naming their type.

A folder may be one thing whose mod.rs defines what its files share and calls them as well: a circle
that runs through a mod.rs and the files below it is none. One that leaves the folder is.
"""
import argparse
import functools
import pathlib
import re
import sys

REPO = pathlib.Path(__file__).resolve().parent.parent
CRATES = ["core", "kernels", "ffi", "cli"]

# Comments and literals; of a quote only what cannot be a lifetime.
NO_CODE = re.compile(r"""//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"|'(?:\\[^']+|[^'\\])'""", re.S)
TEST = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]")
USE = re.compile(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
MOD = re.compile(r"\bmod\s+(\w+)\s*;")
# Not `'static` and `*const`.
ITEM = re.compile(r"(?<![\w'*])(?:fn|struct|enum|union|trait|type|const|static|macro_rules!)\s+(?:mut\s+)?(\w+)")
PATH = re.compile(r"(?<![\w:$])\$?\w+(?:\s*::\s*\w+)+")


def code_of(text):
    """Rust source without comments, literals and what is compiled for tests only."""
    text = NO_CODE.sub(" ", text)
    while found := TEST.search(text):
        text = text[: found.start()] + text[end_of_item(text, found.end()) :]
    return text


def end_of_item(text, at):
    """Where the item that begins at `at` ends: at its semicolon, or where its braces close."""
    depth = 0
    for at in range(at, len(text)):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        if depth == 0 and text[at] in ";}":
            break
    return at + 1


def outside_braces(code):
    """The code without bodies: with them, methods would look like items of the module."""
    parts, depth = [], 0
    for part in re.split(r"([{}])", code):
        depth += (part == "{") - (part == "}")
        parts += [part] if depth == 0 else []
    return " ".join(parts)


def split_use(tree):
    """(name, path) of all that a `use` brings in; `*` stands for everything."""
    head, brace, group = tree.partition("{")
    if brace:
        prefix = [part for part in head.replace(" ", "").split("::") if part]
        for branch in split_group(group.rsplit("}", 1)[0]):
            for name, path in split_use(branch):
                inner = [part for part in path if part != "self"] if path[-1] == "self" else path
                yield (prefix[-1] if name == "self" else name), (*prefix, *inner)
        return
    path, _, alias = tree.partition(" as ")
    path = tuple(part.strip() for part in path.split("::") if part.strip())
    yield alias.strip() or path[-1], path


def split_group(text):
    """The branches between commas that are not within braces."""
    depth, start = 0, 0
    for at, char in enumerate(text + ","):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            if branch := " ".join(text[start:at].split()):
                yield branch
            start = at + 1


class Module:
    """A file, what it defines, and what it brings in."""

    def __init__(self, file, folder, name="crate", parent=None):
        self.file, self.name, self.parent = file, name, parent
        self.root = parent.root if parent else self
        code = code_of(file.read_text())
        uses = [(bool(use[1]), *pair) for use in USE.finditer(code) for pair in split_use(use[2])]
        self.code = USE.sub(" ", code)
        self.items = set(ITEM.findall(outside_braces(self.code)))
        self.words = set(re.findall(r"\w+", self.code)) - {"crate", "self", "super"}
        self.imports = {name: path for _, name, path in uses if name not in "*_"}
        self.globs = [path[:-1] for _, name, path in uses if name == "*"]
        self.used = [path for public, name, path in uses
                     if name != "*" and (not public or name in self.words)]
        self.children = {name: self.child(folder, name) for name in MOD.findall(code)}

    def child(self, folder, name):
        plain = folder / f"{name}.rs"
        return Module(plain if plain.exists() else folder / name / "mod.rs", folder / name, name, self)

    def all(self):
        yield self
        for child in self.children.values():
            yield from child.all()

    def above(self):
        """The files of the modules that this one lies in, without the crate's root."""
        return {self.parent.file, *self.parent.above()} if self.parent and self.parent.parent else set()

    def resolve(self, path, seen=frozenset()):
        """The module that defines what `path` names here; `None` for another crate's."""
        start = {"crate": self.root, "$crate": self.root, "self": self, "super": self.parent}.get(path[0])
        return start.descend(path[1:], seen) if start else self.find(path, seen)

    def descend(self, path, seen):
        """Of a path that begins in this module. What a macro defines is not found: it is taken to be
        in the module that the path leads to."""
        if path[:1] == ("super",):
            return self.parent.descend(path[1:], seen)
        if found := self.find(path, seen):
            return found
        return self.children[path[0]].descend(path[1:], seen) if path[0] in self.children else self

    def find(self, path, seen):
        if not path or path[0] in self.items:
            return self
        if path[0] in self.children:
            return self.children[path[0]].descend(path[1:], seen)
        if (self, path[0]) in seen:
            return None  # `use log::log`: the first one is a crate
        seen |= {(self, path[0])}
        if path[0] in self.imports:
            return self.resolve((*self.imports[path[0]], *path[1:]), seen)
        for glob in self.globs:
            module = self.resolve(glob, seen)
            if module and (found := module.find(path, seen)):
                return found
        return None

    def named(self):
        """(path, its module) of all that the code names, but for modules, of which the items count."""
        paths = self.used + [tuple(re.split(r"\s*::\s*", path)) for path in PATH.findall(self.code)]
        if self.globs:
            paths += [(word,) for word in self.words]
        for path in paths:
            module = self.resolve(path)
            if module and (path[-1] != module.name or path[-1] in module.items):
                yield path, module

    def arrows(self):
        """{file: names} of what this file imports."""
        found = {}
        for path, module in self.named():
            if module.file != self.file:
                types = [part for part in path if part[0].isupper()]
                found.setdefault(module.file, set()).add((types or path[-1:])[0])
        return found


def read(crate):
    """{file: {file: names}} of the crate in a folder, and {file: files of the modules above it}."""
    arrows, above = {}, {}
    roots = [crate / "src/lib.rs", crate / "src/main.rs", *sorted(crate.glob("src/bin/*.rs"))]
    for root in filter(pathlib.Path.exists, roots):
        for module in Module(root, root.parent).all():
            arrows.setdefault(module.file, {}).update(module.arrows())
            above.setdefault(module.file, set()).update(module.above())
    return arrows, above


def circles(arrows):
    """The sets of files each of which leads to all others of its set."""
    reach = {}
    for start in arrows:
        seen, todo = set(), [start]
        while todo:
            new = set(arrows.get(todo.pop(), ())) - seen
            seen |= new
            todo += new
        reach[start] = seen
    sets = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in arrows if a in reach[a]}
    return sorted(sets, key=lambda files: sorted(files))


def between_folders(arrows, above):
    """The arrows without those to a mod.rs that close a circle only with files below it."""
    while True:
        heads = {head: files for files in circles(arrows) for head in files
                 if all(head in above[file] for file in files - {head})}
        if not heads:
            return arrows
        arrows = {file: {other: names for other, names in others.items() if file not in heads.get(other, ())}
                  for file, others in arrows.items()}


def longest_chain(arrows):
    """The most files of which each imports the next, where there are no circles."""
    @functools.cache
    def length(file):
        return 1 + max(map(length, arrows[file]), default=0)
    return max(map(length, arrows), default=0)


def report(crate):
    """Prints what is to be said about a crate; whether it has no circle."""
    arrows = between_folders(*read(crate))
    if not arrows:
        sys.exit(f"cycles: {crate} holds no crate")
    found = circles(arrows)
    if not found:
        print(f"{crate.name}: {len(arrows)} files, {sum(map(len, arrows.values()))} arrows, "
              f"the longest chain has {longest_chain(arrows)} files")
    for files in found:
        print(f"{crate.name}: {len(files)} files import each other in a circle:")
        for file in sorted(files):
            for other in sorted(files & arrows[file].keys()):
                names = ", ".join(sorted(arrows[file][other]))
                print(f"  {file.relative_to(crate)} -> {other.relative_to(crate)}: {names}")
    return not found


def main():
    parser = argparse.ArgumentParser(description="Find circles of imports between files of a crate.")
    parser.add_argument("crates", nargs="*", metavar="CRATE", type=pathlib.Path)
    crates = parser.parse_args().crates or [REPO / name for name in CRATES]
    if not all([report(crate.resolve()) for crate in crates]):
        sys.exit(1)


if __name__ == "__main__":
    main()
