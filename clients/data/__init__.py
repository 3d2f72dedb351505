"""Where a lender's rows come from: files and databases of its own, read in chunks of bounded size.

- ``book``         a loan book under pseudonyms, or a source as described; opened by the gate alone
- ``importing``    loan books, written under their people's names
- ``description``  ``data.toml``: where the rows are, and which column is which feature
- ``columns``      a lender's values as the schema's: codes, scales, missing codes
- ``files``        CSV and Parquet; ``lines`` the records of a CSV file (RFC 4180)
- ``sql``          databases, by SQLAlchemy: read-only, through a cursor on the server
- ``members``      members of a roster, found by name among millions of rows
- ``people``       each person's one row, whatever the order and the chunks they come in
- ``mapped``       all of it together: a source as its description says
- ``profiling``    whether the data can be used, for its own operator; ``findings`` what it is told
- ``retaining``    what may not stay in them: found, deleted, shown to be gone
- ``separation``   which feature predicts too well
- ``identities``   identity numbers, before anybody has a name

Rows are opened by the gate, and by the operator's own check, which counts and quotes nothing.
"""
