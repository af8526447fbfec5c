#!/usr/bin/env python3
"""Tests of cycles.py on made-up crates. usage: test_cycles.py"""
import contextlib
import io
import pathlib
import tempfile
import unittest

import cycles


class Crate(unittest.TestCase):
    def crate(self, files):
        """A folder with these files in its src/."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        crate = pathlib.Path(folder.name).resolve()
        for name, text in files.items():
            path = crate / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return crate

    def arrows(self, files):
        """{file: files that it imports}, without files that import none."""
        crate = self.crate(files)
        def name(file):
            return str(file.relative_to(crate / "src"))
        arrows, _ = cycles.read(crate)
        return {name(file): {name(other) for other in others} for file, others in arrows.items() if others}

    def report(self, files):
        """Whether there is no circle, and what is printed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            fine = cycles.report(self.crate(files))
        return fine, out.getvalue()


LIB = "mod a; mod b;"


class Arrows(Crate):
    def test_every_way_to_name_an_item_is_one(self):
        ways = [
            "use crate::b::B;",
            "use super::b::B as C;",
            "use super::{b::{self, B}};",
            "pub use crate::b::B; fn f(b: B) {}",
            "use crate::b; fn f() { b::g() }",
            "use crate::b as c; fn f() { c::g() }",
            "use super::b::*; fn f(b: B) {}",
            "fn f() { crate::b::g() }",
            "fn f() { let x = super::b::B::new(); }",
            "macro_rules! m { () => { $crate::b::g() } }",
            "use crate::{\n    b::{\n        B, // the B\n    },\n};",
            "use crate::b; fn f(b: &'static b) { b::g() } impl A { fn b(x: *const b) {} }",
            "pub(crate) fn f<'a>(x: &'a str) -> crate::b::Made {}",
        ]
        for way in ways:
            with self.subTest(way):
                found = self.arrows({"lib.rs": LIB, "a.rs": way, "b.rs": "pub struct B; pub fn g() {}"})
                self.assertEqual(found, {"a.rs": {"b.rs"}})

    def test_what_is_no_import_is_none(self):
        ways = [
            "use crate::b;",
            "pub use crate::b::B;",
            "// use crate::b::B;",
            "/* crate::b::B */ /// crate::b::B\n",
            'const TEXT: &str = "crate::b::B \\" crate::b::B";',
            "const TEXT: &str = r#\"\" crate::b::B\"#; const QUOTE: char = '\"';",
            "#[cfg(test)] use crate::b::B;",
            "#[cfg(test)]\nmod tests { use crate::b::B; fn f() { if x { } } }",
            "#[cfg(all(test, unix))] #[allow(x)] fn f() { crate::b::g() }",
            "use std::b::B; use other::b::g; use log::log;",
            "mod inner { }",
        ]
        for way in ways:
            with self.subTest(way):
                found = self.arrows({"lib.rs": LIB, "a.rs": way, "b.rs": "pub struct B; pub fn g() {}"})
                self.assertEqual(found, {})

    def test_what_follows_a_test_is_seen(self):
        text = "#[cfg(test)] mod tests { fn f() {} }\nuse crate::b::B;"
        self.assertEqual(self.arrows({"lib.rs": LIB, "a.rs": text, "b.rs": "pub struct B;"}), {"a.rs": {"b.rs"}})

    def test_re_exports_are_followed_to_the_definition(self):
        files = {
            "lib.rs": "mod a; mod b; pub use b::{Deep as Renamed, Flat};",
            "b/mod.rs": "mod c; pub(crate) use c::*; pub use self::c::Deep;",
            "b/c.rs": "pub struct Deep; pub struct Flat;",
        }
        for way in ["crate::Renamed", "crate::b::Deep", "super::Flat", "crate::b::Flat"]:
            with self.subTest(way):
                self.assertEqual(self.arrows({**files, "a.rs": f"use {way};"}), {"a.rs": {"b/c.rs"}})

    def test_a_module_takes_from_its_parent_and_its_parents_imports(self):
        files = {
            "lib.rs": LIB,
            "a.rs": "pub struct A;",
            "b.rs": "mod c; use crate::a::A; pub struct B; fn f(a: A) { c::run() }",
            "b/c.rs": "use super::{A, B}; pub fn run() {}",
        }
        self.assertEqual(self.arrows(files), {"b.rs": {"a.rs", "b/c.rs"}, "b/c.rs": {"a.rs", "b.rs"}})


class Circles(Crate):
    def test_a_circle_is_reported_with_its_arrows_only(self):
        fine, text = self.report({
            "lib.rs": "mod a; mod b; mod c; mod d;",
            "a.rs": "use crate::b::B; pub struct A;",
            "b.rs": "use crate::c::C; use crate::d::D; pub struct B;",
            "c.rs": "pub struct C; fn f() { crate::a::A::new() }",
            "d.rs": "pub struct D;",
        })
        self.assertFalse(fine)
        self.assertEqual(text.splitlines()[1:], [
            "  src/a.rs -> src/b.rs: B", "  src/b.rs -> src/c.rs: C", "  src/c.rs -> src/a.rs: A"])

    def test_without_a_circle_the_crate_is_summed_up(self):
        fine, text = self.report({
            "lib.rs": "mod a; mod b; mod c;",
            "a.rs": "use crate::{b::B, c::C};",
            "b.rs": "use crate::c::C; pub struct B;",
            "c.rs": "pub struct C;",
        })
        self.assertTrue(fine)
        self.assertRegex(text, "4 files, 3 arrows, the longest chain has 3 files")

    FOLDER = {
        "lib.rs": "mod a; mod b;",
        "a.rs": "pub struct A;",
        "b/mod.rs": "mod c; pub struct B; fn f() { c::run() }",
        "b/c.rs": "use super::B; pub fn run() {}",
    }

    def test_a_mod_rs_and_the_files_below_it_may_name_each_other(self):
        self.assertTrue(self.report(self.FOLDER)[0])

    def test_two_files_of_a_folder_may_not(self):
        files = {**self.FOLDER, "b/mod.rs": "mod c; mod d; pub struct B; fn f() { c::run() }",
                 "b/c.rs": "use super::{B, d::D}; pub fn run() {}", "b/d.rs": "pub struct D; use super::c::run;"}
        fine, text = self.report(files)
        self.assertFalse(fine)
        self.assertNotIn("mod.rs", text)

    def test_a_circle_that_leaves_the_folder_is_one(self):
        fine, text = self.report({**self.FOLDER, "a.rs": "pub struct A; use crate::b::B;",
                                  "b/c.rs": "use super::B; use crate::a::A; pub fn run() {}"})
        self.assertFalse(fine)
        self.assertIn("src/b/c.rs -> src/b/mod.rs: B", text)

    def test_the_root_is_not_the_mod_rs_of_a_folder(self):
        self.assertFalse(self.report({"lib.rs": "mod a; pub struct R; fn f() { a::g() }",
                                      "a.rs": "use crate::R; pub fn g() {}"})[0])


if __name__ == "__main__":
    unittest.main()
