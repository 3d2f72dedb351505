"""What parties say to each other: signed documents, requests, snapshots, and the client library.

- ``schema``       the base of every signed document; ``terms`` purpose and limits of a consent
- ``notices``      what a borrower is asked, and its terms (ISO/IEC TS 27560, 29184, DPV);
                   ``coverage`` what an answered notice covers of a use (pure)
- ``parties``      who belongs to a consortium, and what they agreed; ``legal`` who they are in law,
                   ``lawfulness`` one rule of that for each article (pure)
- ``consents``     answers, receipts; ``records`` as shown; ``rights`` requests; ``uses`` to score
- ``tickets``      a lender says who is its customer
- ``roster_proofs``  whether one person was in one release
- ``receipts``     what a borrower keeps, verified offline
- ``states``       the consent state machine; ``changes`` the fold over it (pure)
- ``snapshots``    who may be used: status codes, signed snapshots and places
- ``campaigns``    campaigns, approvals, authorisations, roster commitments; ``cards`` of released
                   models, ``recalls`` of them, ``instructions`` for their use; ``watched`` which
                   is watched, ``beginnings`` which begun with; ``periods`` in words
- ``sight``        who can see what of a campaign (pure)
- ``audits``       reports of compliance audits, findings and remedies (pure)
- ``assessments``  impact assessments, and whether one covers a campaign; ``incidents`` (pure)
- ``proposals``    a campaign as the registry tells it
- ``holdout``      who is held out of training: drawn by every lender's lot (pure)
- ``samples``      people whom an auditor draws from rosters, and how lenders open them (pure)
- ``exposure``     joint exposure: who may run it, authorisations, shares, answers
- ``handovers``    one auditor succeeds another; ``evidence`` packs, ``parts``, ``bom`` of models
- ``enrolment``    a lender's list of borrowers; ``revocations`` what recipients are told
- ``bounded``      other hosts' answers: a limit of length, a total deadline
- ``requests``     signed requests; ``sessions`` the same for many; ``cursors`` of pages; ``hashes``
                   as people type them
- ``client``       how programs call the registry, verifying what comes back; ``log_client`` for the
                   log alone
- ``rules``        rules that must all hold: the first that does not, and why (pure)
- ``heads``        the newest head of the log that was accepted, in a file
- ``gossip``       the same head of the log for everybody
- ``tracing``      one campaign, one trace
- ``languages``    which of several texts somebody reads: ``Accept-Language`` (pure)
- ``errors``       what is refused, each with its HTTP status and code
"""
