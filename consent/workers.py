"""Several processes that serve one registry on PostgreSQL, and look like one writer to everybody
else.

The parent listens, starts the others, and replaces those that die; it serves no request and holds
no key. Workers answer requests. What is committed in groups, decisions and appends, they hand to
the writer (``auditlog.handover``), so that groups are as large as the whole service's load; it
signs the log and delivers revocations, too (``auditlog.leadership``). All of them write under the
parent's name in the log's lease (``auditlog.lease``), so the lease outlives any of them and ends
with the parent. While the writer is being replaced, each worker commits by itself. A process whose
parent is gone ends by itself.
"""

from __future__ import annotations
