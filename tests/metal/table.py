#!/usr/bin/env python3
"""Writes table.json: what ggml's Metal backend supports, read from the source that Cargo.lock pins.

The rules are C: one function that switches over operations, and two that it calls. This reads their
statements and brings the condition under which each operation is supported into a list of
alternatives, each a list of conditions that must all hold. Beside them stands which matrix types have
a kernel, since some rules say yes to every type. Whatever has a form that is not known here is an
error, never a guess.

usage: table.py [--check]    --check: compare with the table that is there instead of writing it
"""

import hashlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

CRATE = "llama-cpp-sys-2"
HERE = Path(__file__).parent
GGML = "llama.cpp/ggml/"
METAL = GGML + "src/ggml-metal/"
RULES = METAL + "ggml-metal-device.m"
HELPERS = METAL + "ggml-metal-common.cpp"
ENUMS = GGML + "include/ggml.h"
ROWS = METAL + "kernels/quantize.metal"
MATRICES = METAL + "kernels/mul_mm.metal"
VECTORS = METAL + "kernels/mul_mv.metal"
ENTRY = "ggml_metal_device_supports_op"

# What graphs may be made of; one that a graph has and this list lacks fails the test.
OPERATIONS = """
    NONE VIEW RESHAPE PERMUTE TRANSPOSE CONT CPY CONCAT GET_ROWS
    ADD SUB MUL DIV ACC SCALE SQR SQRT UNARY SILU_BACK
    MUL_MAT SOFT_MAX RMS_NORM SUM_ROWS ROPE ROPE_BACK
""".split()

# Questions about an operand, and about two, by what the table calls them.
PREDICATES = {
    "ggml_is_contiguous": "contiguous",
    "ggml_is_contiguous_rows": "contiguous_rows",
    "ggml_is_transposed": "transposed",
}
RELATIONS = {"ggml_are_same_shape": "shape_of"}
# A question that is not looked into: whether the left matrix is marked as a Hadamard matrix.
OPAQUE = {"ggml_metal_op_mul_mat_use_fwht": "hadamard"}


class Unknown(Exception):
    """A form of rule that this script does not understand."""


# ---- C, as far as the rules use it: tokens to statements and expressions -----------------------
TOKEN = re.compile(r'\s+|//[^\n]*|/\*.*?\*/|(\w+|->|&&|\|\||[=!<>]=|[^\s\w])', re.S)
LEVELS = [["||"], ["&&"], ["==", "!="], ["<", ">", "<=", ">="], ["+", "-"], ["*", "/", "%"]]


class Parser:
    def __init__(self, text):
        self.tokens = [match[1] for match in TOKEN.finditer(text) if match[1]]
        self.at = 0

    def peek(self, ahead=0):
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def next(self, expected=None):
        token = self.peek()
        if expected not in (None, token):
            raise Unknown(f"{expected!r} expected: {' '.join(self.tokens[self.at - 8:self.at + 8])}")
        self.at += 1
        return token

    def accept(self, token):
        return self.peek() == token and bool(self.next())

    def block(self):
        """The statements up to the closing brace, or the next label of a switch."""
        statements = []
        while self.peek() not in ("}", "case", "default", ""):
            if not self.accept(";"):
                statements.append(self.statement())
        return statements

    def braced(self):
        self.next("{")
        statements = self.block()
        self.next("}")
        return statements

    def statement(self):
        if self.peek() == "{":
            return ("block", self.braced())
        if self.accept("if"):
            self.next("(")
            condition = self.expression()
            self.next(")")
            return ("if", condition, self.braced())
        if self.accept("switch"):
            self.next("(")
            value = self.expression()
            self.next(")")
            return ("switch", value, self.cases())
        if self.accept("return"):
            value = self.expression()
            self.next(";")
            return ("return", value)
        if self.accept("break"):
            self.next(";")
            return ("break",)
        if self.accept("const"):
            while self.peek(1) != "=":
                self.next()
            name = self.next()
            self.next("=")
            value = self.expression()
            self.next(";")
            return ("let", name, value)
        if self.peek() == "for":
            return ("for", self.raw_for())
        raise Unknown(f"statement: {' '.join(self.tokens[self.at:self.at + 12])}")

    def raw_for(self):
        """A loop, as its tokens."""
        start, depth = self.at, 0
        while not (depth == 1 and self.peek() == "}"):
            depth += (self.peek() == "{") - (self.peek() == "}")
            self.next()
        self.next()
        return self.tokens[start:self.at]

    def cases(self):
        """(labels, statements) in order; the label of `default` is None."""
        self.next("{")
        cases = []
        while not self.accept("}"):
            labels = []
            while self.peek() in ("case", "default"):
                labels.append(self.next() == "case" and self.next() or None)
                self.next(":")
            if not labels:
                raise Unknown("a switch without labels")
            cases.append((labels, self.block()))
        return cases

    def expression(self, level=0):
        if level == len(LEVELS):
            return self.unary()
        left = self.expression(level + 1)
        while self.peek() in LEVELS[level]:
            left = (self.next(), left, self.expression(level + 1))
        return left

    def unary(self):
        if self.accept("!"):
            return ("!", self.unary())
        if self.accept("("):
            inside = self.expression()
            self.next(")")
            return inside
        name = self.next()
        if name.isdigit():
            return ("number", int(name))
        if self.accept("("):
            arguments = []
            while not self.accept(")"):
                arguments.append(self.expression())
                self.accept(",")
            return ("call", name, arguments)
        while self.peek() in ("->", "[", "."):
            if self.accept("["):
                name += f"[{self.next()}]"
                self.next("]")
            else:
                name += self.next() + self.next()
        return ("name", name)


def function(text, name):
    """(names of parameters, statements)"""
    match = re.search(r"^(?:static )?bool " + name + r"\(([^)]*)\) \{\n(.*?)^\}", text, re.S | re.M)
    if not match:
        raise Unknown(f"there is no function {name} returning bool")
    parameters = [parameter.split()[-1].lstrip("*") for parameter in match[1].split(",")]
    parser = Parser(match[2])
    statements = parser.block()
    if parser.peek():
        raise Unknown(f"{name} goes on with {parser.peek()!r}")
    return parameters, statements


# ---- conditions: alternatives of conditions that must all hold ---------------------------------
# A condition is (subject, values): the subject takes one of the values. Of yes-or-no subjects the
# values are True and False. An alternative maps subjects to values.
TRUE, FALSE = [{}], []


def both(a, b):
    result = []
    for x, y in itertools.product(a, b):
        merged = dict(x)
        for subject, values in y.items():
            merged[subject] = merged.get(subject, values) & values
        if all(merged.values()):
            result.append(merged)
    return tidy(result)


def either(a, b):
    return tidy(a + b)


def negated(a, domain):
    result = TRUE
    for alternative in a:
        sides = [{subject: domain(subject) - values} for subject, values in alternative.items()]
        result = both(result, [side for side in sides if all(side.values())])
    return result


def tidy(alternatives):
    """Drops alternatives that another one covers and joins those that differ in one subject."""
    kept = []
    for one in alternatives:
        if not any(covers(other, one) for other in kept):
            kept = [other for other in kept if not covers(one, other)] + [one]
    for x, y in itertools.combinations(kept, 2):
        differing = [s for s in x if x.get(s) != y.get(s)]
        if x.keys() == y.keys() and len(differing) == 1:
            joined = dict(x)
            joined[differing[0]] = x[differing[0]] | y[differing[0]]
            return tidy([k for k in kept if k is not x and k is not y] + [joined])
    return kept


def covers(wide, narrow):
    return all(subject in narrow and narrow[subject] <= values for subject, values in wide.items())


YES = frozenset([True])


class Rules:
    """Evaluates the rules' statements to conditions."""

    def __init__(self, sources):
        self.sources = sources
        self.enums = {
            kind: frozenset(re.findall(rf"^\s+{prefix}(\w+)\s*[=,]", sources[ENUMS], re.M)) - {"COUNT"}
            for kind, prefix in [("type", "GGML_TYPE_"), ("function", "GGML_UNARY_OP_")]
        }

    def domain(self, subject):
        return self.enums.get(subject.split()[-1], frozenset([True, False]))

    def of_operation(self, operation):
        parameters, statements = function(self.sources[RULES], ENTRY)
        lets = [statement for statement in statements if statement[0] == "let"]
        others = [statement for statement in statements if statement[0] != "let"]
        if parameters != ["dev", "op"] or [statement[0] for statement in others] != ["if", "switch"]:
            raise Unknown(f"{ENTRY} is not one switch behind one rule")
        self.check_bfloat(others[0])
        _, value, cases = others[1]
        if value != ("name", "op->op"):
            raise Unknown(f"{ENTRY} switches over {value}")
        scope = {name: value for _, name, value in lets}
        for labels, body in cases:
            if "GGML_OP_" + operation in labels:
                return self.body(body, scope, None)
        return FALSE

    @staticmethod
    def check_bfloat(statement):
        """The first rule: without bfloat neither the result nor a source may be BF16."""
        types = set(re.findall(r"GGML_TYPE_\w+", repr(statement)))
        if statement[:2] != ("if", ("!", ("name", "has_bfloat"))) or types != {"GGML_TYPE_BF16"}:
            raise Unknown("the rule for devices without bfloat")

    def body(self, statements, scope, rest):
        """When the statements return true; where they break or end, `rest` holds."""
        if not statements:
            if rest is None:
                raise Unknown("a way without a return")
            return rest
        kind, *parts = statements[0]
        behind = lambda: self.body(statements[1:], scope, rest)
        if kind == "return":
            return self.condition(parts[0], scope)
        if kind == "break":
            return self.body([], scope, rest)
        if kind == "block":
            return self.body(parts[0] + statements[1:], scope, rest)
        if kind == "let":
            scope = scope | {parts[0]: parts[1]}
            return self.body(statements[1:], scope, rest)
        if kind == "if":
            condition, then = self.condition(parts[0], scope), parts[1]
            otherwise = both(negated(condition, self.domain), behind())
            return either(both(condition, self.body(then, scope, FALSE)), otherwise)
        if kind == "switch":
            return self.switch(parts[0], parts[1], scope, behind if statements[1:] else None)
        raise Unknown(f"a {kind} among the rules")

    def switch(self, value, cases, scope, behind):
        subject = self.subject(value, scope)
        left, result = self.domain(subject), FALSE
        rest = behind() if behind else None
        # `default` comes last: it takes what the others left.
        for labels, statements in sorted(cases, key=lambda case: None in case[0]):
            values = left if None in labels else frozenset(self.enum_value(l) for l in labels)
            left -= values
            if values:
                result = either(result, both([{subject: values}], self.body(statements, scope, rest)))
        return either(result, both([{subject: left}], rest)) if left and rest else result

    def condition(self, expression, scope):
        kind, *parts = expression
        if kind in ("||", "&&"):
            left, right = (self.condition(part, scope) for part in parts)
            return either(left, right) if kind == "||" else both(left, right)
        if kind == "!":
            return negated(self.condition(parts[0], scope), self.domain)
        if kind == "name":
            return self.flag(parts[0], scope)
        if kind == "call":
            return self.call(parts[0], parts[1], scope)
        if kind in ("==", "!="):
            equal = self.equality(*parts, scope)
            return equal if kind == "==" else negated(equal, self.domain)
        if kind in ("<", ">", "<=", ">="):
            left, right = (self.number(part, scope) for part in parts)
            return [{f"{left} {kind} {right}": YES}]
        raise Unknown(f"condition {expression}")

    def flag(self, name, scope):
        if name in ("true", "false"):
            return TRUE if name == "true" else FALSE
        if name in scope:
            return self.condition(scope[name], scope)
        if name.startswith("dev->props.has_"):
            return [{"device " + name.removeprefix("dev->props.has_"): YES}]
        raise Unknown(f"flag {name}")

    def call(self, name, arguments, scope):
        if name in OPAQUE:
            return [{OPAQUE[name]: YES}]
        if name in PREDICATES:
            return [{f"{self.operand(arguments[0], scope)} {PREDICATES[name]}": YES}]
        if name in RELATIONS:
            a, b = (self.operand(argument, scope) for argument in arguments)
            return [{f"{a} {RELATIONS[name]} {b}": YES}]
        text = self.sources[RULES] if name + "(\n" in self.sources[RULES] else self.sources[HELPERS]
        parameters, statements = function(text, name)
        inner = dict(zip(parameters, (self.resolved(a, scope) for a in arguments)))
        inner.pop("op", None)
        return self.body(statements, inner, None)

    def resolved(self, expression, scope):
        """The argument of a call, as the caller sees it."""
        if expression[0] == "name":
            return scope.get(expression[1], expression)
        if expression[0] == "call":
            return ("call", expression[1], [self.resolved(a, scope) for a in expression[2]])
        raise Unknown(f"argument {expression}")

    def equality(self, left, right, scope):
        if left[0] == "name" and left[1].endswith("type"):
            if right[1].startswith("GGML_TYPE_"):
                return [{self.subject(left, scope): frozenset([self.enum_value(right[1])])}]
            a, b = (self.subject(side, scope).split()[0] for side in (left, right))
            return [{f"{a} type_of {b}": YES}]
        return [{f"{self.number(left, scope)} == {self.number(right, scope)}": YES}]

    def number(self, expression, scope):
        if expression[0] == "number":
            return str(expression[1])
        if expression[0] == "%":
            return " % ".join(self.number(part, scope) for part in expression[1:])
        if expression[0] == "name" and expression[1] in scope:
            return self.number(scope[expression[1]], scope)
        match = expression[0] == "name" and re.fullmatch(r"(op.*)->ne\[(\d)\]", expression[1])
        if not match:
            raise Unknown(f"number {expression}")
        return f"{self.operand(('name', match[1]), scope)} ne{match[2]}"

    def subject(self, expression, scope):
        """What a switch or a comparison with a constant asks about."""
        if expression == ("call", "ggml_get_unary_op", [("name", "op")]):
            return "function"
        if expression[0] == "name" and expression[1].endswith("->type"):
            return self.operand(("name", expression[1].removesuffix("->type")), scope) + " type"
        if expression[0] == "name" and expression[1] in scope:
            return self.subject(scope[expression[1]], scope)
        raise Unknown(f"switch over {expression}")

    def operand(self, expression, scope):
        name = expression[1]
        if expression[0] == "name" and name == "op":
            return "dst"
        match = expression[0] == "name" and re.fullmatch(r"op->src\[(\d)\]", name)
        if not match:
            raise Unknown(f"operand {expression}")
        return "src" + match[1]

    def enum_value(self, name):
        value = re.sub("^GGML_(TYPE|UNARY_OP)_", "", name)
        if not any(value in values for values in self.enums.values()):
            raise Unknown(f"constant {name}")
        return value

    def written(self, alternatives):
        lines = lambda one: [self.line(s, v) for s, v in one.items() if v != self.domain(s)]
        return sorted(sorted(lines(one)) for one in alternatives)

    def line(self, subject, values):
        if values <= {True, False}:
            return subject if True in values else "not " + subject
        others = self.domain(subject) - values
        if len(others) < len(values):
            return f"{subject} none of {' '.join(sorted(others))}"
        return f"{subject} one of {' '.join(sorted(values))}"


# ---- kernels -----------------------------------------------------------------------------------
def kernels(sources):
    """The types of matrices that each kernel exists for, and what a product multiplies in."""
    rows = re.findall(r'host_name\("kernel_get_rows_(\w+)"\)', sources[ROWS])
    vectors = re.findall(
        r'(?:host_name\("|^kernel void )kernel_mul_mv_(?!ext_|mma_|id_)(\w+?)_f32["(]',
        sources[VECTORS], re.M)
    matrices = re.findall(
        r'host_name\("kernel_mul_mm_(?!id_)(\w+)_f32"\)\]\]\s+kernel mul_mm_t kernel_mul_mm<(\w+),',
        sources[MATRICES])
    if min(map(len, (rows, vectors, matrices))) < 20:
        raise Unknown("the kernels' names")
    products = {}
    for name, arithmetic in matrices:
        products.setdefault(arithmetic, []).append(name.upper())
    return {
        "get_rows": sorted(name.upper() for name in rows),
        "mul_mv": sorted({name.upper() for name in vectors}),
        "mul_mm_in": {arithmetic: sorted(names) for arithmetic, names in sorted(products.items())},
    }


# ---- the table ---------------------------------------------------------------------------------
def crate():
    """Version and folder of the crate that Cargo.lock pins."""
    def output(*command):
        return subprocess.run(command, check=True, capture_output=True, cwd=HERE, text=True).stdout
    host = re.search(r"^host: (\S+)", output("rustc", "-vV"), re.M)[1]
    # Without the platform cargo would fetch the crates of all others.
    metadata = json.loads(output(
        "cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host))
    package = next(p for p in metadata["packages"] if p["name"] == CRATE)
    return package["version"], Path(package["manifest_path"]).parent


def table():
    version, folder = crate()
    files = [ENUMS, RULES, HELPERS, ROWS, MATRICES, VECTORS]
    sources = {name: (folder / name).read_text() for name in files}
    rules = Rules(sources)
    return {
        "about": "made by table.py: alternatives under which Metal supports an operation",
        "crate": f"{CRATE} {version}",
        "sha256": {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in files},
        "operations": {o: rules.written(rules.of_operation(o)) for o in sorted(OPERATIONS)},
        "kernels": kernels(sources),
    }


def written(content):
    """JSON with a line for each alternative and each list of types."""
    text = json.dumps(content, indent=1)
    one_line = lambda match: re.sub(r"\s*\n\s*", " ", match[0]).replace("[ ", "[").replace(" ]", "]")
    return re.sub(r"\[[^\[\]]*\]", one_line, text) + "\n"


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    path = HERE / "table.json"
    try:
        text = written(table())
    except Unknown as error:
        sys.exit(f"table.py: ggml's Metal rules have a form that this does not understand: {error}")
    if not arguments:
        path.write_text(text)
    elif text != path.read_text():
        sys.exit("tests/metal/table.json is not what the pinned ggml says: run tests/metal/table.py")


if __name__ == "__main__":
    main(sys.argv[1:])
