"""The texts of the demonstration's documents, written for it: notes on markets, ledgers, statistics, queues
and shells. Agents read them as any stranger's text; nothing in the platform depends on what they say.
"""

TEXTS: dict[str, str] = {
    "escrow": """
        Escrow is money that has left the buyer and has not yet reached the seller. In a market of agents
        the requester's payment moves into escrow when the task is posted, so the worker knows that the
        reward exists. The worker is paid from escrow only after the result has been verified. If the result
        fails verification, the escrow is returned to the requester in full. Every escrow must be resolved
        exactly once: released, returned or expired. An escrow that nobody resolves is a leak, and a good
        market counts open escrows against the balance of its escrow account after every step. Escrow
        protects the requester from paying for nothing and protects the agent from working for a promise. It
        does not decide who is right; a verifier does that, and the escrow merely waits.
    """,
    "sealed-bids": """
        A sealed bid is an offer that the other bidders cannot see before the window closes. Sealed bids
        take away the advantage of answering first, which in open markets of agents can outweigh price and
        skill together. The bid window is closed by the clock of the market and never by the clock of a
        bidder. After the close, every recorded bid can be published, so that anyone can recompute the
        award. A bidder who cannot see the others has to think about the value of the work and about the
        cost of doing it. Sealed bids also make collusion harder, because a ring of agents cannot watch
        whether each member keeps the agreement. The price of secrecy is delay: a task has to wait until its
        window is over, even when a perfect bid came in the first second.
    """,
    "second-score": """
        In a second score auction the winner is the bidder with the best score, but the payment is set by
        the runner up. The score weighs the asking price against the chance that the work will succeed. The
        winner receives the highest price at which it would still have won. Because its own bid does not set
        its own payment, an agent gains nothing by asking for more than its true cost. First price auctions,
        by contrast, reward shading: the bidder asks for a little less than it believes the others will. The
        rule is truthful for one round only; bidders who meet again every day may still learn to coordinate.
        A reserve price caps the payment when only one bidder shows up for the task.
    """,
    "double-entry": """
        Double entry bookkeeping records every movement of money twice, once where it leaves and once where
        it arrives. The entries of one journal record always add up to zero. If the sum of all accounts is
        not zero, some record is wrong, and the search can begin at once. A market that keeps its balances
        in double entry can show where each credit came from and where it went. Whole numbers of a small
        unit are used, since fractions stored as binary numbers drift when they are added often.
        Reservations are posted as pending entries and later become final or void. Mistakes are corrected by
        a new entry that reverses the old one, never by erasing it, so an auditor can follow the history of
        every account.
    """,
    "append-only-ledger": """
        An append only ledger accepts new entries at its end and refuses every other change. Each entry
        carries a number, and the numbers have no gaps. What was decided, on what evidence and by whose vote
        stays readable for ever, including decisions that turned out badly. An operator who wants to undo a
        change appends a new entry that restores the former value. Rejected proposals and failed experiments
        belong in the ledger as well, because they are evidence too. A ledger alone cannot prove that its
        keeper did not rewrite it in secret; for that, readers keep a checkpoint of its tip and later ask
        for a proof that the old tip is still part of the new history. Auditors value an append only ledger
        because the figures in a report can be recomputed from it.
    """,
    "merkle-trees": """
        A Merkle tree hashes entries in pairs, then the hashes in pairs, until a single root remains. The
        root commits to every entry below it: changing one byte anywhere changes the root. An inclusion
        proof shows with a handful of hashes that an entry belongs to the tree, without sending the rest. A
        consistency proof shows that an older tree is a prefix of a newer one, so nothing was removed or
        rewritten in between. Both proofs grow with the logarithm of the number of entries. Leaves and inner
        nodes are hashed with different prefixes, otherwise an inner node could be passed off as an entry. A
        signed root together with the size of the tree is called a checkpoint, and an auditor who keeps
        yesterday's checkpoint can catch a forged history today.
    """,
    "heavy-tails": """
        A distribution has a heavy tail when very large values are rare but not rare enough to forget. The
        response times of remote services usually have heavy tails: most answers are quick and a few take
        many times the median. Under a heavy tail the average says little, because one slow request can
        outweigh a hundred fast ones. The Pareto distribution is the plainest model; the chance of exceeding
        a value falls as a power of that value. A job that waits for several requests in parallel is as slow
        as the slowest of them, so tails grow with the fan out. Doubling a limit in the tail removes a
        constant share of the failures rather than all of them. Percentiles describe such latency better
        than means do.
    """,
    "timeouts": """
        A timeout is a decision to stop waiting. Set too short, a timeout turns slow but healthy work into
        failures; set too long, it lets stuck work hold resources that others could use. A good timeout is
        chosen from the measured distribution of durations and not from a round number somebody liked. When
        failures pile up exactly at the limit, the limit itself is the suspect. When a request never answers
        at all, no timeout can cure it, and a longer one only wastes time. A deadline is better than a
        timeout per read, because a server that trickles one byte a second never violates the latter. The
        timeout of a task must cover the slowest of its parallel requests.
    """,
    "retries": """
        A retry is a second draw from the same distribution of luck. Retrying helps when failures are
        transient and independent, such as one slow answer out of many. Retrying harms when the service is
        overloaded, since every retry adds load to the very thing that has too much of it. For that reason
        retries wait longer after each attempt, with a random part so that clients do not return in step. A
        retry budget limits the share of requests that may be repeated. Only operations that are idempotent
        should be retried blindly; for all others a lost answer may hide a finished payment. After a bounded
        number of attempts the message is parked as a dead letter where a person can see it.
    """,
    "queues": """
        A queue forms when work arrives faster than it can be served, even if only for a moment. Little's
        law says that the number of tasks in the system equals the arrival rate times the average time a
        task spends there. Waiting grows without limit as the load approaches the capacity of the servers.
        Variable service times make a queue longer than steady ones at the same load. A bounded queue pushes
        back on those who post tasks, while an unbounded queue hides the overload until memory runs out.
        Priority lets urgent tasks overtake, at the cost of those that are overtaken. A worker that claims
        tasks in batches pays less overhead, but it keeps tasks from others while it is busy with the first.
    """,
    "leases": """
        A lease gives one worker the right to a task for a limited time. If the worker crashes, the lease
        expires and the task returns to the market without anybody having to notice. A worker that is merely
        slow may still be working when its lease has ended, so each lease carries a fencing token that grows
        by one with every grant. A result that arrives with an old fencing token is refused, however correct
        it may be. Heartbeats renew a lease while progress is being made. The length of a lease trades quick
        recovery against false alarms: a short lease takes tasks away from slow but healthy workers. Locks
        without expiry are the usual cause of tasks that hang for weeks.
    """,
    "idempotency": """
        An operation is idempotent when doing it twice has the same effect as doing it once. Networks lose
        answers, so a client that hears nothing cannot know whether its request was carried out. With an
        idempotency key the client marks the request, and the server returns the stored answer when the same
        key comes again. The key has to be saved in the same transaction as the effect, otherwise a crash
        between the two makes a duplicate payment possible. A key that comes back with a different body is
        an error and must be refused. Handlers of events need the same care, because messages are delivered
        at least once. Idempotent writes are what makes retries safe.
    """,
    "outbox": """
        The outbox pattern writes an event into a table in the same transaction as the change it announces.
        A separate delivery step reads the outbox and hands each event to its subscribers. If the process
        crashes before the delivery, the event is still in the table and will be delivered later. Delivery
        is therefore at least once, and subscribers must be idempotent. An event that keeps failing is
        parked as a dead letter after a bounded number of attempts, and the others go on. Publishing
        straight to a broker loses messages when the transaction is rolled back or the broker is away. A
        wake up signal may shorten the delay, but the record in the outbox remains the truth.
    """,
    "ab-tests": """
        An A/B test gives some tasks a new value and the others the old value, and compares what happens.
        Tasks are assigned to an arm at random, and the assignment is sticky, so that the same task never
        changes sides. The arm has to be fixed before anyone knows how the task will end. An exposure is
        recorded when the value was really used, since a test in which both arms receive the same treatment
        can prove nothing. The effect worth detecting is stated before the experiment begins. Guardrail
        metrics stop an experiment that harms something else. A test ends with a verdict: win, loss,
        inconclusive or invalid, and each of the four is worth writing down in the ledger.
    """,
    "peeking": """
        Peeking means looking at a running experiment again and again and stopping when the result looks
        good. With an ordinary significance test, peeking multiplies the false alarms: a test meant to err
        once in twenty may err once in three. Sequential tests are built for peeking and remain valid at
        every moment. One way is to bet: a gambler stakes a little on every outcome, and the wealth can only
        grow large if the two arms truly differ. When the wealth exceeds twenty, the evidence is enough at
        the five percent level. The test may stop at the first crossing, which saves tasks when the effect
        is large. Without a crossing the experiment ends at its cap as inconclusive, and that is an honest
        verdict.
    """,
    "sample-ratio": """
        A sample ratio mismatch means that the arms of an experiment did not receive the share of tasks they
        were meant to. If half of the tasks should be treated but only forty percent are, something between
        assignment and counting loses tasks. The loss is hardly ever random, so the comparison of the arms
        can no longer be trusted. Outcomes counted in the order of completion make a mismatch likely when a
        treatment changes durations, for instance a longer timeout. Counting outcomes in the order of
        assignment avoids that trap. A mismatch makes an experiment invalid, however impressive the effect
        may look. The check costs nothing and catches more broken experiments than any other.
    """,
    "baselines": """
        A baseline says what is normal, so that a deviation can be noticed. For a success rate the baseline
        is the share of verified successes during the past week, with numerator and denominator kept apart.
        Rates from small samples jump around by chance, and a baseline that ignores the denominator will cry
        wolf at night. Days differ more than a simple binomial model allows; a model with extra dispersion
        fits real platforms better. A new platform has no history, and a fixed line has to stand in until
        there is one. The baseline must not learn from an ongoing incident, or the failure slowly becomes
        the new normal. Recovery is judged against the same baseline as the anomaly.
    """,
    "anomalies": """
        An anomaly is a departure from the baseline that chance explains badly. The observatory takes
        snapshots of the success rate and asks how surprising the last few are together. Testing many
        metrics every hour produces false alarms unless the alarm level shrinks with the number of tests.
        One incident should lead to one alert, so neighbouring anomalies are joined into an episode. An
        episode ends when recovery is proven, not when the alarm falls silent for a moment. Each episode
        opens a task to investigate, and agents bid on it as on any other task. Evidence travels with the
        alert: the snapshots, the failing tasks and the baseline they were compared with.
    """,
    "voting": """
        Voting decides whether a proposal is tried, not whether it is kept. The electorate is frozen when
        voting opens, so nobody can bring in new identities to turn the result. A proposal passes when at
        least fifty one percent of the votes cast are in favour and at least three different voters took
        part. Abstentions count toward the quorum and not toward the share. The author of a proposal does
        not vote on it. Shares are computed with whole numbers, because rounding has decided elections
        before. A vote below the quorum rejects nothing; it merely shows that too few agents cared. Every
        ballot is recorded with its reason, and the tally can be repeated by anyone who has the ballots.
    """,
    "reputation": """
        Reputation is a forecast of success made from the record of an agent. The record counts verified
        results only, for agents overestimate themselves: some that succeed one time in five claim three in
        four. An agent without history starts near the average of all entrants and not at zero. Old results
        fade, since an agent that was good last year may run a different model today. Evidence from a single
        requester is capped, otherwise two accounts could praise each other into a fine reputation. A market
        that always picks the best known agent never discovers a better one, so a small share of awards goes
        to newcomers. Reputation lost by failure must be earned back by verified work.
    """,
    "verification": """
        Verification is how a market learns whether a result is any good. The verifier belongs to the
        platform and never to the worker that wants to be paid. Checking is usually cheaper than doing: a
        smaller sample can test an estimate, and a held back label can test a prediction. A quotation is
        verified by finding it word for word in the cited source. A verifier must expect hostile results and
        answer each with a reason and never with a crash. Work that was not verified has a state of its own
        and does not count as success. Random checks are chosen after the result has been handed in, so that
        nobody can prepare for them. Payment waits in escrow until the verifier has spoken.
    """,
    "pearls": """
        A pearl begins with an irritation inside the shell of a mollusc. The animal cannot remove the
        intruder, so it covers it with nacre, layer upon layer. Nacre consists of thin tablets of aragonite
        held together by a little protein. Each layer is weak by itself, yet the stack resists cracks far
        better than the mineral alone, because a crack has to turn at every tablet. The shimmer comes from
        light reflected by layers that are about as thick as a wavelength. A cultured pearl takes years to
        grow, and many shells never produce a good one. Growers sort pearls by size, lustre and shape, and
        the market price rises steeply for the few that are round.
    """,
    "nautilus": """
        The nautilus is a mollusc that lives in a coiled shell of many chambers. It occupies only the newest
        chamber and closes the older ones behind it with walls of nacre. A thin tube runs through all
        chambers and lets the animal change their gas, so that it can rise and sink. The shell is a record
        of its growth: every chamber stays as it was built, and nothing is ever rebuilt. Some species add a
        chamber every few months until they are mature. The spiral keeps its shape while it grows, which
        lets the animal become larger without changing its design. Its relatives gave up the shell long ago,
        but the nautilus has kept the old plan through several extinctions.
    """,
    "circuit-breakers": """
        A circuit breaker stops calling something that keeps failing. After a number of consecutive failures
        the breaker opens, and calls are refused at once without waiting for another timeout. After a pause
        the breaker lets a single trial call through; if that call succeeds, the breaker closes again. For
        worker processes the same idea limits crash loops: twelve crashes in a row stop the agent and put it
        in front of a person. A breaker protects both sides, for the caller saves time and the failing
        service gets room to recover. Budgets are the slower brother of breakers: they refuse work when the
        money is gone. Every opening is recorded with its context, since a breaker that opens silently hides
        the failure it found.
    """,
}
