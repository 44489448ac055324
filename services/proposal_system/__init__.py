"""Layer 5, the proposal system: typed changes, a frozen electorate, ballots, and the exact tally.

Stands between diagnosis and the sandbox: votes decide whether a change is tested, never whether it is kept.
Everything that would have to be refused later is refused at filing, by name. It never reads the text of a
proposal or of a ballot to decide anything.
"""

from services.proposal_system.admission import ProposalDraft
from services.proposal_system.closing import finish
from services.proposal_system.filing import file_proposal, withdraw
from services.proposal_system.reviewing import decide_review
from services.proposal_system.voting import cast_ballot, tally_due

__all__ = [
    "ProposalDraft",
    "cast_ballot",
    "decide_review",
    "file_proposal",
    "finish",
    "tally_due",
    "withdraw",
]
