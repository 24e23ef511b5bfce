"""The ``if`` of a task: one comparison language over ``vars``, ``env`` and ``matrix``.

``==``, ``!=``, ``in``, ``not in``, ``not``, ``and``, ``or``, parentheses; texts in quotes, numbers, ``true``,
``false``, lists.  ``in`` asks whether a list holds a value, or a text a text.  There are no functions: what needs one
is a task of its own.  A name stands by itself, without ``${…}``: a value that were put into the text could be read
as a part of the question.  A variable of the environment that is not set is empty text.

Choices: a parser of our own, or that of Python under a list of what is allowed.  The second cannot disagree with what
people know ``and`` and ``not`` to bind; its price is that its error messages speak of Python, so the likely mistakes
are looked for before (``&&``, ``=``) and after (a call, ``<``) and told in our words.

Values are compared as TOML has them: true is not 1, and 1 is 1.0.  A comparison of two kinds of value, such as a text
with a number, has the same answer whatever the values are, so somebody means something else: it is a mistake, unless
the kinds are the same for another instance of the task.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Union

from workflow.diagnostics.suggest import did_you_mean
from workflow.spec.reference import describe, follow
from workflow.spec.values import Refused

LONGEST = 4000
"""Characters: what is longer was made by a program, and would be too deep to read for Python too."""
_REMEMBERED_MAX = 4096
"""Answers: a million instances that differ in nothing but a number have a million, each asked for once."""
NAMESPACES = ("vars", "env", "matrix")
_ELSEWHERE = ("run", "secrets", "task", "tasks")


@dataclass(frozen=True, slots=True)
class Name:
    """``matrix.os``: a value that has a name."""

    text: str
    namespace: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands there itself."""

    text: str
    value: object


@dataclass(frozen=True, slots=True)
class Listed:
    """``[1, vars.x]``."""

    text: str
    elements: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left == right``."""

    text: str
    left: Operand
    operator: Literal["==", "!=", "in", "not in"]
    right: Operand


@dataclass(frozen=True, slots=True)
class Not:
    """``not question``."""

    question: Question


@dataclass(frozen=True, slots=True)
class Joined:
    """``question and question``, or ``or``."""

    every: bool
    questions: tuple[Question, ...]


Operand = Union[Name, Constant, Listed]
Question = Union[Comparison, Not, Joined, Name, Constant]
Lookup = Callable[[Name], object]


@dataclass(frozen=True, slots=True)
class Condition:
    """What stands behind ``if``, read and not yet answered."""

    text: str
    """As the file has it."""
    question: Question

    @property
    def names(self) -> tuple[Name, ...]:
        """Those in it, in its order."""
        return tuple(_names(self.question))


class BadCondition(Refused):
    """A text that is no condition."""

    code = "bad-condition"


class Senseless(Exception):
    """A condition that has no answer for these values: what it is about, what is wrong, what to do."""

    def __init__(self, text: str, headline: str, help_: str | None = None) -> None:
        super().__init__(headline)
        self.text = text
        self.headline = headline
        self.help = help_


class Answers:
    """The answers of one condition for the instances of one task.

    After all of them, ``pointless`` lists the comparisons that no values of theirs could decide.
    """

    def __init__(self, condition: Condition, known: Lookup) -> None:
        """``known`` answers names of ``vars`` and ``env``."""
        self._condition = condition
        self._axes = tuple(dict.fromkeys(name.path for name in condition.names if name.namespace == "matrix"))
        self._known = known
        self._answers: dict[tuple[object, ...], bool] = {}
        self._sensible: set[int] = set()
        self._other_kinds: dict[int, Senseless] = {}
        self.constant = all(name.namespace == "matrix" for name in condition.names)
        """Whether nothing outside of the file's tasks can change them."""

    def of(self, matrix: Mapping[str, object]) -> bool:
        """Whether it holds.  Raises Senseless, or LookupError for a path that leads nowhere."""
        # An instance is asked only about what is named: a million of them may differ in two operating systems.
        values = {path: follow(matrix, path, "matrix") for path in self._axes}
        key = tuple(map(comparable, values.values()))
        answer = self._answers.get(key)
        if answer is None:

            def lookup(name: Name) -> object:
                return values[name.path] if name.namespace == "matrix" else self._known(name)

            answer = self._answer(self._condition.question, lookup)
            if len(self._answers) < _REMEMBERED_MAX:
                self._answers[key] = answer
        return answer

    @property
    def pointless(self) -> tuple[Senseless, ...]:
        """Comparisons of values that are of different kinds in every instance."""
        return tuple(error for number, error in self._other_kinds.items() if number not in self._sensible)

    def _answer(self, question: Question, lookup: Lookup) -> bool:
        if isinstance(question, Comparison):
            return self._compared(question, lookup)
        if isinstance(question, Not):
            return not self._answer(question.question, lookup)
        if isinstance(question, Joined):
            # All of them, also when the first decides: a mistake in the last is there in every run.
            answers = [self._answer(each, lookup) for each in question.questions]
            return all(answers) if question.every else any(answers)
        value = _value(question, lookup)
        if not isinstance(value, bool):
            help_ = f"compare it, such as {question.text} == {_example(value)}"
            raise Senseless(question.text, f"{question.text} is {describe(value)}, not true or false", help_)
        return value

    def _compared(self, question: Comparison, lookup: Lookup) -> bool:
        left, right = _value(question.left, lookup), _value(question.right, lookup)
        operator = question.operator
        if operator in ("==", "!="):
            if _kind(left) == _kind(right):
                self._sensible.add(id(question))
            else:
                headline = f"{_said(question.left, left)} is never {_said(question.right, right)}"
                self._other_kinds[id(question)] = Senseless(question.text, headline, _quoted(question, left, right))
            return (comparable(left) == comparable(right)) is (operator == "==")
        if isinstance(right, str) and isinstance(left, str):
            self._sensible.add(id(question))
            return (left in right) is (operator == "in")
        if not isinstance(right, (list, tuple)):
            headline = f"{question.right.text} is {describe(right)}, there is nothing in it"
            if isinstance(right, str):
                headline = f"{_said(question.left, left)} cannot stand in {_said(question.right, right)}"
            raise Senseless(question.text, headline, "what is looked in is a list, such as [1, 2], or text")
        if not right or any(_kind(left) == _kind(each) for each in right):
            self._sensible.add(id(question))
        else:
            headline = f"{_said(question.left, left)} is never one of them: none is {_kind(left)}"
            self._other_kinds[id(question)] = Senseless(question.text, headline, None)
        found = any(comparable(left) == comparable(each) for each in right)
        return found is (operator == "in")


def comparable(value: object) -> object:
    """What to compare a value by: equal where TOML's values are."""
    if isinstance(value, (list, tuple)):
        return ("list", tuple(map(comparable, value)))
    if isinstance(value, dict):
        return ("table", frozenset((key, comparable(each)) for key, each in value.items()))
    return (_kind(value), value)


def read_condition(text: object) -> Condition:
    """Read what stands behind ``if``.  Raises Refused, with the part of it that is wrong."""
    if isinstance(text, bool):
        raise BadCondition(f"must be a comparison in quotes, not {describe(text)}", _FORMS)
    if not isinstance(text, str) or not text.strip():
        raise BadCondition(f"must be a comparison, not {describe(text)}", _FORMS)
    if len(text) > LONGEST:
        raise BadCondition(f"is longer than {LONGEST:,} characters")
    if "\0" in text:
        raise BadCondition("holds a NUL character")
    line = _one_line(text)
    # In brackets, so that it may begin with a blank; the line behind them ends nothing that was not begun.
    shifted = f"({line}\n)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes Python does not know
            tree = ast.parse(shifted, mode="eval")
        question = _Reader(shifted).question(tree.body)
    except (SyntaxError, ValueError):
        raise BadCondition(f"{describe(text)} is not a comparison", _FORMS) from None
    except (RecursionError, MemoryError):
        raise BadCondition("is nested too deep") from None
    return Condition(text, question)


_FORMS = "such as matrix.os == 'linux' and not vars.size in [1, 2]"
_QUOTED = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_WORDS = (
    (re.compile(r"\S*\s*&&?\s*\S*"), "{} has no meaning here", "it is written 'and'"),
    (re.compile(r"\S*\s*\|\|?\s*\S*"), "{} has no meaning here", "it is written 'or'"),
    (re.compile(r"\$\{[^}]*\}?"), "{} cannot stand in an 'if'", "a name stands there by itself, such as vars.size"),
    (re.compile(r"!(?!=)\s*\S*"), "{} has no meaning here", "it is written 'not'"),
    (re.compile(r"\S*\s*={3,}\s*\S*"), "{} has no meaning here", "equal is written '=='"),
    (re.compile(r"[^\s=!<>]*\s*(?<![=!<>])=(?!=)\s*\S*"), "{} compares nothing", "equal is written '=='"),
    (re.compile(r"[A-Za-z_][\w.]*\.[0-9]+"), "{} looks for a position", "a position is written in [ ]: vars.sizes[0]"),
    (re.compile(r"#.*"), "{} cannot stand in an 'if'", "a comment stands outside of the text"),
)


def _one_line(text: str) -> str:
    """The text without its ends of lines.  Raises Refused for what people write who know another language."""
    bare = _QUOTED.sub(lambda found: found.group()[0] + "_" * (len(found.group()) - 2) + found.group()[0], text)
    for pattern, headline, help_ in _WORDS:
        if found := pattern.search(bare):
            part = text[found.start() : found.end()].strip()
            raise BadCondition(headline.format(part), help_, needle=part)
    depth = 0
    for own in bare:
        depth += (own in "([") - (own in ")]")
        if depth < 0:
            raise BadCondition(f"{describe(text)} is not a comparison", _FORMS)
    # A text in quotes holds no end of a line (_QUOTED), so those that are left stand between words; one that is not
    # closed stays the mistake it is.
    return text.replace("\r", " ").replace("\n", " ") if not set(_QUOTED.sub("", text)) & set("'\"") else text


class _Reader:
    """From Python's tree to ours."""

    def __init__(self, text: str) -> None:
        self._text = text

    def question(self, node: ast.expr) -> Question:
        if isinstance(node, ast.BoolOp):
            return Joined(isinstance(node.op, ast.And), tuple(map(self.question, node.values)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Not(self.question(node.operand))
        if isinstance(node, ast.Compare):
            if len(node.ops) > 1:
                raise self._refused(node, "compares more than two things", "join two comparisons with 'and'")
            operator = _OPERATORS.get(type(node.ops[0]))
            if operator is None:
                raise self._refused(node, "is no comparison there is", "there are ==, !=, in and not in")
            return Comparison(self._part(node), self.operand(node.left), operator, self.operand(node.comparators[0]))
        operand = self.operand(node)
        if isinstance(operand, Listed):
            raise self._refused(node, "is a list, not true or false", f"compare something with it, {_FORMS}")
        return operand

    def operand(self, node: ast.expr) -> Operand:
        if isinstance(node, ast.Constant):
            return Constant(self._part(node), self._constant(node))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            inner = self.operand(node.operand)
            if isinstance(inner, Constant) and type(inner.value) in (int, float):
                value = inner.value
                assert isinstance(value, (int, float))
                return Constant(self._part(node), -value if isinstance(node.op, ast.USub) else value)
        if isinstance(node, ast.List):
            return Listed(self._part(node), tuple(map(self.operand, node.elts)))
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            return self._name(node)
        raise self._refused(node, *_what(node))

    def _constant(self, node: ast.Constant) -> object:
        value = node.value
        if isinstance(value, bool) or value is None:
            help_ = "there is no None: compare with what stands for it" if value is None else None
            raise self._refused(node, "is Python's", help_ or f"it is written {str(value).lower()}")
        if isinstance(value, (str, int, float)) and value == value and value not in (float("inf"), float("-inf")):  # noqa: PLR0124
            return value
        raise self._refused(node, "is neither text nor a number, true or false", None)

    def _name(self, node: ast.expr) -> Operand:
        path: list[str] = []
        inner = node
        while not isinstance(inner, ast.Name):
            if isinstance(inner, ast.Attribute):
                path.append(inner.attr)
                inner = inner.value
            elif isinstance(inner, ast.Subscript):
                step = inner.slice.value if isinstance(inner.slice, ast.Constant) else None
                whole = isinstance(step, int) and not isinstance(step, bool) and step >= 0
                if not whole and not isinstance(step, str):
                    help_ = 'such as vars["max-size"] or vars.sizes[0]'
                    raise self._refused(inner, "takes something that is no key and no position", help_)
                path.append(str(step))
                inner = inner.value
            else:
                raise self._refused(inner, *_what(inner))
        text, first = self._part(node), inner.id
        if first in ("true", "false") and not path:
            return Constant(text, first == "true")
        if first not in NAMESPACES:
            raise self._unknown(text, first, path)
        if not path:
            raise self._refused(node, "alone is no value", f"a name follows: {first}.{_EXAMPLES[first]}")
        if first == "env" and len(path) > 1:
            raise self._refused(node, "looks into a variable of the environment, which is text", None)
        return Name(text, first, tuple(reversed(path)))

    def _unknown(self, text: str, first: str, path: list[str]) -> Refused:
        if first in _ELSEWHERE and path:
            headline = f"{text} is not known when an 'if' is answered: that is before anything runs"
            return BadCondition(headline, "an 'if' asks vars, env and matrix", needle=text)
        near = did_you_mean(first, (*NAMESPACES, "true", "false", "not", "and", "or"))
        help_ = "names begin with vars., env. or matrix."
        if not path:
            help_ += f"; text stands in quotes: '{first}'"
        return BadCondition(f"unknown name {text!r}" + (f", {near}" if near else ""), help_, needle=text)

    def _part(self, node: ast.expr) -> str:
        return (ast.get_source_segment(self._text, node) or "").strip()

    def _refused(self, node: ast.expr, what: str, help_: str | None) -> Refused:
        part = self._part(node)
        return BadCondition(f"{part} {what}", help_, needle=part)


_OPERATORS: dict[type[ast.cmpop], Literal["==", "!=", "in", "not in"]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_EXAMPLES = {"vars": "size", "env": "HOME", "matrix": "os"}


def _what(node: ast.expr) -> tuple[str, str | None]:
    """What is wrong with a piece of Python that is none of this language."""
    if isinstance(node, ast.Call):
        return "calls a function, and there are none", "compare names and values, or ask it in a task of its own"
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.Sub):
            return "calculates", "a name with a '-' is written vars[\"max-size\"]"
        return "calculates, and an 'if' only compares", None
    if isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
        return "is a comparison inside of another", "join two comparisons with 'and' or 'or'"
    if isinstance(node, ast.Tuple):
        return "is no list", "a list stands in [ ]"
    if isinstance(node, ast.IfExp):
        return "is a condition in a condition", None
    return "is no value that can be compared", _FORMS


def _names(part: Question | Operand) -> Iterator[Name]:
    if isinstance(part, Name):
        yield part
    elif isinstance(part, Comparison):
        yield from _names(part.left)
        yield from _names(part.right)
    elif isinstance(part, Not):
        yield from _names(part.question)
    elif isinstance(part, (Joined, Listed)):
        for each in part.questions if isinstance(part, Joined) else part.elements:
            yield from _names(each)


def _value(operand: Operand, lookup: Lookup) -> object:
    if isinstance(operand, Name):
        return lookup(operand)
    if isinstance(operand, Constant):
        return operand.value
    return [_value(each, lookup) for each in operand.elements]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple)) else "a table"


def _said(operand: Operand, value: object) -> str:
    return f"{operand.text}, {_kind(value)}," if isinstance(operand, Name) else describe(value)


def _quoted(question: Comparison, left: object, right: object) -> str | None:
    """What to write where a text was to be compared with something that stands there without quotes."""
    for constant, other in ((question.right, left), (question.left, right)):
        if isinstance(constant, Constant) and isinstance(other, str) and not isinstance(constant.value, str):
            return f"as text it is written '{constant.text}'"
        if isinstance(constant, Constant) and isinstance(constant.value, str) and not isinstance(other, str):
            if isinstance(other, bool) and constant.value in ("true", "false"):
                return f"without quotes: {constant.value}"
            if isinstance(other, (int, float)) and re.fullmatch(r"-?[0-9.]+", constant.value):
                return f"without quotes: {constant.value}"
    return None


def _example(value: object) -> str:
    if isinstance(value, str):
        return "'…'"
    return "1" if isinstance(value, (int, float)) else "[…]"
