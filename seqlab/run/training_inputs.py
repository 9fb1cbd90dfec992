"""What a run trains on, its data and the user's own code: noted in the record, and compared when the run continues."""

import logging
from collections.abc import Mapping, Sequence

from seqlab.config import build
from seqlab.errors import ChangedError, InputError
from seqlab.run import content, load
from seqlab.run.claim import Claim
from seqlab.run.code import changed_modules, code_record, copy_code
from seqlab.run.inputs import FileHashes, Stamp, describe_files, files_changed_since
from seqlab.run.layout import CODE_COPIES
from seqlab.run.loaded import LoadedFile, loaded_files
from seqlab.run.provenance import seqlab_git, this_process, user_git

log = logging.getLogger("seqlab")


def note_data(claim: Claim, data: build.Data, stamps: Mapping[str, Stamp | None], is_resumed: bool) -> None:
    """Notes the data in the record, saves its vocabularies and sizes, and prints what each split holds.

    Args:
        claim: the claim on the run.
        data: the data module, prepared.
        stamps: the stamps of the data's files from before they were read.
        is_resumed: whether the run continues.

    Raises:
        ChangedError: the run continues, and the data is not what the run began with; nothing is written.
        InputError: a file was written while it was read.
    """
    data_hash = content.data_hash(data.vocabularies, data.spec, content.fingerprint_of(data))
    if is_resumed:
        content.check_same_data(claim.run_dir, claim.fields["data_hash"], data, data_hash)
    config = claim.fields["config"]
    files = describe_files(content.input_files(data, config), config, FileHashes())
    if changed := files_changed_since(stamps):
        raise InputError(f"{', '.join(changed[:3])}: written while it was read; start again once it is complete")
    summaries = data.summaries() if hasattr(data, "summaries") else ()  # a user's own data module may have none
    for summary in summaries:
        log.info(summary.line())
    load.save_data(claim.run_dir, data.vocabularies, data.spec)
    splits = {summary.split: summary.facts() for summary in summaries}
    claim.note(process=this_process(), data_hash=data_hash, data_files=files, data=splits)


def note_code(claim: Claim, is_resumed: bool = False) -> None:
    """Notes the user's own code that this process has loaded, in the record and as copies in the run's folder.

    Raises:
        ChangedError: the run continues, and the code is not what the run began with; nothing is written.
    """
    if is_resumed:
        check_same_code(claim)
    note_files(claim, loaded_files())
    claim.note(git=user_git(), seqlab_git=seqlab_git())


def note_files(claim: Claim, files: Sequence[LoadedFile]) -> None:
    """Adds files of the user's own code to the record, and copies them into the run's folder."""
    for reason in copy_code(claim.run_dir, files):
        log.warning("not copied into the run's folder: %s", reason)
    claim.note(code=code_record(files, claim.fields["code"]))


def check_same_code(claim: Claim) -> None:
    """Compares the user's own code that this process has loaded with the code that the run began with.

    Raises:
        ChangedError: the code has changed; nothing is written.
    """
    if changed := changed_modules(claim.fields["code"], loaded_files()):
        raise ChangedError(
            f"{claim.run_dir}: not the code that the run began with ({', '.join(changed)}): restore the copies "
            f"in {claim.run_dir / CODE_COPIES}, or begin a new run with seqlab train"
        )
