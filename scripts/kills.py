"""Kills `cutq align` at random moments, and checks that it ends as if nobody had: with the same adapters
and the same figures, and no reply paid for twice. Called by `make test-kills`.

usage: python3 scripts/kills.py [--kills N] [--seed SEED] [--keep DIR]

The judge is a server on loopback that replies to a question always the same, after a random while, so up
to 16 calls are open when a run is killed. Only these may be asked again.
"""
import argparse
import collections
import http.server
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
CUTQ = REPO / "target/release/cutq"
MODELS = pathlib.Path(os.environ.get("CUTQ_MODELS") or REPO / "models")
MODEL = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPTS = REPO / "demo/align"

# Prompts for opinions, which the model gives in the first person, and what the judge has against it.
KIND = "opinion"
WORD = re.compile(r"\W*(I)\b")
FAULT = "It begins with the word I."
# Calls that are open at once, and the longest that one is.
OPEN = 16
LONGEST = 0.4
# Two rounds that are short, and still better than the model before them.
ROUNDS = 2
FLAGS = f"""--instructions train.jsonl --eval-instructions eval.jsonl --test-instructions test.jsonl
    --rounds {ROUNDS} --patience {ROUNDS} --samples-per-round 20 -n 12 --positive-ratio 1 --lr 2e-3
    --temperature 1 --weight-quoted 4 --batch-size 4 --save-every 1 --concurrency {OPEN} --price 1,2
    --quiet""".split()
# Prompts of each file.
PROMPTS_OF = {"train": 40, "eval": 20, "test": 4}


def say(text):
    print(f"kills: {text}", flush=True)


class Judge(http.server.ThreadingHTTPServer):
    """The server, which writes down what it is asked."""
    daemon_threads = True
    request_queue_size = 4 * OPEN

    def __init__(self, seed):
        super().__init__(("127.0.0.1", 0), Handler)
        self.random = random.Random(seed)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def spec(self):
        return f"http://127.0.0.1:{self.server_port}/v1#rule"

    def handle_error(self, request, client_address):
        """A client that is killed leaves without a word."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One question and its reply."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # The seed is the beginning of the call's key, by which its reply is kept.
        self.server.asked.append(question["seed"])
        time.sleep(self.server.random.uniform(0, LONGEST))
        text = question["messages"][-1]["content"]
        response = text.split("\n### Response:\n", 1)[1].split("\n", 1)[1]
        found = WORD.match(response)
        faults = [{"quote": found[1], "what": FAULT}] if found else []
        content = json.dumps({"judgment": FAULT if found else "perfect", "faults": faults})
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(text), "completion_tokens": len(content)}
        body = json.dumps({"choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


def start(folder, name, server):
    command = [CUTQ, "align", MODEL, *FLAGS, "--run-dir", name, "--judge", server.spec()]
    return subprocess.Popen(command, cwd=folder)


def finish(folder, name, server):
    code = start(folder, name, server).wait()
    assert code == 0, f"{name} ended with status {code}"


def read(path):
    """The questions that a file of replies answers, as `asked` has them; a torn last line is none."""
    lines = [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]
    assert all(line["outcome"] == "answered" for line in lines), path
    assert len({line["key"] for line in lines}) == len(lines), f"{path} answers a question twice"
    return [int(line["key"][:7], 16) for line in lines]


def received(run):
    """How often a run has received the answer to each question. Two rounds may ask the same, if their
    models answer the same; round 1 begins with what the dry round was told."""
    logs = [path for path in run.rglob("calls.jsonl") if path.parent.name.removesuffix(".tmp") != "dry"]
    if not any(path.parent.match("rounds/1/judge*") for path in logs):
        logs += run.glob("dry*/calls.jsonl")
    return collections.Counter(question for path in logs for question in read(path))


def at_work(run):
    """The files of stages that are not complete, and the questions that they answer."""
    return {path: set(read(path)) for path in run.glob("**/*.tmp/calls.jsonl")}


def rounds(run):
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def check_same(run, whole):
    """Whether a killed run has ended as the whole one."""
    for path in ["best.gguf", *(f"rounds/{round}/adapter.gguf" for round in range(1, ROUNDS + 1))]:
        assert (run / path).read_bytes() == (whole / path).read_bytes(), f"{run / path} differs"
    assert rounds(run) == rounds(whole), (rounds(run), rounds(whole))
    assert (run / "test.json").read_text() == (whole / "test.json").read_text()
    assert received(run) == received(whole)


def wait(process, server, chance, seconds):
    """Waits until a random moment of the run: half of them while the judge is asked."""
    end = time.monotonic() + chance.uniform(0, seconds)
    if chance.random() < 0.5:
        questions = len(server.asked) + chance.randint(1, OPEN)
        while len(server.asked) < questions and process.poll() is None and time.monotonic() < end + seconds:
            time.sleep(0.002)
        end = time.monotonic() + chance.uniform(0, LONGEST)
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.002)


def check_asked(run, before, known, asked):
    """How many of the questions that were `asked` have no answer, in a run that was killed since it had
    received `before` and held `known` in stages that were not complete."""
    new = received(run) - before
    lost = collections.Counter(asked)
    lost.subtract(new)
    assert min(lost.values(), default=0) >= 0, "an answer came to a question that nobody asked"
    assert lost.total() <= OPEN, f"{lost.total()} calls were open"
    # Where a stage was completed, its file would answer a question twice.
    again = set().union(*(known[path] for path in known if path.exists())).intersection(asked)
    assert not again, f"{len(again)} questions were asked again whose answers were there"
    return lost.total()


def attempt(folder, name, server, chance, seconds):
    """Runs and kills; whether it was still going on then, and how many calls were open."""
    run, first = folder / name, len(server.asked)
    before, known = received(run), at_work(run)
    process = start(folder, name, server)
    wait(process, server, chance, seconds)
    is_killed = process.poll() is None
    process.kill()
    code = process.wait()
    assert is_killed or code == 0, f"{name} ended with status {code}"
    # What was under way may still arrive at the server.
    time.sleep(0.1)
    return is_killed, check_asked(run, before, known, server.asked[first:])


def kill_often(folder, server, chance, kills, seconds):
    """Kills runs, one after the other where one ends before. The names of those that were begun, and how
    many calls were cut off."""
    names, done, lost = ["cut1"], 0, 0
    while done < kills:
        is_killed, n_open = attempt(folder, names[-1], server, chance, seconds)
        lost += n_open
        if is_killed:
            done += 1
            stage = [path.relative_to(folder) for path in folder.glob(f"{names[-1]}/**/*.tmp")]
            say(f"kill {done}/{kills}: {n_open} calls open, at work in {stage[0] if stage else 'no stage'}")
        else:
            say(f"{names[-1]} has ended")
            names.append(f"cut{len(names) + 1}")
    finish(folder, names[-1], server)
    return names, lost


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--keep", metavar="DIR", help="leave the runs in this folder, which must be new")
    args = parser.parse_args()
    say(f"--kills {args.kills} --seed {args.seed}")
    chance, server = random.Random(args.seed), Judge(args.seed)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(args.keep or place)
        folder.mkdir(exist_ok=not args.keep)
        for name, n in PROMPTS_OF.items():
            lines = (PROMPTS / f"{name}.jsonl").read_text().splitlines(keepends=True)
            lines = [line for line in lines if json.loads(line)["kind"] == KIND]
            (folder / f"{name}.jsonl").write_text("".join(lines[:n]))
        begun = time.monotonic()
        finish(folder, "whole", server)
        took, questions = time.monotonic() - begun, len(server.asked)
        assert received(folder / "whole") == collections.Counter(server.asked)
        assert (folder / "whole/best.gguf").exists(), "no round is better: nothing chooses one"
        say(f"undisturbed: {took:.0f} s, {questions} questions")
        # A run that is killed so often takes a few times as long.
        names, lost = kill_often(folder, server, chance, args.kills, 4 * took / args.kills)
        for name in names:
            check_same(folder / name, folder / "whole")
        asked = len(server.asked) - questions
        assert asked == len(names) * questions + lost, (asked, len(names), questions, lost)
        say(f"{args.kills} kills in {len(names)} runs: the same adapters, figures and answers; {asked} "
            f"questions, {lost} of them again because a kill had cut their call off")


if __name__ == "__main__":
    main()
