"""Commands of the registry, one file per action. Each runs one transaction: the change, and its log entry.

- ``publish_notice``    a notice that borrowers can answer
- ``enrol_subjects``    a lender's borrowers, by pseudonym; ``rename_subjects`` after the naming keys were rotated
- ``record_decisions``  borrowers' own answers; ``import_decisions`` what a lender collected
- ``read_consents``     what borrowers can see of their own; ``read_evidence`` what shows that they decided so
- ``forget_subject``    every consent ended, the data key destroyed
- ``sync_consents``     snapshots of how a lender's borrowers stand
- ``revocations``       revocations fetched, acknowledged
- ``propose_campaign``  campaigns proposed, approved, rejected
- ``place_people``      contribution bounding: one lender per person
- ``count_population``  a noisy count of how many could be used
- ``authorise``         data-use authorisations, for minutes
- ``commit_roster``     roster commitments, before a row is read
- ``release_model``     a campaign's model and its signed card
- ``append_entries``    log entries of a party's own
"""
