"""What a doctor looks at, as people call it, and why it matters; what it found there is said in its
own words, which are English. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from screens.house.problems import N_

LEVELS: Mapping[str, str] = {
    "well": N_("in order"),
    "care": N_("look at it soon"),
    "ill": N_("not in order"),
}
LOOKED_AT: Mapping[str, tuple[str, str]] = {
    "disk": (
        N_("Room on the disk"),
        N_("Ledgers and records are written before anything is used; without room nothing is."),
    ),
    "key": (
        N_("The signing key"),
        N_("It signs in your institution's name; nobody else may be able to read it."),
    ),
    "ledger": (
        N_("The ledger of privacy budgets"),
        N_("What people's budgets have left; damaged or lost, no campaign goes on here."),
    ),
    "consortium": (
        N_("The consortium's document"),
        N_("Who takes part, and with which keys: nothing that others sign is believed without it."),
    ),
    "law": (
        N_("What the parties state about the law"),
        N_("A consortium that does not state what its law asks for can propose no campaign."),
    ),
    "registry": (
        N_("The consent registry"),
        N_("Consents are asked there and uses recorded; while it is away nothing is used."),
    ),
    "naming service": (
        N_("The naming service"),
        N_("It lets lenders count a person once who borrows from several."),
    ),
    "clock": (
        N_("This machine's clock"),
        N_("Requests are signed with the time; a clock that is wrong is refused."),
    ),
    "superlink": (
        N_("The coordinator's server"),
        N_("Over it campaigns reach the lenders; without it they wait."),
    ),
    "fleet interface": (
        N_("Where lenders' nodes connect"),
        N_("Without it no node is reached, and no campaign runs."),
    ),
    "fleet key": (
        N_("The key of this node at the coordinator's server"),
        N_("The server lets nobody in whose key it does not know."),
    ),
    "fleet keys": (
        N_("The keys of lenders' nodes"),
        N_("The server lets nobody in whose key it does not know."),
    ),
    "data": (
        N_("The loan book"),
        N_("What is trained on; it never leaves this machine."),
    ),
    "applicants": (
        N_("The applicants"),
        N_("What is counted when a model is watched; no row of it leaves this machine."),
    ),
    "approvals": (
        N_("What was approved"),
        N_("A campaign runs only with the code that you signed."),
    ),
    "campaign": (
        N_("A campaign"),
        N_("Whether it can go on, and what it waits for."),
    ),
    "campaigns": (
        N_("The campaigns"),
        N_("Whether they can go on, and what they wait for."),
    ),
    "service": (
        N_("The service that answers campaigns"),
        N_("While it does not run, this lender takes part in nothing."),
    ),
    "certificate": (
        N_("The certificate of this service"),
        N_("Others believe that they speak with you by it; it ends on a day."),
    ),
    "settings": (
        N_("The settings of this service"),
        N_("It starts only with settings that can be read."),
    ),
    "versions": (
        N_("The software installed here"),
        N_("Other versions than asked for may behave otherwise than was tried."),
    ),
    "witness": (
        N_("The witness of the record"),
        N_("It confirms that the record only grows, and is the same for everybody."),
    ),
    "memory": (
        N_("What the witness remembers"),
        N_("Without it, it could confirm two records that contradict one another."),
    ),
}
"""By what a finding is about: what it is, and why it matters."""
