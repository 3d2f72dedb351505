"""HTTP interface of the registry: endpoints, one module per kind of caller.

- ``app``        the application of registry and log
- ``service``    what every HTTP service over a registry has in common
- ``shared``     what endpoints have in common: problems, idempotency, pages
- ``borrowers``  my notices, my consents, my receipts, who used my data
- ``lenders``    enrol, stay in step, acknowledge revocations, import
- ``campaigns``  propose, approve, authorise, commit
- ``models``     what was trained
- ``notices``    published by the operator, readable by everybody
- ``log``        checkpoints, tiles, proofs, appends
- ``identity``   nonces, tokens, keys of institutions, links of borrowers
- ``problems``   OAuth's error codes, when to ask again
- ``examples``   request bodies, as the API's description shows them
"""
