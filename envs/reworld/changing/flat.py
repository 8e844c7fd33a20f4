"""Flat: a problem of many parts as one Markov decision process, in sparse arrays that any solver can read."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.changing.change import ChangeableWorld
from reworld.errors import InvalidOption
from reworld.finite import Integers, Reals, exact_model


@dataclass(frozen=True, eq=False)
class FlatMDP:
    """A Markov decision process of S states whose weights hold the discounts: ``v = max over the rows (reward + weights @ v)``.

    A *row* is a state with one of its actions. The rows of a state follow one another: state s owns the rows
    ``first[s]:first[s + 1]``, row k leads to ``successors[indptr[k]:indptr[k + 1]]`` with the weights at the same places. Hence
    ``scipy.sparse.csr_array((weights, successors, indptr), (rows, S))`` is the matrix of all rows, and the values of a policy
    that takes row ``chosen[s]`` in state s solve ``(I - matrix[chosen]) v = rewards[chosen]``.

    Args:
        states: What each state stands for, a structured array of shape (S,); its fields are those of who made it.
        start: Probability of each first state, shape (S,).
        first: The first row of each state, shape (S + 1,).
        actions: Which action of its state a row is, shape (rows,): of those that are possible there, in their order.
        rewards: Expected reward of a row, shape (rows,).
        indptr: Where the successors of each row begin, shape (rows + 1,).
        successors: The states that rows lead to, shape (number of entries,).
        weights: Probability times discount of each of them; the sum of a row is at most 1.
    """

    states: np.ndarray[tuple[int], np.dtype[np.void]]
    start: Reals
    first: Integers
    actions: Integers
    rewards: Reals
    indptr: Integers
    successors: Integers
    weights: Reals

    def find(self, **fields: Any) -> Integers:
        """Find the states whose fields have these values.

        Args:
            fields: As in ``find(due=1, state=3)``; a field with several numbers is compared as a whole.
        """
        found = np.ones(len(self.states), np.bool_)
        for name, value in fields.items():
            found &= (self.states[name] == np.asarray(value)).reshape(len(found), -1).all(axis=1)
        return np.flatnonzero(found)

    def to_dense(self) -> Reals:
        """Write out the weights of every row, shape (rows, S)."""
        dense = np.zeros((len(self.rewards), len(self.states)))
        np.add.at(dense, (np.repeat(np.arange(len(dense)), np.diff(self.indptr)), self.successors), self.weights)
        return dense


def flat_model(world: ChangeableWorld, discount: float = 1.0) -> FlatMDP:
    """Write a changeable world down as a single Markov decision process over configurations and states.

    State i is what the world observes as i, where its observation is a number.

    Args:
        world: A finite one whose configurations are chosen (mode ``"choose"``), without a budget that is used up. It begins
            with its nominal configuration.
        discount: Of every step, in [0, 1].

    Returns:
        Its states have the fields ``waiting`` (number of the named configuration that was decided last; 0 where changes take
        effect at once), ``configuration`` (of that in force), ``phase`` (steps of the epoch that have passed; of an episode,
        whether any) and ``state``. Actions are branches; those that are masked are left out.

    Raises:
        InvalidOption: If the world is another one.
    """
    changing = world.changing
    if world.states is None or world.tabulate is None or changing.mode != "choose":
        raise InvalidOption(f"{world.name} has no flat model: it takes a finite world, and a Changing with mode='choose'.")
    if changing.budget is not None and changing.budget_per != "change":
        raise InvalidOption(
            f"{world.name} has no flat model over its configurations: what may be done depends on what is left of the "
            f"budget. Leave out budget={changing.budget:g}, or give it per change."
        )
    if not 0.0 <= discount <= 1.0:
        raise InvalidOption(f"discount={discount!r}: give a number in [0, 1].")
    return _Writer(world, discount).write()


class _Writer:
    """Collects the rows of a flat model.

    Args:
        world: See `flat_model`.
        discount: See `flat_model`.
    """

    def __init__(self, world: ChangeableWorld, discount: float) -> None:
        changing, terms = world.changing, world.constants
        configurations = np.repeat(world.default_configuration[None], len(terms["VALUES"]), axis=0)
        configurations[:, terms["CHANGEABLE"]] = terms["VALUES"]
        self._models = exact_model(world, configurations)
        self._expected = self._models.expected_rewards
        self._named, self._states = self._models.start.shape
        self._later = changing.takes_effect == "next_epoch"
        self._per_use = changing.budget_per == "use"
        self._from_nominal = self._per_use or changing.cost.measured_from == "nominal"
        self._charge = 1.0 if changing.cost_in_reward else 0.0
        self._failure = changing.failure
        self._phases = changing.phases
        self._within_episode = changing.epoch != "episode"
        self._moves, self._prices = terms["MOVES"], terms["PRICES"]
        self._budget, self._primitives = terms["BUDGET"], terms["PRIMITIVES"]
        self._discount = discount
        self._shape = (self._named if self._later else 1, self._named, self._phases, self._states)

    def write(self) -> FlatMDP:
        counts, actions, rewards, sizes, successors, weights = [], [], [], [], [], []
        places = list(np.ndindex(*self._shape))
        for place in places:
            rows = list(self._rows(*place))
            counts.append(len(rows))
            for action, reward, ends, shares in rows:
                actions.append(action)
                rewards.append(reward)
                sizes.append(len(ends))
                successors.append(ends)
                weights.append(shares)
        start = np.zeros(self._shape)
        start[0, 0, 0] = self._models.start[0]
        fields = np.dtype([(name, np.int64) for name in ("waiting", "configuration", "phase", "state")])
        return FlatMDP(
            states=np.array(places, fields),
            start=start.ravel(),
            first=np.cumsum([0, *counts]),
            actions=np.array(actions),
            rewards=np.array(rewards),
            indptr=np.cumsum([0, *sizes]),
            successors=np.concatenate(successors),
            weights=np.concatenate(weights),
        )

    def _rows(self, waiting: int, now: int, phase: int, s: int) -> Iterator[tuple[int, float, Integers, Reals]]:
        """What may be done in a state: action, reward, successors and their weights."""
        if self._models.terminal[now, s]:
            yield 0, 0.0, np.empty(0, np.int64), np.empty(0)
            return
        rent = self._prices[0, now] if self._per_use else 0.0
        phase_after = (phase + 1) % self._phases if self._within_episode else 1
        now_after = waiting if self._later and phase_after == 0 else now
        for a in range(self._primitives):
            law = self._models.kernel[now, s, a]
            ends = np.flatnonzero(law)
            reward = float(self._expected[now, s, a] - self._charge * rent)
            yield a, reward, self._number(waiting, now_after, phase_after, ends), self._discount * law[ends]
        decided = waiting if self._later else now
        for k in np.flatnonzero(self._moves[decided]).tolist() if phase == 0 else ():
            price = float(self._prices[0 if self._from_nominal else decided, k])
            if price > self._budget or price == math.inf:
                continue
            chances = {(waiting, now): self._failure}
            chances[(k, now) if self._later else (waiting, k)] = 1.0 - self._failure
            ends = np.array([self._number(*place, phase, s) for place, share in chances.items() if share > 0.0])
            shares = np.array([share for share in chances.values() if share > 0.0])
            yield self._primitives + k, 0.0 if self._per_use else -self._charge * price, ends, self._discount * shares

    def _number(self, waiting: int, now: int, phase: int, state: Any) -> Any:
        _, named, phases, states = self._shape
        return ((waiting * named + now) * phases + phase) * states + state
