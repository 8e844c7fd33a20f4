"""Small networks, several of each kind at once: member i of all is what a run with the i-th seed has.

Every tensor begins with the axis of the members, so that the runs of several seeds are trained by the same few large
operations. They stay independent: no operation mixes members, and each has its own source of random numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Generators = Sequence[torch.Generator]


def normal(generators: Generators, *shape: int) -> Tensor:
    """Draw standard normal numbers.

    Args:
        generators: One for each member.
        shape: Of the numbers of a member.

    Returns:
        Shape (members, *shape).
    """
    return torch.stack([torch.randn(shape, generator=generator, device=generator.device) for generator in generators])


def uniform(generators: Generators, *shape: int) -> Tensor:
    """Draw numbers uniformly from [0, 1): see `normal`."""
    return torch.stack([torch.rand(shape, generator=generator, device=generator.device) for generator in generators])


def affine(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply a linear layer of each member to its rows.

    On a CPU, in a single thread, the result and its gradients are the same bit for bit for any number of members, if layers
    are a multiple of four wide, but for the first input and the last output.

    Args:
        rows: Shape (members, n, inputs).
        weight: Shape (members, inputs, outputs).
        bias: Shape (members, 1, outputs).
    """
    count, (inputs, outputs) = rows.shape[1], weight.shape[1:]
    # The BLAS rounds otherwise for a matrix with a single column (that of one output, or, in the gradient, of one input), and
    # where the rows of a member do not begin at an address that is a multiple of 16, as those of the first do.
    if inputs == 1 or count % 4:
        rows = functional.pad(rows, (0, int(inputs == 1), 0, -count % 4))
    if inputs == 1 or outputs == 1:
        weight = functional.pad(weight, (0, int(outputs == 1), 0, int(inputs == 1)))
    return torch.baddbmm(bias, rows, weight)[:, :count, :outputs]


class Linear(nn.Module):
    """A linear layer.

    Args:
        inputs: Width of its input.
        outputs: Width of its output.
        generators: Of the first weights, one for each member.
        bound: They are drawn uniformly from [-bound, bound].
        bias: First value of all biases.
    """

    def __init__(self, inputs: int, outputs: int, generators: Generators, bound: float, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter((2.0 * uniform(generators, inputs, outputs) - 1.0) * bound)
        self.bias = nn.Parameter(torch.full((len(generators), 1, outputs), bias, device=self.weight.device))

    def forward(self, rows: Tensor) -> Tensor:
        """Apply it to rows of shape (members, n, inputs)."""
        return affine(rows, self.weight, self.bias)


class Perceptron(nn.Module):
    """Two hidden layers of rectified linear units.

    Args:
        inputs: Width of its input.
        outputs: Width of its output.
        hidden: Width of the hidden layers.
        generators: Of the first weights, one for each member.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, generators: Generators) -> None:
        super().__init__()
        self.first = Linear(inputs, hidden, generators, hidden**-0.5, 0.1)
        self.second = Linear(hidden, hidden, generators, hidden**-0.5, 0.1)
        self.output = Linear(hidden, outputs, generators, 1e-3)

    def forward(self, rows: Tensor) -> Tensor:
        """Apply it to rows of shape (members, n, inputs)."""
        output: Tensor = self.output(self.second(self.first(rows).relu_()).relu_())
        return output


class ChoiceWeights(nn.Module):
    """The weights of a one-hot choice: what a linear layer adds for it, without ever making it one-hot.

    Args:
        choices: Number of choices K.
        outputs: Width of the layer.
        generators: Of the first weights, one for each member.
        bound: They are drawn uniformly from [-bound, bound].
    """

    def __init__(self, choices: int, outputs: int, generators: Generators, bound: float) -> None:
        super().__init__()
        self.weight = nn.Parameter((2.0 * uniform(generators, choices, outputs) - 1.0) * bound)

    def forward(self, choice: Tensor, learned: bool = True) -> Tensor:
        """Look them up.

        Args:
            choice: int64 of shape (members, n), or weights of the choices, float32 of shape (members, n, K), through which
                gradients flow.
            learned: Whether gradients flow to the weights, too.
        """
        weight = self.weight if learned else self.weight.detach()
        if choice.is_floating_point():
            return torch.bmm(choice, weight)
        members, choices, _ = weight.shape
        first_rows = torch.arange(members, device=choice.device)[:, None] * choices
        return functional.embedding(choice + first_rows, weight.flatten(0, 1))


class ActionEmbedding(nn.Module):
    """What a choice and its own parameters do, in a few numbers: those of the choice, and a multiple for each parameter.

    Args:
        choices: Number of choices K.
        own_size: Most parameters of a choice Z.
        generators: Of the first weights, one for each member.
    """

    size = 8

    def __init__(self, choices: int, own_size: int, generators: Generators) -> None:
        super().__init__()
        # Small: an action does nothing until it is seen to.
        self.table = ChoiceWeights(choices, self.size * (own_size + 1), generators, 0.1)

    def forward(self, choice: Tensor, own: Tensor, learned: bool = True) -> Tensor:
        """Embed actions.

        Args:
            choice: int64 of shape (members, n), or weights of the choices, float32 of shape (members, n, K).
            own: Shape (members, n, Z).
            learned: Whether gradients flow to the embedding itself.

        Returns:
            Shape (members, n, `size`).
        """
        weights = self.table(choice, learned).unflatten(-1, (own.shape[-1] + 1, self.size))
        embedded: Tensor = weights[..., 0, :]
        for parameter in range(own.shape[-1]):
            embedded = torch.addcmul(embedded, own[..., parameter, None], weights[..., parameter + 1, :])
        return embedded


class ActionPerceptron(nn.Module):
    """A perceptron of a state, a choice and its own parameters, which are fed in one of three ways.

    ``"parallel"``: all into the first layer. ``"masking"``: state and parameters into the first layer, and of the outputs, of
    which there are some for each choice, those of the choice are taken (the second layer is K times as wide). ``"sequential"``:
    state and choice into the first layer, the parameters into the second.

    Args:
        feed: Which way.
        state_size: Width of a state.
        choices: Number of choices K.
        own_size: Most parameters of a choice Z.
        outputs: Width of the output.
        hidden: Width of the hidden layers.
        generators: Of the first weights, one for each member.
    """

    def __init__(
        self, feed: str, state_size: int, choices: int, own_size: int, outputs: int, hidden: int, generators: Generators
    ) -> None:
        super().__init__()
        self.feed = feed
        self.blocks = choices if feed == "masking" else 1
        bound = hidden**-0.5
        late = own_size if feed == "sequential" else 0
        early = own_size if feed in {"parallel", "masking"} else 0
        self.first = Linear(state_size + early, hidden, generators, bound, 0.1)
        if feed != "masking":
            self.choice = ChoiceWeights(choices, hidden, generators, bound)
        width = hidden * self.blocks
        self.second = Linear(hidden + late, width, generators, width**-0.5, 0.1)
        self.output = Linear(width, outputs * self.blocks, generators, 1e-3)

    def forward(self, state: Tensor, choice: Tensor, own: Tensor) -> Tensor:
        """Apply it.

        Args:
            state: Shape (members, n, size of a state).
            choice: int64 of shape (members, n), or weights of the choices, float32 of shape (members, n, K).
            own: Shape (members, n, Z).

        Returns:
            Shape (members, n, outputs).
        """
        if self.feed == "sequential":
            layer = torch.cat([self.first(state).add_(self.choice(choice)).relu_(), own], -1)
        elif self.feed == "parallel":
            layer = self.first(torch.cat([state, own], -1)).add_(self.choice(choice)).relu_()
        else:
            layer = self.first(torch.cat([state, own], -1)).relu_()
        output: Tensor = self.output(self.second(layer).relu_())
        if self.feed != "masking":
            return output
        blocks: Tensor = output.view(*output.shape[:-1], self.blocks, -1)
        if choice.is_floating_point():
            return (choice[..., None] * blocks).sum(-2)
        return blocks.take_along_dim(choice[..., None, None], -2).squeeze(-2)
