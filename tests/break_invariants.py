"""Break each invariant once and watch its test go red. Not collected by pytest; run it by hand:

    python tests/break_invariants.py

It works on a copy of the repository in a temporary folder and prints, for each invariant, what was broken and whether
the named test failed. Exit code 1 if a break went unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Break:
    invariant: str
    file: str
    old: str
    new: str
    test: str


BREAKS = (
    Break(
        "1 fail closed: an expired authorisation opens the gate",
        "clients/rules.py",
        "if use.moment >= use.authorisation.expires_at:",
        "if False:",
        "tests/clients/test_rules.py",
    ),
    Break(
        "1 fail closed: a stale snapshot is good enough",
        "clients/rules.py",
        "SNAPSHOT_AGE = timedelta(minutes=2)",
        "SNAPSHOT_AGE = timedelta(days=2)",
        "tests/clients/test_gate.py",
    ),
    Break(
        "2 consent before use: the gate ignores the snapshot",
        "clients/gate.py",
        "consented = {*snapshot.ordinary, *snapshot.sensitive}",
        "consented = set(book.people())",
        "tests/clients/test_gate.py",
    ),
    Break(
        "2 consent before use: features without consent are not masked",
        "clients/gate.py",
        "masked = ~table[PSEUDONYM].isin(sensitive)",
        "masked = table[PSEUDONYM].isna()",
        "tests/clients/test_gate.py",
    ),
    Break(
        "2 log before use: rows are read before the commitment",
        "clients/gate.py",
        "        try:\n            self._commit(commitment)",
        "        self._rows(book, members, sensitive, moment)\n        try:\n            self._commit(commitment)",
        "tests/clients/test_gate.py",
    ),
    Break(
        "3 no state change without its entry: the entry is written in a second transaction",
        "consent/commands/record_decisions.py",
        "        _write(session, batch)\n        registry.log.append(session, batch.entries)",
        "        _write(session, batch)\n    with registry.write() as session:\n"
        "        registry.log.append(session, batch.entries)",
        "tests/consent/test_decisions.py",
    ),
    Break(
        "4 every release is charged: the reservation is forgotten",
        "clients/store.py",
        'connection.executemany("INSERT INTO members VALUES (?, ?)", ((name, number) for name in members))',
        "pass",
        "tests/clients/test_gate.py",
    ),
    Break(
        "4 nobody past the cap: the filter lets everybody through",
        "privacy/filter.py",
        "epsilon_of((*history, new), cap.delta) <= limit",
        "True",
        "tests/clients/test_gate.py",
    ),
    Break(
        "4 the noise is divided by ten",
        "privacy/noise.py",
        "discrete_gaussian(total.size, float(scale))",
        "discrete_gaussian(total.size, float(scale) / 10)",
        "tests/privacy",
    ),
    Break(
        "4 the clip is skipped",
        "privacy/dpsgd.py",
        "self.max_grad_norm * (1 - CLIP_MARGIN) / np.maximum(norms, 1e-300)",
        "1e9 / np.maximum(norms, 1e-300)",
        "tests/privacy",
    ),
    Break(
        "5 the unit is the person: the snapshot forgets where a person is counted",
        "consent/commands/authorise.py",
        "            .join(AssignmentRow, AssignmentRow.subject_id == SubjectRow.id)\n",
        "",
        "tests/clients/test_gate.py",
    ),
    Break(
        "6 the coordinator sees sums only: nothing is masked",
        "crypto/masks.py",
        "total = total + stream if adds else total - stream",
        "total = total + 0 * stream",
        "tests/server/test_run.py",
    ),
    Break(
        "6 masks are fresh per attempt: the attempt is left out",
        "clients/releases.py",
        '        "attempt": request.attempt,\n        "roster"',
        '        "roster"',
        "tests/server/test_run.py",
    ),
    Break(
        "6 keys are signed in the roster: signatures of mask keys are not checked",
        "clients/releases.py",
        "signed = MaskKey.verify(token, node.consortium.party(lender).key)",
        "signed = MaskKey.claimed(token)",
        "tests/server/test_run.py",
    ),
    Break(
        "2 consent before use: a held-back yes undoes a withdrawal",
        "consent/commands/record_decisions.py",
        "        _check_order(decision, choice, present.event_time)\n",
        "",
        "tests/consent/test_decisions.py",
    ),
    Break(
        "7 history cannot be rewritten: clients skip the consistency proof",
        "consent/log_client.py",
        "                self.check_consistency(older, newer)",
        "                pass",
        "tests/consent/test_log.py",
    ),
    Break(
        "8 forgetting works: the data key stays",
        "consent/datakeys.py",
        "        session.execute(delete(DataKeyRow).where(DataKeyRow.subject_id == subject_id))\n",
        "",
        "tests/consent/test_decisions.py",
    ),
    Break(
        "8 forgetting works: the root version that backups need is kept",
        "consent/keybackup.py",
        "        registry.keys.store.destroy_before(oldest)\n",
        "        pass\n",
        "tests/consent/test_keys.py",
    ),
    Break(
        "8 forgetting works: the group keeps its key",
        "consent/datakeys.py",
        "        self._rekey_group(session, group_id)\n",
        "",
        "tests/consent/test_keys.py",
    ),
    Break(
        "7 history cannot be rewritten: a checkpoint counts without its quorum",
        "crypto/policies.py",
        "        if not self.satisfied(cosigned):",
        "        if False:",
        "tests/crypto/test_policies.py",
    ),
    Break(
        "7 history cannot be rewritten: a witness cosigns what does not extend what it saw",
        "crypto/witnessing.py",
        "        verify_consistency(known.size, checkpoint.size, request.proof, known.root, checkpoint.root)",
        "        pass",
        "tests/crypto/test_witnessing.py",
    ),
    Break(
        "7 history cannot be rewritten: the log signs on top of a tree that was never signed",
        "consent/sequencer.py",
        "        if (signed.size, signed.root) != (size, root):",
        "        if False:",
        "tests/consent/test_faults.py",
    ),
    Break(
        "3 nothing acknowledged is lost: a deposed writer still writes",
        "consent/storage/lease.py",
        " WHERE holder = :holder AND epoch = :mine",
        "",
        "tests/consent/test_faults.py",
    ),
    Break(
        "9 say what is true: the card claims the borrower's data were removed",
        "server/card.py",
        "leaves bounded influence (the recorded epsilon) in this model.",
        "removes the borrower from this model.",
        "tests/test_claims.py",
    ),
)


def goes_red(broken: Break) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "repo"
        ignore = shutil.ignore_patterns(".git", ".venv", "workspace", "__pycache__", "*.egg-info", ".mypy_cache")
        shutil.copytree(ROOT, copy, ignore=ignore)
        path = copy / broken.file
        text = path.read_text()
        if text.count(broken.old) != 1:
            sys.exit(f"{broken.file} no longer holds the line to break: {broken.old!r}")
        path.write_text(text.replace(broken.old, broken.new))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", broken.test],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        return done.returncode == 1


def main() -> None:
    unnoticed = 0
    for broken in BREAKS:
        red = goes_red(broken)
        unnoticed += not red
        print(f"{'red  ' if red else 'GREEN'}  {broken.invariant}  ({broken.test})", flush=True)
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
