"""Platform: run, hop and leap over three platforms to the far end, past two enemies and two gaps.

Source: Masson, Ranchod, Konidaris, "Reinforcement Learning with Parameterized Actions", AAAI 2016 (arXiv 1509.01644), in
the form that later work compares on, Bester's gym-platform (arXiv 1905.04388). At the default configuration trajectories
equal those of gym-platform, bit for bit, its quirks included:

- Parameters saturate. From rest, a hop beyond 244 or a leap beyond 183 flies no farther than at that value.
- ``run`` lasts one second, and may end in the air; whatever is chosen then only falls until it lands.
- Height and vertical speed are not observed.
- Every landing stops the player. The noise only ever slows it.
- Only the enemy of the platform that the player is on moves; both are deadly.
- An action takes from 20 to about 160 sub-steps, and is one step all the same.
- Parameters of an action beyond their bounds are clipped to them.

What differs: the observation leaves out the number of sub-steps (the state holds it), it is float32, and its bounds are
those of all configurations, not of the default one alone, at which every entry lies in [0, 1].

The reward of a step is the distance gained as a share of the whole, so an undisturbed episode returns 1. An episode
terminates at the far end, which is a success, on touching an enemy, or in a gap.
"""

from typing import Any

from reworld.generator import Generator, normal
from reworld.rendering import AGENT, DANGER, GOAL, GRASS, GROUND, INK, PAPER, TRAIL, Canvas
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

PARAMETERS = (
    Parameter("gravity", 2.0, 30.0, "units/s²", "downward acceleration in the air", 9.8),
    Parameter("time_step", 0.01, 0.1, "s", "length of a sub-step", 0.05),
    Parameter("width1", 100.0, 500.0, "units", "width of the first platform", 250.0),
    Parameter("width2", 100.0, 550.0, "units", "width of the second platform", 275.0),
    Parameter("width3", 25.0, 100.0, "units", "width of the third platform", 50.0),
    Parameter("gap1", 50.0, 400.0, "units", "gap after the first platform", 225.0),
    Parameter("gap2", 50.0, 400.0, "units", "gap after the second platform", 235.0),
    Parameter("height1", 20.0, 80.0, "units", "height of the first platform", 40.0),
    Parameter("height2", 20.0, 80.0, "units", "height of the second platform", 40.0),
    Parameter("height3", 20.0, 80.0, "units", "height of the third platform", 40.0),
    Parameter("player_width", 5.0, 40.0, "units", "width of the player", 20.0),
    Parameter("enemy_width", 5.0, 60.0, "units", "width of both enemies", 20.0),
    Parameter("enemy_height", 5.0, 90.0, "units", "height of both enemies", 30.0),
    Parameter("enemy_speed", 0.0, 90.0, "units/s", "highest speed of the enemies, and the one they start with", 30.0),
    Parameter("enemy_noise", 0.0, 5.0, "units/s²", "deviation of the enemies' acceleration", 0.5),
    Parameter("player_noise", 0.0, 5.0, "units/s²", "deviation of what slows the player", 0.5),
    Parameter("takeoff_noise", 0.0, 5.0, "units/s", "deviation of what a take-off loses, in both directions", 1.0),
    Parameter("hop_speed", 10.0, 100.0, "units/s", "upward speed of a hop's take-off", 35.0),
    Parameter("leap_speed", 10.0, 100.0, "units/s", "upward speed of a leap's take-off", 25.0),
    Parameter("air_speed_limit", 90.0, 200.0, "units/s", "highest horizontal speed", 100.0),
    Parameter("ground_speed_limit", 20.0, 80.0, "units/s", "highest horizontal speed on a platform", 70.0),
    Parameter("vertical_speed_limit", 10.0, 400.0, "units/s", "highest vertical speed", 200.0),
    Parameter("velocity_decay", 0.9, 1.0, "", "share of the horizontal speed that a sub-step keeps", 0.99),
    Parameter("run_duration", 0.2, 3.0, "s", "how long a run lasts", 1.0),
)

STATE = ("x", "y", "vx", "vy", "enemy1_x", "enemy1_dx", "enemy2_x", "enemy2_dx", "substeps")

# No parameter: the player touches everything from above, so its height changes nothing.
PLAYER_HEIGHT = 30.0

# The constants by which the published benchmark scales its observation. They stay what they are when a parameter changes,
# so that the same number always means the same length.
_COURSE, _SPEED, _ENEMY_SPEED, _WIDTH, _GAP, _PLAYER, _HEIGHT = 1035.0, 100.0, 30.0, 275.0, 235.0, 20.0, 40.0

OBSERVATION = (
    Quantity("x", 0.0, 2.0, "", "position of the player: (x + 20) / 1055"),
    Quantity("vx", 0.0, 2.0, "", "horizontal speed: vx / 100"),
    Quantity("enemy_x", 0.0, 2.0, "", "position of the moving enemy: x / 1035"),
    Quantity("enemy_dx", -1.0, 2.0, "", "its velocity: (dx + 30) / 60"),
    Quantity("width", 0.0, 2.0, "", "width of the platform last reached: / 275"),
    Quantity("next_width", 0.0, 2.0, "", "width of the next platform, 0 on the last: / 275"),
    Quantity("gap", 0.0, 2.0, "", "gap before it, 0 on the last: / 235"),
    Quantity("left", 0.0, 2.0, "", "left edge of the platform last reached: / 1035"),
    Quantity("rise", -1.5, 1.5, "", "how much higher the next platform is: / 40"),
)

RUN, HOP, LEAP = 0, 1, 2

BRANCHES = (
    Branch("run", "run for a second", (Quantity("power", 0.0, 30.0, "units/s", "speed gained in every sub-step"),)),
    Branch("hop", "jump high", (Quantity("distance", 0.0, 720.0, "units", "how far to aim"),)),
    Branch("leap", "jump flat", (Quantity("distance", 0.0, 430.0, "units", "how far to aim"),)),
)


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Start at the left end, with the enemies at the right ends of their platforms. Nothing is drawn."""
    state.x, state.y, state.vx, state.vy = 0.0, c.height1, 0.0, 0.0
    state.enemy1_x, state.enemy1_dx = c.width1 - c.enemy_width, -c.enemy_speed
    state.enemy2_x, state.enemy2_dx = _left2(c) + c.width2 - c.enemy_width, -c.enemy_speed
    state.substeps = 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Run for its duration, or jump until the player stands; parameters beyond their bounds are clipped."""
    start = state.x
    if branch == RUN:
        parameter = min(max(x[0], 0.0), 30.0)
    elif branch == HOP:
        parameter = min(max(x[0], 0.0), 720.0)
    else:
        parameter = min(max(x[0], 0.0), 430.0)
    remaining = c.run_duration
    state.substeps = 0.0
    while True:
        terminated = substep(state, branch, parameter, c, rng)
        state.substeps += 1.0
        remaining -= c.time_step
        if terminated or (remaining <= 0.0 if branch == RUN else _stands(state, c)):
            break
    return (state.x - start) / right_edge(c), terminated


def substep(state: Record, branch: int, parameter: float, c: Record, rng: Generator) -> bool:
    """Move everything for one time step; tell whether the episode terminates."""
    if _stands(state, c):
        if branch == RUN:
            _accelerate(state, parameter / c.time_step, 0.0, c, rng)
        else:
            _take_off(state, c.hop_speed if branch == HOP else c.leap_speed, parameter, c, rng)
        state.vx = min(max(state.vx, 0.0), c.ground_speed_limit)
    else:
        _accelerate(state, 0.0, -c.gravity, c, rng)
    on_second = state.x > _left2(c)
    state.x = min(max(state.x + state.vx * c.time_step, 0.0), right_edge(c))
    state.y += state.vy * c.time_step
    state.vx *= c.velocity_decay
    if on_second:
        state.enemy2_x, state.enemy2_dx = _patrol(state.enemy2_x, state.enemy2_dx, _left2(c), c.width2, c, rng)
    else:
        state.enemy1_x, state.enemy1_dx = _patrol(state.enemy1_x, state.enemy1_dx, 0.0, c.width1, c, rng)
    _push_out(state, 0.0, c.width1, c.height1, c)
    _push_out(state, _left2(c), c.width2, c.height2, c)
    _push_out(state, _left3(c), c.width3, c.height3, c)
    fell = state.y < min(c.height1, c.height2, c.height3)
    caught = _touches(state, state.enemy1_x, c.height1, c) or _touches(state, state.enemy2_x, c.height2, c)
    return fell or caught or succeeded(state, c)


def succeeded(state: Record, c: Record) -> bool:
    """Whether the player has reached the far end."""
    return state.x >= right_edge(c)


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the player, the enemy that moves, and the platform last reached with the next one."""
    left2, left3 = _left2(c), _left3(c)
    if state.x > left2:
        enemy_x, enemy_dx = state.enemy2_x, state.enemy2_dx
    else:
        enemy_x, enemy_dx = state.enemy1_x, state.enemy1_dx
    if state.x < left2:
        width, next_width, gap, left, rise = c.width1, c.width2, c.gap1, 0.0, c.height2 - c.height1
    elif state.x < left3:
        width, next_width, gap, left, rise = c.width2, c.width3, c.gap2, left2, c.height3 - c.height2
    else:
        width, next_width, gap, left, rise = c.width3, 0.0, 0.0, left3, 0.0
    out[0] = (state.x + _PLAYER) / (_COURSE + _PLAYER)
    out[1] = state.vx / _SPEED
    out[2] = enemy_x / _COURSE
    out[3] = (enemy_dx + _ENEMY_SPEED) / (2.0 * _ENEMY_SPEED)
    out[4] = width / _WIDTH
    out[5] = next_width / _WIDTH
    out[6] = gap / _GAP
    out[7] = left / _COURSE
    out[8] = rise / _HEIGHT


def right_edge(c: Record) -> float:
    """Where the course ends."""
    return _left3(c) + c.width3


def _left2(c: Record) -> float:
    return c.width1 + c.gap1


def _left3(c: Record) -> float:
    return c.width1 + c.gap1 + c.width2 + c.gap2


def _stands(state: Record, c: Record) -> bool:
    return (
        _stands_on(state, 0.0, c.width1, c.height1, c)
        or _stands_on(state, _left2(c), c.width2, c.height2, c)
        or _stands_on(state, _left3(c), c.width3, c.height3, c)
    )


def _stands_on(state: Record, left: float, width: float, height: float, c: Record) -> bool:
    # A landing assigns the height, so equality is exact.
    return state.y == height and -c.player_width <= state.x - left and state.x - left <= width


def _take_off(state: Record, speed: float, distance: float, c: Record, rng: Generator) -> None:
    flight_time = 2.0 * speed / c.gravity + 1.0
    most = (c.air_speed_limit - c.ground_speed_limit) / c.time_step
    gain = min(max(distance / flight_time - state.vx, -most), c.vertical_speed_limit - speed)
    gain -= abs(normal(rng, 0.0, c.takeoff_noise))
    lift = speed - abs(normal(rng, 0.0, c.takeoff_noise))
    _accelerate(state, gain / c.time_step, lift / c.time_step, c, rng)


def _accelerate(state: Record, ax: float, ay: float, c: Record, rng: Generator) -> None:
    most_x = (c.air_speed_limit - c.ground_speed_limit) / c.time_step
    most_y = c.vertical_speed_limit / c.time_step
    vx = state.vx + min(max(ax, -most_x), most_x) * c.time_step
    vy = state.vy + min(max(ay, -most_y), most_y) * c.time_step
    vx -= abs(normal(rng, 0.0, c.player_noise * c.time_step))
    state.vx = min(max(vx, 0.0), c.air_speed_limit)
    state.vy = min(max(vy, -c.vertical_speed_limit), c.vertical_speed_limit)


def _patrol(x: float, dx: float, left: float, width: float, c: Record, rng: Generator) -> tuple[float, float]:
    right = left + width - c.enemy_width
    if not left < x < right:
        dx = -dx
    dx += normal(rng, 0.0, c.enemy_noise * c.time_step)
    dx = min(max(dx, -c.enemy_speed), c.enemy_speed)
    return min(max(x + dx * c.time_step, left), right), dx


def _push_out(state: Record, left: float, width: float, height: float, c: Record) -> None:
    """Move the player out of a platform that it overlaps, the shorter way, and stop it."""
    right = left + width
    if not (left - c.player_width < state.x < right and -PLAYER_HEIGHT < state.y < height):
        return
    x, y = state.x, state.y
    if x < left:
        x = left - c.player_width
    elif x > right - c.player_width:
        x = right
    if y < 0.0:
        y = -PLAYER_HEIGHT
    elif y > height - PLAYER_HEIGHT:
        y = height
    if x == state.x or (y != state.y and abs(state.x - x) >= abs(state.y - y)):
        state.y = y
        state.vy = 0.0
    else:
        state.x = x
    state.vx = 0.0


def _touches(state: Record, enemy_x: float, enemy_y: float, c: Record) -> bool:
    return (
        enemy_x - c.player_width < state.x < enemy_x + c.enemy_width
        and enemy_y - PLAYER_HEIGHT < state.y < enemy_y + c.enemy_height
    )


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """From rest hop over the enemy, then run up to the edge of the platform, and hop over the gap at full speed."""
    x, vx, enemy = 1055.0 * observation[0] - 20.0, 100.0 * observation[1], 1035.0 * observation[2]
    room = 1035.0 * observation[7] + 275.0 * observation[4] - x
    if (vx < 1.0 and x < enemy) or (vx > 50.0 and room < 20.0):
        return HOP, (720.0,)
    if vx > 50.0 and room < 78.0:
        # At full speed a run of power 0 makes 62 units and one of 0.7 makes 70: end 8 units from the edge.
        return RUN, (0.7 * max(room - 70.0, 0.0) / 8.0,)
    return RUN, (30.0,)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the whole course: platforms, enemies, the player with its last flight, and the flag at the far end."""
    end = right_edge(c)
    canvas.look_at(-40.0, max(end, _COURSE) + 60.0, -70.0)
    canvas.landscape()
    for left, width, height in ((0.0, c.width1, c.height1), (_left2(c), c.width2, c.height2), (_left3(c), c.width3, c.height3)):
        canvas.box(left, -80.0, width, 80.0 + height, GROUND)
        canvas.box(left, height - 8.0, width, 8.0, GRASS)
    canvas.line([(end, c.height3), (end, c.height3 + 90.0)], INK, 2.0)
    canvas.polygon([(end, c.height3 + 90.0), (end + 40.0, c.height3 + 75.0), (end, c.height3 + 60.0)], GOAL)
    for earlier in canvas.past[::5]:
        canvas.circle((earlier.x + 0.5 * c.player_width, earlier.y + 0.5 * PLAYER_HEIGHT), 2.5, TRAIL)
    for x, dx, height in ((state.enemy1_x, state.enemy1_dx, c.height1), (state.enemy2_x, state.enemy2_dx, c.height2)):
        spikes = [(x + share * c.enemy_width, height + tall * c.enemy_height) for share, tall in _SPIKES]
        canvas.polygon(spikes, DANGER)
        _draw_eyes(canvas, x, height, c.enemy_width, c.enemy_height, 0.5, 1.0 if dx > 0.0 else -1.0)
    canvas.box(state.x, state.y, c.player_width, PLAYER_HEIGHT, AGENT, 0.25 * min(c.player_width, PLAYER_HEIGHT))
    _draw_eyes(canvas, state.x, state.y, c.player_width, PLAYER_HEIGHT, 0.7, 1.0)
    if state.y > canvas.top:
        middle, low, high = state.x + 0.5 * c.player_width, canvas.top - 22.0, canvas.top - 4.0
        canvas.polygon([(middle - 14.0, low), (middle, high), (middle + 14.0, low)], AGENT)


_SPIKES = ((0.0, 0.0), (0.0, 1.0), (0.25, 0.75), (0.5, 1.0), (0.75, 0.75), (1.0, 1.0), (1.0, 0.0))


def _draw_eyes(canvas: Canvas, x: float, y: float, width: float, height: float, level: float, direction: float) -> None:
    size = min(width, height)
    for side in (-0.22, 0.22):
        center = x + 0.5 * width + (side + 0.1 * direction) * size
        canvas.circle((center, y + level * height), 0.14 * size, PAPER)
        canvas.circle((center + 0.05 * direction * size, y + level * height), 0.07 * size, INK)


WORLD = World(
    name="Platform",
    parameters=PARAMETERS,
    state=STATE,
    observation=OBSERVATION,
    branches=BRANCHES,
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=30,
    substep=substep,
    policy=policy,
)
