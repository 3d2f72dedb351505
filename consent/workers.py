"""Several processes that serve one registry on PostgreSQL, and look like one writer to everybody
else.

The parent listens, starts workers, and replaces those that die; it serves no request and holds no
key. All workers append under the parent's name in the log's lease (``auditlog.lease``), so the
lease outlives any of them and ends with the parent. One of them signs the log
(``auditlog.leadership``). A worker whose parent is gone ends by itself.
"""

from __future__ import annotations
