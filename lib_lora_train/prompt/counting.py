"""How many combinations a template has, worked out without drawing them.

The count follows the combinatorial mode: options that are written the same count once, weight 0 not at all, a lazy
variable at each use, `=!` once. Where an assignment depends on an option, the ways are counted for each set of values.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from math import comb, factorial

from lib_lora_train.prompt.choose import ALL, clamp
from lib_lora_train.prompt.errors import NotCountable, WildcardError
from lib_lora_train.prompt.nodes import Access, Assign, Body, Node, Variant, Wildcard, Wrap, items_of, joined
from lib_lora_train.prompt.template import Context, Template
from lib_lora_train.prompt.wildcards import Collection

MOST_BITS = 1_000_000
MOST_STATES = 5_000
MOST_NAMES = 1_000
LINES_A_LOOK = 1_024
"""Lines between two looks at the clock."""
OPAQUE: Body = (Wrap("", "", (0, 0)),)
"""The value of a variable that was drawn: one way to use it, but what it says is not known."""


class TooHard(Exception):
    """Not countable this way: draw the combinations and count them."""


State = tuple[tuple[str, Body], ...]
"""The variables: sorted pairs of name and body."""
Ways = dict[State, int]


class Counter:
    """Counts in one context. Raises TooHard where only drawing helps."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.known: dict[tuple[int, State, int], Ways] = {}
        self.kept: list[Body] = []
        self.bodies: dict[tuple[str, str], Template | str] = {}
        self.deadline = time.monotonic() + context.limits.count_seconds

    def count(self, templates: Iterable[Template]) -> int:
        """The combinations of templates that share their variables."""
        ways: Ways = {(): 1}
        for template in templates:
            ways = self.after(ways, template.body, 0)
        return sum(ways.values())

    def after(self, before: Ways, item: Body | Node, depth: int) -> Ways:
        """The ways to every state after `item`, from the ways to every state before it."""
        found: Ways = {}
        for state, ways in before.items():
            through = self.body(item, state, depth) if isinstance(item, (str, tuple)) else self.node(item, state, depth)
            for ended, more in through.items():
                found[ended] = found.get(ended, 0) + ways * more
                if found[ended].bit_length() > MOST_BITS:
                    raise NotCountable(
                        f"There are more than 2**{MOST_BITS:,} combinations; a wildcard that holds itself multiplies them."
                    )
        if len(found) > MOST_STATES:
            raise TooHard
        return found

    def body(self, body: Body, state: State, depth: int) -> Ways:
        """The ways through `body`, from one state."""
        if isinstance(body, str) or body is OPAQUE:
            return {state: 1}
        key = (id(body), state, depth)
        if key not in self.known:
            ways: Ways = {state: 1}
            for item in body:
                if not isinstance(item, str):
                    ways = self.after(ways, item, depth)
            self.kept.append(body)  # so that its id is not given to another
            self.known[key] = ways
        return self.known[key]

    def node(self, node: Node, state: State, depth: int) -> Ways:
        """The ways through one node, from one state."""
        if isinstance(node, Variant):
            return self.variant(node, state, depth)
        if isinstance(node, Wildcard):
            return {state: self.wildcard(node, None, state, depth)}
        if isinstance(node, Assign):
            return self.assign(node, state, depth)
        if isinstance(node, Wrap):
            return self.after(self.body(node.frame, state, depth), node.inner, depth)
        body = self.value(node, state)
        if isinstance(body, str) or body is OPAQUE:
            return {state: 1}
        return self.body(body, state, depth + 1) if depth < self.context.limits.depth else {}

    def value(self, node: Access, state: State) -> Body:
        """What a variable holds."""
        body = dict(state).get(node.name, node.default)
        if body is None:
            raise TooHard
        return body

    def assign(self, node: Assign, state: State, depth: int) -> Ways:
        """An assignment: lazy ones cost nothing."""
        older = dict(state).get(node.name)
        if node.operator == "?=" and older is not None:
            return {state: 1}
        drawn = node.eager and not isinstance(node.value, str)
        value = OPAQUE if drawn else node.value
        if node.operator == "+=" and older is not None:
            value = joined([*items_of(older), *items_of(value)])
        found: Ways = {}
        for ended, ways in self.body(node.value, state, depth).items() if drawn else ((state, 1),):
            after = _with(ended, {node.name: value})
            found[after] = found.get(after, 0) + ways
        return found

    def variant(self, node: Variant, state: State, depth: int) -> Ways:
        """The sum over the options, or over all ordered picks."""
        if (node.header.sampler or ALL) != ALL:
            return self.drawn(node.options, state)
        pool = node.pool(node.distinct) if node.multiple else None
        if pool is not None:
            return {state: self.wildcard(pool, node, state, depth)}
        options = [node.options[index] for index in node.distinct]
        low, high = clamp(node.header.low, node.header.high, len(options)) if node.multiple else (1, 1)
        if high <= 1:
            found: Ways = {state: 1} if low == 0 else {}
            for option in options if high else ():
                for ended, ways in self.body(option, state, depth).items():
                    found[ended] = found.get(ended, 0) + ways
            return found
        each = [self.body(option, state, depth) for option in options]
        if any(ended != state for ways in each for ended in ways):
            raise TooHard
        return {state: picked([sum(ways.values()) for ways in each], low, high)}

    def drawn(self, bodies: Iterable[Body], state: State) -> Ways:
        """A part marked `~` or `@` adds no combinations, unless something in it is marked `!` or assigns."""
        waiting = list(bodies)
        while waiting:
            body = waiting.pop()
            for node in body if isinstance(body, tuple) else ():
                sampler = (
                    node.header.sampler
                    if isinstance(node, Variant)
                    else node.sampler
                    if isinstance(node, Wildcard)
                    else ""
                )
                if sampler == ALL or isinstance(node, Assign):
                    raise TooHard
                if not isinstance(node, str):
                    waiting += [inner for _, inner in node.children()]
        return {state: 1}

    def wildcard(self, node: Wildcard, variant: Variant | None, state: State, depth: int) -> int:
        """The sum over the lines of every name that the wildcard can have."""
        sampler = (variant.header.sampler if variant else "") or node.sampler or ALL
        total = 0
        for name in self.spelled(node.name, state):
            try:
                collection = self.context.wildcards.find(name)
            except WildcardError:
                collection = None
            if collection is None:
                if self.context.missing == "error":
                    raise TooHard  # drawing says it, with the place
                total += 1
            elif sampler != ALL:
                total += self.drawn([node.name], state)[state]
            else:
                total += self.lines(_distinct(collection), name, (node, variant), state, depth)
        return total

    def lines(
        self, texts: Iterable[str], name: str, call: tuple[Wildcard, Variant | None], state: State, depth: int
    ) -> int:
        """The ways through the lines of one wildcard."""
        node, variant = call
        given = _with(state, dict(node.parameters))
        ways: list[int] = []
        for number, text in enumerate(texts):
            if not number % LINES_A_LOOK and time.monotonic() > self.deadline:
                raise NotCountable("The wildcards hold more lines than can be counted in the time allowed.")
            line = self.context.line(text, name)
            if isinstance(line, str):
                ways.append(1)
            elif depth < self.context.limits.depth:
                ways.append(sum(self.body(line.body, given, depth + 1).values()))
        if variant is None:
            return sum(ways)
        return picked(ways, *clamp(variant.header.low, variant.header.high, len(ways)))

    def spelled(self, body: Body, state: State) -> list[str]:
        """Every way to spell a name."""
        names = [""]
        for item in items_of(body):
            endings = [item] if isinstance(item, str) else self.spellings(item, state)
            names = [name + ending for name in names for ending in endings]
            if len(names) > MOST_NAMES:
                raise TooHard
        return names

    def spellings(self, node: Node, state: State) -> list[str]:
        """Every text of a node inside a name."""
        if isinstance(node, Variant) and not node.multiple and not node.header.sampler:
            return [text for index in node.distinct for text in self.spelled(node.options[index], state)]
        if isinstance(node, Access):
            body = self.value(node, state)
            if body is not OPAQUE and not (isinstance(body, tuple) and any(isinstance(item, Access) for item in body)):
                return self.spelled(body, state)
        raise TooHard


def _distinct(collection: Collection) -> Iterable[str]:
    """The texts that can be drawn, each once."""
    if isinstance(collection.distinct, range):
        return collection.values.all()
    wanted = set(collection.distinct)
    return (text for index, text in enumerate(collection.values.all()) if index in wanted)


def _with(state: State, values: Mapping[str, Body]) -> State:
    """A state with some variables set."""
    return tuple(sorted({**dict(state), **values}.items(), key=lambda pair: pair[0]))


def picked(ways: Sequence[int], low: int, high: int) -> int:
    """Ordered picks of low … high different options when option i can be drawn in `ways[i]` ways.

    That is the sum of k! times the elementary symmetric polynomials; equal options are multiplied in at once.
    """
    polynomial = [1]
    for value, times in Tally(ways).items():
        if len(polynomial) * min(times, high) > 4_000_000:
            raise TooHard
        powers = [comb(times, k) * value**k for k in range(min(times, high) + 1)]
        product = [0] * min(len(polynomial) + len(powers) - 1, high + 1)
        for i, left in enumerate(polynomial):
            for j, right in enumerate(powers[: len(product) - i]):
                product[i + j] += left * right
        polynomial = product
    return sum(factorial(k) * polynomial[k] for k in range(low, min(high, len(polynomial) - 1) + 1))
