"""What entries, steps and checks are called on the viewer's pages."""

from __future__ import annotations

import json
from collections.abc import Mapping

from screens.house.problems import N_

STEP_WORDS: Mapping[str, str] = {
    "head": N_("The head is signed by the log and by enough witnesses"),
    "extends": N_("It extends the head that was kept here before"),
    "witnesses": N_("Every witness that answers stands in the same history"),
    "root": N_("All entries together give the signed root"),
    "entries": N_("Every entry is of a known form, and every use was authorised before"),
}
DOING: Mapping[str, str] = {
    "head": N_("Fetching the head and checking its signatures"),
    "extends": N_("Checking that it extends the head that was kept"),
    "witnesses": N_("Asking the witnesses for the heads that they hold"),
    "root": N_("Fetching the entries and computing the root from them"),
    "entries": N_("Checking entry after entry"),
}
VERDICTS: Mapping[str, str] = {
    "verified": N_("Verified here, on this machine"),
    "refused": N_("It does not verify"),
    "unchecked": N_("Not checked"),
}
STANDS: Mapping[str, str] = {
    "agrees": N_("in the same history"),
    "silent": N_("did not answer"),
    "unasked": N_("was not asked"),
}
TYPES: Mapping[str, str] = {
    "notice.published": N_("A notice was published"),
    "subjects.enrolled": N_("A lender enrolled borrowers"),
    "subjects.renamed": N_("Pseudonyms were renewed"),
    "subject.forgotten": N_("A borrower was forgotten"),
    "consent.decided": N_("A borrower decided"),
    "consents.imported": N_("A lender handed in what borrowers had said"),
    "consent.state-served": N_("A lender was given the state of its consents"),
    "revocations.acknowledged": N_("A lender confirmed what was taken back"),
    "campaign.proposed": N_("A campaign was proposed"),
    "campaign.approved": N_("A lender approved it"),
    "campaign.rejected": N_("A lender rejected it"),
    "campaign.activated": N_("It became active"),
    "use.authorised": N_("A lender was authorised, for minutes"),
    "roster.committed": N_("A lender fixed whom it would use, before it read a row"),
    "model.released": N_("A model was released with its card"),
    "model.recalled": N_("A model was recalled"),
    "recall.acknowledged": N_("A lender said that it uses a recalled model no more"),
    "population.counted": N_("People were counted"),
    "assessment.recorded": N_("An impact assessment was recorded"),
    "incident.opened": N_("An incident was reported"),
    "incident.notified": N_("A borrower was told of an incident"),
    "incident.closed": N_("An incident was closed"),
    "consortium.amended": N_("The consortium document was signed anew"),
    "audit.reported": N_("An audit was reported"),
    "audit.remedied": N_("A finding was remedied"),
    "evidence.sampled": N_("An auditor announced a sample"),
    "evidence.opened": N_("The registry opened a sample to the auditor"),
    "evidence.exported": N_("Evidence was collected"),
    "evidence.read": N_("Somebody read what was sealed"),
    "auditor.succeeded": N_("One auditor followed another"),
    "use.read": N_("A lender read somebody's data"),
    "use.scored": N_("A lender scored somebody"),
    "use.explained": N_("A lender explained a decision"),
    "use.portrayed": N_("A lender read somebody's data for portraits"),
    "system.started": N_("A service was started"),
    "system.stopped": N_("A service was stopped"),
    "system.changed": N_("Something was changed by staff"),
    "use.refused": N_("A use of data was refused"),
    "use.corrected": N_("Data were corrected"),
    "use.exported": N_("Data were handed out"),
    "use.deleted": N_("Data were deleted"),
    "review.made": N_("A review was made"),
    "request.received": N_("A borrower asked a lender for something"),
    "request.marked": N_("A lender marked it in its own systems"),
    "request.answered": N_("A lender answered a request"),
    "request.closed": N_("A request was closed"),
    "login.linked": N_("A log-in was linked to a borrower"),
    "login.unlinked": N_("A log-in was linked no longer"),
    "key.added": N_("A borrower's key was added"),
    "key.ended": N_("A borrower's key was ended"),
    "key.demanded": N_("A borrower lets only a key say yes"),
    "key.waived": N_("A borrower lets a log-in say yes again"),
    "hold.opened": N_("What an erased person had signed was opened for a court"),
    "retention.applied": N_("What had been kept long enough was deleted"),
    "retention.reviewed": N_("What is still kept was counted"),
    "party.key_added": N_("An institution has another key"),
    "party.key_revoked": N_("A key of an institution was revoked"),
    "names.evaluated": N_("The naming service made pseudonyms"),
    "names.keys": N_("The naming service published its keys"),
}
"""What each type of entry means (``auditlog.entry_checks.FORMS``)."""
STAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        N_("Proposal"),
        N_(
            "Signed by the coordinator; it rests on the consortium document that is pinned here, "
            "and was proposed once."
        ),
        ("campaign.proposed",),
    ),
    (
        N_("Answers of the lenders"),
        N_("Each signed by the lender itself, for this very campaign."),
        ("campaign.approved", "campaign.rejected"),
    ),
    (
        N_("Activation"),
        N_(
            "Every lender of the campaign had approved it and none had rejected it; it says which "
            "places each lender has."
        ),
        ("campaign.activated",),
    ),
    (
        N_("Authorisations"),
        N_("Each came after the activation, is signed by the registry, and is for one lender."),
        ("use.authorised",),
    ),
    (
        N_("Rosters"),
        N_(
            "Each is signed by its lender, came while its authorisation was in force, is for a "
            "release as it was planned, and was drawn from a consent state that was logged before."
        ),
        ("roster.committed",),
    ),
    (
        N_("Model card"),
        N_(
            "Signed by the coordinator; it says what was approved and what the rosters cost in "
            "privacy, and enough lenders stand behind every release."
        ),
        ("model.released",),
    ),
)
"""The links of a campaign: name, what is checked of it, of which types it is."""
OTHERS = N_("What else was logged about it")
OTHERS_CHECKED = N_("Each is of its type's form, and written by whom it is to write.")


def pretty(value: object) -> str:
    """A document, to be read."""
    return json.dumps(value, indent=2, ensure_ascii=False)
