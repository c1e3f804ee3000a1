"""The step of one rival: train it in its own way, measure it, and write its figures into the record."""

from app.record import steps
from app.record.leases import Claim
from negmerge.pipeline import rivals as rival_runs
from negmerge.progress import OnStep
from negmerge.spec.rivals import RivalRun
from worker.bench import Bench
from worker.station import Station


def rival_step(station: Station, bench: Bench, claim: Claim, on_step: OnStep) -> None:
    """Run the claimed rival. One that diverged has no figures, and fails no job. Raises LostClaim."""
    assert claim.hyper_parameters is not None  # every rival has a name, a repeat
    assert claim.seed is not None  # and a seed
    run = RivalRun(claim.hyper_parameters["rival"], claim.hyper_parameters["repeat"], claim.seed)
    row = rival_runs.run(bench.spec, bench.model, bench.prepared, run, on_step)
    with station.database.write() as session:
        steps.finish_rival(session, claim, row)
