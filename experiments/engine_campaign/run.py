"""Random cells with random histories, every engine against steps written out by hand.

python experiments/engine_campaign/run.py --cases 20000 --out runs/campaign.jsonl   goes on where it was stopped
python experiments/engine_campaign/run.py --summary --out runs/campaign.jsonl       its counts, as tables
python experiments/engine_campaign/run.py --case 4711                               one case, with source and history
python experiments/engine_campaign/run.py --mutants                                 engines broken on purpose are caught
"""

import argparse
import gc
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
HISTORIES = 16  # cases of a cell, as tests.nn.engine.campaign has it, which takes seconds to import
BATCH, PATIENCE = 320, 240  # cases a process; seconds that one may take before it counts as hanging


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--stride", type=int, default=1, help="the cases of every n-th cell only")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "campaign.jsonl")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--case", type=int)
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--mutant", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.worker:
        return worker(options.mutant)
    if options.summary:
        print(summary(list(records(options.out).values())))
        return 0
    if options.case is not None:
        return one(options.case)
    if options.mutants:
        return mutants(options.workers)
    return campaign(options)


def records(path: Path) -> dict[int, dict]:
    lines = path.read_text().splitlines() if path.exists() else []
    found = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        found[record["case"]] = record
    return found


def campaign(options: argparse.Namespace) -> int:
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = records(options.out)
    todo = [
        case
        for case in range(options.first, options.cases)
        if case // HISTORIES % options.stride == 0 and case not in done
    ]
    print(f"{len(done)} cases are there, {len(todo)} to do", flush=True)
    with options.out.open("a") as out:
        for count, record in enumerate(outcomes(todo, options.workers), 1):
            out.write(json.dumps(record) + "\n")
            out.flush()
            for fault in record["faults"][:1]:
                print(
                    f"case {record['case']}: {fault['subject']}, step {fault['step']}: {fault['name']} {fault['what']}"
                )
            if count % 500 == 0:
                print(f"{count} of {len(todo)}", flush=True)
    everything = list(records(options.out).values())
    print(summary(everything))
    return int(any(record["faults"] for record in everything))


def outcomes(todo: list[int], workers: int, mutant: str | None = None):
    """The records of the cases, from processes that take a batch each; one that dies or hangs is told of its case."""
    batches = [todo[k : k + BATCH] for k in range(0, len(todo), BATCH)]
    with tempfile.TemporaryDirectory() as kernels, selectors.DefaultSelector() as selector:
        running: dict = {}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "SEQLAB_KERNEL_CACHE": kernels}
        environment.pop("SEQLAB_COMPILE", None)

        def start() -> None:
            batch = batches.pop(0)
            command = [sys.executable, __file__, "--worker", *(["--mutant", mutant] if mutant else [])]
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=ROOT
            )
            process.stdin.write(json.dumps(batch).encode())
            process.stdin.close()
            os.set_blocking(process.stdout.fileno(), False)
            running[process] = {"left": batch, "heard": time.monotonic(), "text": b"", "errors": errors}
            selector.register(process.stdout, selectors.EVENT_READ, process)

        def ended(process: subprocess.Popen, why: str) -> list[dict]:
            selector.unregister(process.stdout)
            process.stdout.close()
            each = running.pop(process)
            left = each["left"]
            if not left:
                return []
            batches.insert(0, left[1:]) if left[1:] else None
            each["errors"].seek(0)
            tail = each["errors"].read().decode(errors="replace").strip().splitlines()[-3:]
            fault = {"subject": "process", "step": -1, "name": why, "what": " | ".join(tail)[-300:]}
            return [failed(left[0], fault)]

        try:
            while batches or running:
                while batches and len(running) < workers:
                    start()
                for key, _ in selector.select(timeout=5):
                    process, each = key.data, running[key.data]
                    text = process.stdout.read()
                    if text == b"":
                        process.wait()
                        yield from ended(process, f"ended with {process.returncode}")
                        continue
                    each["heard"] = time.monotonic()
                    *lines, each["text"] = (each["text"] + (text or b"")).split(b"\n")
                    for line in lines:
                        if line.startswith(b"{"):
                            record = json.loads(line)
                            each["left"] = each["left"][each["left"].index(record["case"]) + 1 :]
                            yield record
                for process in [p for p, each in running.items() if time.monotonic() - each["heard"] > PATIENCE]:
                    process.kill()
                    process.wait()
                    yield from ended(process, f"hung for {PATIENCE} s")
        finally:
            for process in running:
                process.kill()
                process.wait()


def failed(case: int, fault: dict) -> dict:
    """The record of a case that has no outcome of its own."""
    record = {"case": case, "outcome": "fault", "faults": [fault], "cell": "?", "programs": 0, "seconds": 0.0}
    return record | {"engines": {}, "reasons": {}, "effects": [], "features": [], "ran": []}


def worker(mutant: str | None) -> int:
    """Runs the cases that stand in its input, a line each on its output."""
    import logging

    import torch

    torch.set_num_threads(1)
    logging.getLogger("seqlab").setLevel(logging.ERROR)
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    from tests.nn.engine.campaign import mutants as broken
    from tests.nn.engine.campaign.campaign import Lives, expected_to_compile
    from tests.nn.engine.campaign.family import family
    from tests.nn.engine.campaign.subjects import forget

    gc.freeze()  # what was imported is not looked through at each collection
    cases = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")  # a cell's own printing must not come between
    if mutant:
        broken.MUTANTS[mutant]()
    with tempfile.TemporaryDirectory() as folder:
        before, lives = None, Lives(Path(folder))
        for case in cases:
            cell = family(case // HISTORIES)
            expected = case // HISTORIES != before and expected_to_compile(cell, Path(folder))
            if before not in (None, case // HISTORIES):
                forget(family(before))
            before = case // HISTORIES
            try:
                record = lives.run(case)
            except Exception as error:
                import traceback

                lives = Lives(Path(folder))
                place = traceback.extract_tb(error.__traceback__)[-1]
                fault = {"subject": "campaign", "step": -1, "name": "harness", "what": f"{error!r} {place}"[:400]}
                record = failed(case, fault)
            if expected:
                record["expected"] = True
            out.write(json.dumps(record) + "\n")
            out.flush()
    os._exit(0)  # threads that a broken engine left waiting are not waited for


def one(case: int) -> int:
    from tests.nn.engine.campaign.campaign import describe

    print(describe(case))
    (record,) = outcomes([case], 1)
    print(json.dumps(record, indent=1))
    return int(bool(record["faults"]))


def normal(reason: str) -> str:
    """A reason without the names and numbers of its cell."""
    reason = re.sub(r"__import_\w+|campaign_cell_\w+", "module", reason)
    reason = re.sub(r"\d+", "n", reason)
    return re.sub(r"\(n,?( n,?)*\)", "(n)", reason)[:90].replace("|", "/")


def summary(found: list[dict]) -> str:
    """The counts as Markdown."""
    faulty = [record for record in found if record["faults"]]
    served = Counter()
    for record in found:
        engines = set(record["engines"]) or {"none"}
        served["loop alone" if engines == {"loop"} else "+".join(sorted(engines))] += 1
    reasons = Counter(normal(reason) for record in found for reason in record["reasons"])
    by_cell: dict[int, list[dict]] = {}
    for record in found:
        by_cell.setdefault(record["case"] // HISTORIES, []).append(record)
    expected = [records for records in by_cell.values() if any(each.get("expected") for each in records)]
    compiled = [records for records in expected if any("scan" in each["engines"] for each in records)]
    aside = Counter(
        normal(reason)
        for records in expected
        if not any("scan" in each["engines"] for each in records)
        for reason in {reason for each in records for reason in each["reasons"]}
    )
    kinds = Counter(f"{each['subject']}: {each['name'].split(':')[-1].strip()} {normal(each['what'])[:60]}"
                    for record in faulty for each in record["faults"][:1])  # fmt: skip
    ran = Counter(f"{each['subject']} {normal(each['what'])}" for record in found for each in record["ran"])
    lines = [
        "| | |", "|---|--:|", f"| cases | {len(found)} |", f"| cells | {len(by_cell)} |",
        f"| programs compiled | {sum(record['programs'] for record in found)} |",
        f"| silent differences, raised where the steps run, crashes | {len(faulty)} |",
        f"| agree | {len(found) - len(faulty)} |", f"| CPU seconds | {sum(r['seconds'] for r in found):.0f} |",
        *(f"| `auto` ran on {name} | {count} |" for name, count in served.most_common()),
        f"| cells expected to compile (no effects, operations in the table) | {len(expected)} |",
        f"| of these compiled | {len(compiled)} ({100 * len(compiled) / max(1, len(expected)):.1f} %) |",
    ]  # fmt: skip
    tables = {
        "Stepped aside, and why": reasons,
        "Cells expected to compile, but": aside,
        "Faults": kinds,
        "Ran where the written-out steps raise": ran,
    }
    for title, counts in tables.items():
        if counts:
            lines += ["", f"| {title} | cases |", "|---|--:|", *(f"| {n} | {c} |" for n, c in counts.most_common(40))]
    return "\n".join(lines)


def mutants(workers: int) -> int:
    """Whether each engine that is broken on purpose is caught, and by which case."""
    from tests.nn.engine.campaign.mutants import MUTANTS, cases_for

    missed = 0
    print("| broken on purpose | caught by case | after cases | how it shows |\n|---|--:|--:|---|")
    for name, mutate in MUTANTS.items():
        caught = None
        cases = cases_for(name)
        sound = {}
        for count, record in enumerate(outcomes(cases, workers, name), 1):
            if not [each for each in record["faults"] if each["subject"] != "campaign"]:
                continue
            (sound,) = outcomes([record["case"]], 1)  # a fault that the engine has unbroken shows nothing
            if not sound["faults"]:
                caught = record["case"], count, record["faults"][0]
                break
        missed += caught is None
        shown = f"**missed** | {len(cases)} | |"
        if caught is not None:
            shown = f"{caught[0]} | {caught[1]} | {caught[2]['name']} {normal(caught[2]['what'])[:80]} |"
        print(f"| {name}: {mutate.__doc__} | {shown}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
