"""Turns the plain functions of a `reworld.world.World` into compiled single and batched steps.

- `linking`: joins a loop with the functions of a world, and compiles the result.
- `loops`: what happens to an instance of a world: reset, step, autoreset.
- `kernels`: the compiled loops of one world, and the records they work on.
- `tracing`: the states between two steps, for those who draw them.
"""
