"""Ownership of a folder: by a file lock on one machine, by a counter between machines. Torch is not needed.

The owner holds an exclusive lock (``flock``) on a file for as long as it lives (:mod:`seqlab.run.ownership.locks`). The
kernel releases the lock when the last process that has the file open is gone, however it ended. A child that inherits
the open file therefore holds the lock too.

Beside that file is ``.claim-N`` (:mod:`seqlab.run.ownership.claims`): who the owner is (process, boot, host) and a
counter that the owner keeps raising. Where the file system has no locks, or keeps them to one machine, a lock says
nothing about a process of another machine. There, a process that wants the folder watches the counter by its own
monotonic clock, and takes the folder once the counter has not moved for :data:`PATIENCE` seconds. A machine is
identified by its boot id, not by its host name. Modification times and the time of day decide nothing.
"""

from seqlab.run.ownership.claims import AtWorkError, claim_text, last_claim, process_name
from seqlab.run.ownership.locks import is_owned, lock, owner_lives
from seqlab.run.ownership.owner import PATIENCE, LostClaimError, Ownership

__all__ = [
    "PATIENCE",
    "AtWorkError",
    "LostClaimError",
    "Ownership",
    "claim_text",
    "is_owned",
    "last_claim",
    "lock",
    "owner_lives",
    "process_name",
]
