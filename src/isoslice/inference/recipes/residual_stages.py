"""The stages of isoslice's own recipe: mean, expected error, samples, and what joins them."""

from __future__ import annotations

from isoslice.inference.options import ResolvedOptions
from isoslice.inference.passes import MEAN_PASSES, sample_passes
from isoslice.inference.stages import COMPOSE_COST, RESULT, Stage, chain
from isoslice.models.config import ModelConfig

#: Fields: the residual's mean, the expected error of it, its scale, the gains of detail.
MEAN, SPREAD, SCALE, GAINS = "mean-1", "spread-1", "scale", "gains"
#: How far the volume differs from planes that are no points, of each block.
PLANE_ERRORS = "plane-errors"
#: Of several samples: sums over each block, and what those of the whole frame give.
VARIANCES, LEVEL, CHANGES, AVERAGE = "variances", "level", "changes", "average"


def residual_stages(config: ModelConfig, options: ResolvedOptions) -> tuple[Stage, ...]:
    """List the stages of a frame, in their order."""
    sampled, distilled = options.mode == "sample", config.distilled is not None
    stages: list[Stage] = []
    result: tuple[str, ...] = ()
    if options.estimates_errors or not (sampled and distilled):  # whose sample starts without mean
        stages += chain("mean", MEAN_PASSES)
        result = (MEAN,)
    if options.estimates_errors:
        stages += [*chain("spread", MEAN_PASSES, of_errors=True), Stage(SCALE, "numbers", cost=0.0)]
        result = (MEAN, SPREAD, SCALE)
    if sampled and not options.samples:
        stages += _sample(config, options.steps, 0)
        result = (*result, sample(config, options.steps, 0), GAINS)
    if options.samples:
        for draw in range(options.samples):
            stages += _sample(config, options.steps, draw)
            drawn = sample(config, options.steps, draw)
            reads = (MEAN, drawn, GAINS, *((squares(draw - 1),) if draw else ()))
            stages.append(Stage(squares(draw), "blocks", reads, draw=draw, cost=COMPOSE_COST))
        result = (*result, squares(options.samples - 1))
        for sums, number in ((VARIANCES, LEVEL), (CHANGES, AVERAGE)):
            stages.append(Stage(sums, "blocks", result, cost=COMPOSE_COST))
            stages.append(Stage(number, "numbers", (sums,), cost=0.0))
            result = (*result, number)
    return (*stages, Stage(RESULT, "blocks", result, cost=COMPOSE_COST))


def _sample(config: ModelConfig, evaluations: int, draw: int) -> list[Stage]:
    """List the passes of a sample, and after the first one what finds the gains of all."""
    start = detail_origin(config)
    stages = chain(f"sample-{draw}", sample_passes(config, evaluations), start, draw=draw)
    if draw:
        return stages
    reads = (stages[-1].name, *(() if start is None else (start,)))
    return [*stages, Stage(GAINS, "numbers", reads, cost=0.0)]


def sample(config: ModelConfig, evaluations: int, draw: int) -> str:
    """Name the field of a sample."""
    return f"sample-{draw}-{len(sample_passes(config, evaluations)) - 1}"


def detail_origin(config: ModelConfig) -> str | None:
    """Name the field that sampling starts from and detail is counted from; None: interpolation."""
    return MEAN if config.distilled is None else None


def squares(draw: int) -> str:
    """Name the sum of squared distances from the mean of the samples up to this one."""
    return f"squares-{draw}"
