"""Drives the page of `cutq judge --judge human` in Chromium by keyboard alone, wide and narrow, then by
mouse and in the dark, and checks what is shown, what is written, and that the console stays silent.
Called by `make test-browser`. What the page looks like is in target/browser.

usage: python3 scripts/browser.py
"""
import json
import pathlib
import re
import subprocess
import tempfile

from webdriver import Chromium, until

REPO = pathlib.Path(__file__).resolve().parent.parent
CUTQ = REPO / "target/release/cutq"
SHOTS = REPO / "target/browser"

ENTER, SHIFT, ESCAPE, RIGHT, BACKSPACE, CONTROL = "\ue007", "\ue008", "\ue00c", "\ue014", "\ue003", "\ue009"

ANSWERS = [
    ("Thank a customer who reported a fault.",
     "Thank you for telling us. We have found the fault, and your order is on its way."),
    ("What do bees make honey from?", "Bees 🐝👩‍👩‍👧 make honey from tree bark, of course."),
    ("Name a bird.\n\nAnswer with its name alone, and with nothing that is not a bird.", "A trout."),
    ("Write a loop that counts to three.",
     "for i in range(3):\n    print(i)\n\n<img src=x onerror=\"document.title='run'\"> & <b>no markup</b>"),
    ("Nenne die Hauptstadt von Österreich.", "Die Hauptstadt ist Wien – größer als Graz."),
    ("Tell me about the sea.", "The sea is wide. " * 40),
]
# A size of the window: the name of its pictures, width, height.
SIZES = [("wide", 1280, 860), ("narrow", 400, 800)]


class Sitting:
    """cutq in a folder with the answers, and its page in the browser."""

    def __init__(self, folder, browser, name):
        self.folder, self.browser, self.name = pathlib.Path(folder), browser, name
        lines = [{"id": str(i), "instruction": instruction, "output": output}
                 for i, (instruction, output) in enumerate(ANSWERS)]
        (self.folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [CUTQ, "judge", "answers.jsonl", "--out", "judgments.jsonl", "--judge", "human"]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"http://\S+", line):
                browser.open(found[0])
                return
        raise AssertionError("cutq names no page")

    def text(self, name):
        return self.browser.run(f"return document.getElementById({name!r}).textContent")

    def field(self):
        return self.browser.run("return document.getElementById('criticism').value")

    def chosen(self):
        return self.browser.run("return getSelection().toString()")

    def quotes(self):
        return self.browser.run("return [...document.querySelectorAll('mark')].map(mark => mark.textContent)")

    def middle(self, word):
        """Where a word of the answer is in the window."""
        return self.browser.run(f"""
            const text = document.getElementById('answer').firstChild, range = document.createRange();
            range.setStart(text, text.data.indexOf({word!r}));
            range.setEnd(text, range.startOffset + {len(word)});
            const {{ left, top, width, height }} = range.getBoundingClientRect();
            return [left + width / 2, top + height / 2]""")

    def press(self, *keys):
        self.browser.press(*keys)

    def write(self, text):
        self.press(*text)

    def shows(self, index):
        """Waits until an answer is shown, none for the end; also its number."""
        if index is None:
            until(lambda: self.browser.run("return !document.getElementById('end').hidden"))
            return
        until(lambda: self.text("answer") == ANSWERS[index][1] and self.text("instruction") == ANSWERS[index][0])
        assert self.text("counter") == f"{index + 1} of {len(ANSWERS)}", self.text("counter")

    def says(self, part):
        until(lambda: part in self.text("message"))

    def picture(self, name):
        self.browser.picture(SHOTS / f"{self.name}-{name}.png")
        size = self.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1], f"{name} is wider than the window: {size}"

    def is_silent(self):
        errors = self.browser.errors()
        assert not errors, errors

    def end(self):
        assert self.process.wait(timeout=30) == 0, self.process.stderr.read()
        lines = (self.folder / "judgments.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def judge(page):
    """Every key of the page, in an order that somebody might press them."""
    page.shows(0)
    page.picture("first")
    page.press("g")
    page.shows(1)
    # A word, more of them, and a quote; a second quote as one begins to type.
    page.press(*[RIGHT] * 7)
    assert page.chosen() == "tree", page.chosen()
    page.press((SHIFT, RIGHT))
    assert page.chosen() == "tree bark", page.chosen()
    page.picture("chosen")
    page.press(ENTER)
    page.says("Quoted")
    page.press(*[RIGHT] * 3)
    page.write("It is made from nectar, and 1 emoji is too much.")
    assert page.quotes() == ["👩‍👩‍👧", "tree bark"], page.quotes()
    page.picture("quoted")
    page.press(ENTER)
    page.shows(2)
    # Small letters first; digits and keys are text in the field.
    page.write(" g is no bird, 2 s? u")
    assert page.field() == "g is no bird, 2 s? u", page.field()
    page.press((SHIFT, ENTER), "n", "o", ENTER)
    page.shows(3)
    assert page.browser.run("return document.title + document.images.length") == "cutq: what is wrong?0"
    page.press("2")
    assert page.field() == "It is made from nectar, and 1 emoji is too much.", page.field()
    page.picture("complaint")
    page.press("g")
    page.says("there is criticism")
    page.press(ENTER)
    page.shows(4)
    page.press("s")
    page.shows(5)
    page.picture("long")
    page.press("u")
    page.shows(4)
    page.press("u")
    page.shows(3)
    assert page.field() == "It is made from nectar, and 1 emoji is too much.", page.field()
    page.write("Really.")
    page.press(ENTER)
    page.shows(4)
    page.press("?")
    page.picture("keys")
    page.press("g", "?")
    page.shows(4)
    page.press("s")
    page.shows(5)
    page.write("Great.")
    page.press(ENTER)
    page.says("reads as praise")
    page.picture("praise")
    page.press((CONTROL, "a"), BACKSPACE, ESCAPE, ENTER)
    page.says("nothing is written yet")
    page.press("g")
    page.shows(None)
    page.picture("end")
    page.press("u")
    page.shows(5)
    page.press("e")
    page.shows(None)
    page.press("u")
    page.shows(5)
    page.press("g")
    page.shows(None)
    page.is_silent()
    page.press("f")


def check(lines):
    said = {line["id"]: (line["judgment"], line["quotes"]) for line in lines}
    text = ANSWERS[1][1]
    nectar = "It is made from nectar, and 1 emoji is too much."
    quotes = [{"text": part, "start": text.index(part), "end": text.index(part) + len(part)}
              for part in ["👩‍👩‍👧", "tree bark"]]
    expected = {"0": (None, []), "1": (nectar, quotes), "2": ("g is no bird, 2 s? u\nno", []),
                "3": (f"{nectar} Really.", []), "5": (None, [])}
    assert said == expected, said


def main():
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name, width, height in SIZES:
        with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
            browser.size(width, height)
            page = Sitting(folder, browser, name)
            try:
                judge(page)
                check(page.end())
                until(lambda: "closed" in page.text("end-note"))
                page.picture("finished")
            finally:
                page.process.kill()
                page.process.wait()
            print(f"browser: {name}, {width} pixels: {len(ANSWERS)} answers judged by keyboard")
    with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
        browser.size(*SIZES[0][1:])
        browser.prefer_dark()
        page = Sitting(folder, browser, "dark")
        try:
            page.press("g")
            page.shows(1)
            page.press(*[RIGHT] * 7, (SHIFT, RIGHT), ENTER)
            page.browser.double_click(*page.middle("honey"))
            assert page.quotes() == ["honey", "tree bark"], page.quotes()
            page.press(BACKSPACE)
            assert page.quotes() == ["honey"], page.quotes()
            page.write("It is nectar.")
            page.picture("quoted")
            page.is_silent()
        finally:
            page.process.kill()
            page.process.wait()
    print(f"browser: what it looks like is in {SHOTS.relative_to(REPO)}")


if __name__ == "__main__":
    main()
