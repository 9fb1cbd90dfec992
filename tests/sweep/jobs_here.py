"""What becomes of the jobs of a sweep in this process: each function stands for a job's training."""

from seqlab.run.claim import Claim
from tests.command import ONE_THREAD

TINY = ("experiment=hello", "name=depths", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", *ONE_THREAD)
"""A sweep's command but for what it varies."""


def seed_of(claim: Claim) -> int:
    return claim.fields["config"]["seed"]


def complete(claim: Claim) -> None:
    claim.complete({"val/loss": float(seed_of(claim))})


def complete_but_for_two(claim: Claim) -> int:
    if seed_of(claim) == 2:
        claim.fail("broken")
        return 1
    complete(claim)
    return 0


def interrupt(claim: Claim) -> int:
    claim.interrupt()
    return 1
