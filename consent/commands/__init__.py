"""What the registry does, one file per action. Each runs one transaction: the change, and its log
entry.

- ``publish_notice``     a version of a notice; ``read_notices`` what each asks a borrower,
                         ``read_consents`` what they see of their own, ``read_history`` what
                         happened to it, and whether lenders acknowledged it
- ``export_consents``    everything about one person, as one document
- ``enrol_subjects``     a lender's borrowers; ``rename_subjects`` after a rotation,
                         ``prove_names`` shows which name became which, ``forget_subject`` for good
- ``erase_history``      what goes then, and the tombstone that stays; ``hold_evidence`` what a
                         court may still ask for
- ``end_of_term``        whoever is kept longer than their notice says
- ``record_decisions``   many requests in one transaction: decisions that were signed, or stated
                         without a signature
- ``state_decisions``    what a statement decides; ``withdraw_consents`` what a withdrawal decides
- ``import_decisions``   what a lender collected elsewhere; ``read_evidence`` what shows that a
                         borrower decided so
- ``borrowers_consents`` how the consents stand that they depend on
- ``check_decisions``    whose a decision is, which text it answers, when it was made
- ``sync_consents``      snapshots of a lender's borrowers; ``check_consents`` who of them may be
                         used now
- ``revocations``        what recipients are told, and have acknowledged
- ``receive_requests`` what people ask of a lender; ``answer_requests`` what it answers,
                       ``read_requests`` as each side sees it, ``request_steps`` sealed and logged
- ``request_marks``    what objections mark, refusals that stand, what is overdue
- ``propose_campaign``   propose, approve, reject; ``read_campaigns``, ``count_population`` how many
                         it could use
- ``record_assessments`` impact assessments, which campaigns name; ``report_incidents`` incidents:
                         logged, told to those whom they concern, closed
- ``record_audits``      reports of compliance audits, and what was done about their findings
- ``place_people``       at which lender a person counts
- ``authorise``          a node, for minutes; ``commit_roster`` before it reads; ``release_model``
                         what came of it, ``recall_model`` so that nobody uses it any more
- ``register_keys``      keys that borrowers sign with, added and ended by themselves
- ``append_entries``     a party's own log entries; ``log_uses`` what lenders do to score or
  portray somebody, ``use_consents`` on which consents
- ``open_evidence``      what shows the consents of sampled people, for the auditor
- ``succeed_auditor``    what was sealed to one auditor, taken over by the next
- ``serve_states``       consent snapshots, stated in the log before they are served
"""
