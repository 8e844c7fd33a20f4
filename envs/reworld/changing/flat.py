"""Flat: a problem of many parts as one Markov decision process, in sparse arrays that any solver can read."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.finite import Integers, Reals


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
