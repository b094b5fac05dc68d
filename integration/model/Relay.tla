------------------------------- MODULE Relay -------------------------------
(***************************************************************************)
(* The relay's protocol, as it is built: from transactions that write      *)
(* events into the log to records in the topic, through any number of      *)
(* relays that are killed, frozen and replaced.  The words are those of    *)
(* DESIGN.md; beside each action stands the function that it models.       *)
(*                                                                         *)
(* One step of the model is one statement in the database, one request to  *)
(* the broker, or one decision in memory.  A relay that stands still is a  *)
(* relay whose steps are not taken; a request that is slow is one that is  *)
(* not taken from the wire.  So every interleaving of these is looked at.  *)
(*                                                                         *)
(* Bounded (the worlds at the end, chosen by model_test.go): two or three  *)
(* transactions, three or four events, two keys, two or three terms, pages *)
(* of two events, leaves of two positions, one or two failures.            *)
(*                                                                         *)
(* Abstracted away:                                                        *)
(* - Time.  A lease may expire at any moment; what matters is that trust   *)
(*   ends first.                                                           *)
(* - Who relays.  Nothing outlives a term, so a term is known by its epoch *)
(*   and stands for the relay that has it.                                 *)
(* - Snapshots are sets: the transactions that had ended.                  *)
(* - Bounds by position (low, high, anchors): they only spare reading.     *)
(* - A lane is a key, and so is a topic, and a request carries one event.  *)
(* - Repetitions: a topic is the order of first appearances.               *)
(* - A refused record is parked at once, without having been a suspect.    *)
(* - Scheduled and expiring events, replay, discard, rebase, the ring's    *)
(*   second lap, transaction ids that a crash hands out again.             *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Programs,    \* for each transaction the keys of the events it writes
    Rollbacks,   \* the transactions that may be rolled back
    Async,       \* those with synchronous_commit = off
    Once,        \* the keys whose events are to be sent at most once
    Terms,       \* how many terms there are at most
    Failures,    \* how many records are refused, lanes given up
    Crashes,     \* how many times the database's server crashes
    Zombies,     \* whether a relay goes on after another has taken over
    Mutation     \* which guard is switched off; "none" for what is built

PageEvents == 2
LeafSize == 2

VARIABLES
    txs,         \* what became of each transaction
    log,         \* the events by position: [tx, key]
    gone,        \* the leaves that were given back
    flushed,     \* the committed transactions that are on disk
    lease,       \* the row: [epoch, held]; held is that it has not expired
    checkpoint,  \* the newest row
    deferred,    \* what is set aside: a set of [pos, state]
    topic,       \* for each key the positions in the order of first appearance
    wire,        \* requests that the broker may yet take: [by, of, pos]
    term,        \* what each term's relay has in memory
    tried,       \* the at-most-once events that were sent
    twice,       \* those that were sent again
    failures, crashes

vars == <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, wire, term, tried, twice, failures, crashes>>

Tx == 1 .. Len(Programs)
Term == 1 .. Terms
Keys == UNION {{Programs[t][i] : i \in 1 .. Len(Programs[t])} : t \in Tx}
Positions == 1 .. Len(log)
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
Max(S) == CHOOSE x \in S : \A y \in S : x >= y
Range(s) == {s[i] : i \in 1 .. Len(s)}

-----------------------------------------------------------------------------
(* The log *)

Committed == {t \in Tx : txs[t] = "committed"}
Ended == {t \in Tx : txs[t] \in {"committed", "aborted"}}
Leaf(pos) == (pos - 1) \div LeafSize
Stored(pos) == Leaf(pos) \notin gone
Real(pos) == log[pos].tx \in Committed
InTopic(pos) == pos \in Range(topic[log[pos].key])

(* A checkpoint, a claim, a cursor in memory: prev, cur and done.  Inside a *)
(* window cur is the snapshot at its other end.                             *)
None == {0}
Between(snapshot, own) == [prev |-> snapshot, cur |-> None, done |-> 0, own |-> own]
Covers(c, pos) == \/ log[pos].tx \in c.prev
                  \/ c.cur # None /\ log[pos].tx \in c.cur /\ pos <= c.done

Written(t) == Cardinality({pos \in Positions : log[pos].tx = t})

(* outbox.Add.  The writers of a key take turns: each has it locked from    *)
(* before its insert to its end.  Transactions have their ids in the order  *)
(* in which they begin.                                                     *)
Write(t) ==
    /\ txs[t] \in {"new", "open"} /\ Written(t) < Len(Programs[t])
    /\ \A earlier \in 1 .. t - 1 : txs[earlier] # "new"
    /\ LET key == Programs[t][Written(t) + 1] IN
        /\ \A pos \in Positions : log[pos].key = key /\ log[pos].tx # t => txs[log[pos].tx] # "open"
        /\ log' = Append(log, [tx |-> t, key |-> key])
    /\ txs' = [txs EXCEPT ![t] = "open"]
    /\ UNCHANGED <<gone, flushed, lease, checkpoint, deferred, topic, wire, term, tried, twice, failures, crashes>>

Commit(t) ==
    /\ txs[t] = "open" /\ Written(t) = Len(Programs[t])
    /\ txs' = [txs EXCEPT ![t] = "committed"]
    /\ flushed' = IF t \in Async THEN flushed ELSE flushed \cup Committed \cup {t}
    /\ UNCHANGED <<log, gone, lease, checkpoint, deferred, topic, wire, term, tried, twice, failures, crashes>>

Rollback(t) ==
    /\ txs[t] = "open" /\ t \in Rollbacks
    /\ txs' = [txs EXCEPT ![t] = "aborted"]
    /\ UNCHANGED <<log, gone, flushed, lease, checkpoint, deferred, topic, wire, term, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* A term's memory *)

NoTerm == [alive |-> FALSE, trust |-> FALSE, at |-> Between({}, FALSE), safe |-> Between({}, FALSE), frozen |-> FALSE, items |-> <<>>,
    done |-> {}, asides |-> {}, released |-> {}, held |-> {}, out |-> {}, ahead |-> FALSE,
    earlier |-> {}, own |-> {}, next |-> {}, waiting |-> {}, licensed |-> {}]

Alive(e) == term[e].alive
(* Who is fenced and has not noticed yet may do what it likes in memory:    *)
(* nobody sees it.  Only what shows is looked at, saves and requests.       *)
Works(e) == Alive(e) /\ (lease.epoch = e \/ Mutation = "two trust")

(* tracker.advance: safe follows the prefix of items that are done, without *)
(* a gap.  Each item says what the checkpoint is when it is done too.       *)
RECURSIVE Advanced(_)
Advanced(m) ==
    IF m.items # <<>> /\ Head(m.items).pos \in m.done
    THEN Advanced([m EXCEPT !.items = Tail(@), !.safe = Head(m.items).then, !.done = @ \ {Head(m.items).pos}])
    ELSE m

Finish(m, positions) ==
    LET after == [m EXCEPT !.done = @ \cup positions] IN
    CASE Mutation = "checkpoint with gaps" /\ positions # {} ->
            [after EXCEPT !.safe = (CHOOSE i \in Range(m.items) : i.pos = Max(positions)).then]
      [] OTHER -> Advanced(after)

Unfinished(m, key) == {i \in 1 .. Len(m.items) : log[m.items[i].pos].key = key /\ m.items[i].pos \notin m.done}
(* The lane's next event. *)
First(m, key) == m.items[Min(Unfinished(m, key))].pos
OfKey(positions, key) == {pos \in positions : log[pos].key = key}
Pending(m, key) == OfKey({a.pos : a \in m.asides}, key)
UnderWay(e, key) == OfKey({r.pos : r \in {x \in wire : x.by = e}}, key)

(* The end of a term, whatever ends it: the memory is gone, and what is on  *)
(* the wire has nobody who waits for it.                                    *)
Orphans(e) == {IF r.by = e THEN [r EXCEPT !.by = 0] ELSE r : r \in {x \in wire : x.by # e \/ ~InTopic(x.pos)}}
End(e) ==
    /\ Alive(e) /\ e < Terms
    /\ term' = [term EXCEPT ![e] = NoTerm]
    /\ wire' = Orphans(e)
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* The lease: lease.go *)

(* Relay.acquire, then begin: readCheckpoint and readAside.                 *)
Acquire(e) ==
    /\ ~lease.held /\ e = lease.epoch + 1
    /\ lease' = [epoch |-> e, held |-> TRUE]
    /\ LET at == [prev |-> checkpoint.prev, cur |-> checkpoint.cur, done |-> checkpoint.done, own |-> FALSE]
           rows == {d.pos : d \in deferred} IN
        term' = [old \in Term |-> IF old # e THEN IF Zombies THEN term[old] ELSE NoTerm ELSE
            [NoTerm EXCEPT !.alive = TRUE, !.trust = TRUE, !.at = at, !.safe = at,
            !.held = IF Mutation = "held keys forgotten" THEN {} ELSE {log[pos].key : pos \in rows},
            !.ahead = \E pos \in rows : ~Covers(at, pos),
            !.earlier = checkpoint.claims]]
    /\ wire' = IF Zombies THEN wire ELSE Orphans(e - 1)
    /\ UNCHANGED <<txs, log, gone, flushed, checkpoint, deferred, topic, tried, twice, failures, crashes>>

(* The row expires; trust has ended before, by the holder's own clock.  A   *)
(* database clock that is set forward ends the row alone ("two trust").     *)
Expire ==
    /\ lease.held /\ lease.epoch < Terms
    /\ lease' = [lease EXCEPT !.held = FALSE]
    /\ term' = IF Mutation = "two trust" THEN term ELSE [term EXCEPT ![lease.epoch].trust = FALSE]
    /\ UNCHANGED <<txs, log, gone, flushed, checkpoint, deferred, topic, wire, tried, twice, failures, crashes>>

(* keeper.renew: also of a row that has expired, while nobody has taken it. *)
Renew(e) ==
    /\ Alive(e) /\ lease.epoch = e /\ ~lease.held
    /\ lease' = [lease EXCEPT !.held = TRUE]
    /\ term' = [term EXCEPT ![e].trust = TRUE]
    /\ UNCHANGED <<txs, log, gone, flushed, checkpoint, deferred, topic, wire, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* Reading: reader.go *)

RECURSIVE InOrder(_)
InOrder(S) == IF S = {} THEN <<>> ELSE <<Min(S)>> \o InOrder(S \ {Min(S)})

Unread(prev, now) == {pos \in Positions : Stored(pos) /\ Real(pos) /\ log[pos].tx \in now /\ log[pos].tx \notin prev}

(* hand: a page goes to the tracker and to the lanes.  What is of a topic   *)
(* that is set aside goes there at once; what may have been sent already is *)
(* skipped; what is to be sent at most once waits for its claim.            *)
Hand(m, positions, under, after) ==
    LET page == InOrder(positions)
        items == [i \in 1 .. Len(page) |-> [pos |-> page[i],
            then |-> IF i = Len(page) THEN after ELSE [under EXCEPT !.done = page[i]]]]
        once == {pos \in positions : log[pos].key \in Once}
        skipped == {pos \in once : \E c \in m.earlier : Covers(c, pos)}
        away == {pos \in positions : log[pos].key \in m.out}
        read == [m EXCEPT !.at = after, !.items = @ \o items,
            !.waiting = @ \cup (once \ skipped), !.next = IF once \ skipped = {} THEN @ ELSE {after},
            !.asides = @ \cup {[pos |-> pos, state |-> "waiting", again |-> FALSE] : pos \in away}]
    IN CASE page = <<>> /\ m.items = <<>> -> [m EXCEPT !.at = after, !.safe = after]
         [] page = <<>> -> [m EXCEPT !.at = after, !.items[Len(m.items)].then = after]
         [] Mutation = "checkpoint before ack" -> [Finish(read, skipped \cup away) EXCEPT !.safe = after]
         [] OTHER -> Finish(read, skipped \cup away)

(* poll.  Fewer than a page: the window is whole.  A page or more: they are *)
(* thrown away, and the window's end is frozen.  A term polls at least      *)
(* once: flows may wait for a snapshot of its own.                          *)
Poll(e) ==
    LET m == term[e]
        now == IF Mutation = "uncommitted is read" THEN Tx ELSE Ended
        new == Unread(m.at.prev, now)
        dirty == {pos \in Positions : Stored(pos) /\ txs[log[pos].tx] # "aborted" /\ log[pos].tx \notin m.at.prev}
        last == m.at.done
        later == {pos \in Positions : Stored(pos) /\ Real(pos) /\ pos > last}
        first == Min({log[pos].tx : pos \in new})
    IN
    /\ Works(e) /\ m.at.cur = None /\ (Ended # m.at.prev \/ (~m.at.own /\ Mutation # "no first poll"))
    /\ Mutation = "no durability gate" \/ Committed \subseteq flushed
    /\ term' = [term EXCEPT ![e] =
        CASE Mutation = "cursor by position" ->
                Hand(m, later, m.at, [Between(Ended, TRUE) EXCEPT !.done = Max(later \cup {last})])
          [] Mutation = "uncommitted is read" ->
                Hand(m, dirty, [m.at EXCEPT !.cur = Ended], Between(Ended \cup {log[pos].tx : pos \in dirty}, TRUE))
          [] Cardinality(new) < PageEvents ->
                Hand(m, new, [m.at EXCEPT !.cur = Ended], Between(Ended, TRUE))
          [] Mutation = "window cut by xid" ->
                Hand(m, {pos \in new : log[pos].tx = first}, m.at, Between(m.at.prev \cup {first}, TRUE))
          [] OTHER -> [m EXCEPT !.at.cur = Ended, !.frozen = TRUE]]
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, wire, tried, twice, failures, crashes>>

(* readPage: the next so many by position of the frozen window.             *)
ReadPage(e) ==
    LET m == term[e]
        left == {pos \in Unread(m.at.prev, m.at.cur) : pos > m.at.done}
        page == {pos \in left : Cardinality({p \in left : p < pos}) < PageEvents}
    IN
    /\ Works(e) /\ m.at.cur # None
    /\ term' = [term EXCEPT ![e] = Hand(m, page, m.at,
        IF Cardinality(page) < PageEvents THEN Between(m.at.cur, m.frozen) ELSE [m.at EXCEPT !.done = Max(page)])]
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, wire, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* Lanes and the broker: lane.go, admit.go *)

(* lane.send, once admit has let the event pass: at most one request a lane *)
(* is under way, and trust is looked at right before it.  The wire is where *)
(* a relay that is frozen after that look has its request, too.             *)
Send(e) ==
    \E key \in Keys \ Once :
        LET m == term[e] pos == First(m, key) IN
        /\ Alive(e) /\ Unfinished(m, key) # {} /\ UnderWay(e, key) = {}
        /\ m.trust \/ Mutation = "no look at trust"
        /\ key \notin m.held \/ Mutation = "held overtaken"
        /\ wire' = wire \cup {[by |-> e, of |-> lease.epoch, pos |-> pos]}
        /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, term, tried, twice, failures, crashes>>

(* The same for an event to be sent at most once: after its claim was       *)
(* saved, and one attempt, whatever comes of it.                            *)
SendOnce(e) ==
    \E pos \in term[e].licensed \cup (IF Mutation = "sent before its claim" THEN term[e].waiting ELSE {}) :
        /\ Alive(e) /\ term[e].trust
        /\ wire' = wire \cup {[by |-> 0, of |-> lease.epoch, pos |-> pos]}
        /\ tried' = tried \cup {pos}
        /\ twice' = IF pos \in tried THEN twice \cup {pos} ELSE twice
        /\ term' = [term EXCEPT ![e] = Finish([@ EXCEPT !.licensed = @ \ {pos}, !.waiting = @ \ {pos}], {pos})]
        /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, failures, crashes>>

Appears(pos) == IF InTopic(pos) THEN topic ELSE [topic EXCEPT ![log[pos].key] = Append(@, pos)]

(* The broker takes a request whose answer does not come, or comes to       *)
(* nobody.                                                                  *)
Land(r) ==
    /\ r \in wire
    /\ r.by = 0 \/ ~InTopic(r.pos)
    /\ topic' = Appears(r.pos)
    /\ wire' = {x \in wire : x # r /\ (x.by # 0 \/ x.pos # r.pos)}
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, term, tried, twice, failures, crashes>>

(* The broker takes it, and the relay is told: term.sent.  A stored event   *)
(* leaves the table with the next save.                                     *)
Acknowledge(r) ==
    /\ r \in wire /\ r.by # 0 /\ Works(r.by)
    /\ topic' = Appears(r.pos)
    /\ wire' = {x \in wire : x # r /\ (x.by # 0 \/ x.pos # r.pos)}
    /\ LET m == term[r.by] IN
        term' = [term EXCEPT ![r.by] =
            IF log[r.pos].key \in m.held /\ Mutation # "held overtaken"
            THEN [m EXCEPT !.released = @ \cup {r.pos}] ELSE Finish(m, {r.pos})]
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* Setting aside: refusal.go, patience.go, aside.go *)

Aside(m, pos, state, again) == [m EXCEPT !.asides = @ \cup {[pos |-> pos, state |-> state, again |-> again]}]

(* The record, standing alone, is refused: it is parked and its key held.   *)
Refuse(r) ==
    /\ failures > 0 /\ failures' = failures - 1
    /\ r \in wire /\ r.by # 0 /\ Works(r.by)
    /\ wire' = wire \ {r}
    /\ LET m == term[r.by] key == log[r.pos].key IN
        term' = [term EXCEPT ![r.by] =
            IF key \in m.held THEN Aside(m, r.pos, "parked", TRUE)
            ELSE Finish(Aside([m EXCEPT !.held = @ \cup {key}], r.pos, "parked", FALSE), {r.pos})]
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, tried, twice, crashes>>

(* lane.giveUp: the topic cannot be written to, and all of it is set aside. *)
(* A request without an answer may still be on the wire.                    *)
GiveUp(e) ==
    /\ failures > 0 /\ failures' = failures - 1
    /\ \E key \in Keys \ (Once \cup term[e].held) :
        /\ Works(e) /\ UnderWay(e, key) # {}
        /\ wire' = {IF x.by = e /\ log[x.pos].key = key THEN [x EXCEPT !.by = 0] ELSE x : x \in wire}
        /\ term' = [term EXCEPT ![e].held = @ \cup {key}, ![e].out = @ \cup {key}]
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, tried, twice, crashes>>

(* admit: what has come into the lane of a key that is held stays behind.   *)
StayBehind(e) ==
    \E key \in term[e].held :
        LET m == term[e] pos == First(m, key) IN
        /\ Works(e) /\ Unfinished(m, key) # {}
        /\ term' = [term EXCEPT ![e] = Finish(Aside(m, pos, "waiting", FALSE), {pos})]
        /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, wire, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* Saves: keeper.go, save_checkpoint and set_aside *)

Fenced(e) == lease.epoch = e \/ Mutation = "no epoch check"

(* What is stored after a save.  An event of the log that is there already  *)
(* was set aside before a crash, and stays as it is.                        *)
AfterSave(m) ==
    LET again == {a \in m.asides : a.again}
        known == {d.pos : d \in deferred}
        fresh == {a \in m.asides : ~a.again /\ a.pos \notin known /\ Stored(a.pos)}
    IN {d \in {IF \E a \in again : a.pos = d.pos THEN [d EXCEPT !.state = "parked"] ELSE d : d \in deferred}
            \cup {[pos |-> a.pos, state |-> a.state] : a \in fresh} : d.pos \notin m.released}

Saved(e, m, claims) ==
    /\ checkpoint' = [prev |-> m.safe.prev, cur |-> m.safe.cur, done |-> m.safe.done, claims |-> claims,
                      by |-> e, of |-> lease.epoch]
    /\ flushed' = Committed

(* The claims that a save carries: those of earlier terms until the         *)
(* checkpoint is a snapshot of this one.                                    *)
Carried(m) == IF m.safe.own \/ Mutation = "earlier claims dropped" THEN {} ELSE m.earlier

Unsaved(m) == \/ [prev |-> m.safe.prev, cur |-> m.safe.cur, done |-> m.safe.done] #
                 [prev |-> checkpoint.prev, cur |-> checkpoint.cur, done |-> checkpoint.done]
              \/ m.asides # {} \/ m.released # {} \/ Carried(m) \cup m.own # checkpoint.claims

(* keeper.save: the checkpoint, what was set aside, what was sent of it, in *)
(* one statement under the fence.                                           *)
Save(e) ==
    LET m == term[e] late == Mutation = "set aside after the save" IN
    /\ Alive(e) /\ Fenced(e) /\ Unsaved(m)
    /\ Saved(e, m, Carried(m) \cup m.own)
    /\ deferred' = AfterSave(IF late THEN [m EXCEPT !.asides = {}] ELSE m)
    /\ term' = [term EXCEPT ![e] = [@ EXCEPT !.asides = IF late THEN @ ELSE {}, !.released = {}]]
    /\ UNCHANGED <<txs, log, gone, lease, topic, wire, tried, twice, failures, crashes>>

(* The guard that is taken away by that mutation: the copies follow.        *)
SaveAsides(e) ==
    /\ Mutation = "set aside after the save" /\ Alive(e) /\ Fenced(e) /\ term[e].asides # {}
    /\ deferred' = AfterSave(term[e])
    /\ term' = [term EXCEPT ![e] = [@ EXCEPT !.asides = {}, !.released = {}]]
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, topic, wire, tried, twice, failures, crashes>>

(* keeper.claimed: the same, with a claim of all that has been read, after  *)
(* which what waited for it may be sent.                                    *)
Claim(e) ==
    LET m == [term[e] EXCEPT !.own = term[e].next] IN
    /\ Alive(e) /\ Fenced(e) /\ m.waiting # {}
    /\ Saved(e, m, Carried(m) \cup m.own)
    /\ deferred' = AfterSave(m)
    /\ term' = [term EXCEPT ![e] = [m EXCEPT !.asides = {}, !.released = {}, !.licensed = @ \cup m.waiting, !.waiting = {}]]
    /\ UNCHANGED <<txs, log, gone, lease, topic, wire, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* The way back: flow.go *)

(* An operator has a parked event sent again: relay/admin.                  *)
Redrive(d) ==
    /\ d \in deferred /\ d.state = "parked"
    /\ deferred' = (deferred \ {d}) \cup {[d EXCEPT !.state = "redrive"]}
    /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, topic, wire, term, tried, twice, failures, crashes>>

(* sqlEligible: the first stored event of a key, if nothing holds it.       *)
Rows(m, key) == OfKey({d.pos : d \in deferred}, key) \ m.released

(* flow.pages, after flow.drain: where new events pass no lane, what the    *)
(* lanes still have goes first; so does what this term reads again.         *)
FlowSend(e) ==
    \E key \in term[e].held :
        LET m == term[e] rows == Rows(m, key) IN
        /\ Alive(e) /\ m.trust /\ UnderWay(e, key) = {}
        /\ rows # {} /\ [pos |-> Min(rows), state |-> "parked"] \notin deferred
        /\ ~ \E a \in m.asides : a.again /\ log[a.pos].key = key
        /\ \/ key \notin m.out \/ Mutation = "flow does not drain"
           \/ Unfinished(m, key) = {} /\ Pending(m, key) = {}
        /\ \/ ~m.ahead \/ Mutation = "flow is ahead of reading"
           \/ m.safe.own /\ m.asides = {}
        /\ wire' = wire \cup {[by |-> e, of |-> lease.epoch, pos |-> Min(rows)]}
        /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, term, tried, twice, failures, crashes>>

(* flow.join and live: nothing of the key is under way, pending or stored.  *)
Join(e) ==
    \E key \in term[e].held :
        LET m == term[e] IN
        /\ Works(e) /\ UnderWay(e, key) = {}
        /\ OfKey({d.pos : d \in deferred}, key) = {}
        /\ Mutation = "joined before it is saved" \/ Pending(m, key) = {}
        /\ term' = [term EXCEPT ![e].held = @ \ {key}, ![e].out = @ \ {key}]
        /\ UNCHANGED <<txs, log, gone, flushed, lease, checkpoint, deferred, topic, wire, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* Giving space back: reclaim_leaf and leaf_is_done *)

(* No fence: whoever asks, the saved checkpoint answers.  The lock keeps    *)
(* away the leaves in which a transaction has rows that it has not          *)
(* committed: those are not seen.                                           *)
Reclaim(leaf) ==
    LET rows == {pos \in Positions : Leaf(pos) = leaf}
        seen == {pos \in rows : Real(pos)}
        by == IF Mutation = "reclaim by memory" /\ lease.epoch > 0 THEN term[lease.epoch].at ELSE checkpoint
        snapshot == IF by.cur # None /\ Max(seen) <= by.done THEN by.cur ELSE by.prev
    IN
    /\ leaf \notin gone /\ seen # {} /\ Leaf(Len(log)) # leaf
    /\ Mutation = "reclaim without lock" \/ \A pos \in rows : txs[log[pos].tx] # "open"
    /\ \A pos \in seen : log[pos].tx \in snapshot
    /\ gone' = gone \cup {leaf}
    /\ UNCHANGED <<txs, log, flushed, lease, checkpoint, deferred, topic, wire, term, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
(* The database's server crashes: what is not on disk was never committed.  *)
(* Every connection, and with it every term, ends.                          *)
Crash ==
    /\ crashes > 0 /\ crashes' = crashes - 1 /\ lease.epoch < Terms
    /\ txs' = [t \in Tx |-> IF txs[t] \in {"open", "committed"} /\ t \notin flushed THEN "aborted" ELSE txs[t]]
    /\ term' = [e \in Term |-> NoTerm]
    /\ wire' = {[r EXCEPT !.by = 0] : r \in {x \in wire : ~InTopic(x.pos)}}
    /\ UNCHANGED <<log, gone, flushed, lease, checkpoint, deferred, topic, tried, twice, failures>>

(* The WAL writer; or the keeper, where an idle server flushes nothing.     *)
Flush ==
    /\ flushed # Committed
    /\ flushed' = Committed
    /\ UNCHANGED <<txs, log, gone, lease, checkpoint, deferred, topic, wire, term, tried, twice, failures, crashes>>

-----------------------------------------------------------------------------
Init ==
    /\ txs = [t \in Tx |-> "new"]
    /\ log = <<>> /\ gone = {} /\ flushed = {}
    /\ lease = [epoch |-> 0, held |-> FALSE]
    /\ checkpoint = [prev |-> {}, cur |-> None, done |-> 0, claims |-> {}, by |-> 0, of |-> 0]
    /\ deferred = {} /\ topic = [key \in Keys |-> <<>>] /\ wire = {}
    /\ term = [e \in Term |-> NoTerm]
    /\ tried = {} /\ twice = {} /\ failures = Failures /\ crashes = Crashes

(* Everything has ended as it should: written, published, saved.            *)
Settled ==
    /\ Ended = Tx /\ deferred = {} /\ wire = {}
    /\ \A pos \in Positions : Real(pos) => Covers(checkpoint, pos) /\ (log[pos].key \in Once \/ InTopic(pos))

Rest == Settled /\ UNCHANGED vars

Next ==
    \/ \E t \in Tx : Write(t)
    \/ \E t \in Tx : Commit(t)
    \/ \E t \in Tx : Rollback(t)
    \/ \E e \in Term : Acquire(e)
    \/ \E e \in Term : Renew(e)
    \/ \E e \in Term : Poll(e)
    \/ \E e \in Term : ReadPage(e)
    \/ \E e \in Term : Send(e)
    \/ \E e \in Term : SendOnce(e)
    \/ \E e \in Term : StayBehind(e)
    \/ \E e \in Term : FlowSend(e)
    \/ \E e \in Term : Join(e)
    \/ \E e \in Term : Save(e)
    \/ \E e \in Term : SaveAsides(e)
    \/ \E e \in Term : Claim(e)
    \/ \E r \in wire : Acknowledge(r)
    \/ \E d \in deferred : Redrive(d)
    \/ \E leaf \in {Leaf(pos) : pos \in Positions} : Reclaim(leaf)
    \/ Flush
    (* What goes wrong. *)
    \/ Expire
    \/ \E e \in Term : End(e)
    \/ \E e \in Term : GiveUp(e)
    \/ \E r \in wire : Refuse(r)
    \/ \E r \in wire : Land(r)
    \/ Crash
    \/ Rest

Spec == Init /\ [][Next]_vars
(* With whatever can be done being done.                                    *)
Fair == Spec /\ WF_vars(Next)

-----------------------------------------------------------------------------
(* What is promised *)

AtLeastOnce == {pos \in Positions : Real(pos) /\ log[pos].key \notin Once}
SetAside == {d.pos : d \in deferred}

(* Nothing is in the topic that was not committed.                          *)
NothingUncommitted == \A key \in Keys : \A pos \in Range(topic[key]) : Real(pos)

(* Nobody saves in another's term.                                          *)
NoZombieSaves == checkpoint.by = checkpoint.of

(* Nobody sends in another's term; what was sent before may arrive later.   *)
NoZombieSends == \A r \in wire : r.by # 0 => r.by = r.of

(* A leaf that is given back had nothing that was still to be published.    *)
NothingReclaimedUnpublished == \A pos \in AtLeastOnce : Stored(pos) \/ InTopic(pos) \/ pos \in SetAside

(* A committed event is in the topic, or set aside, or in the log where the *)
(* next term will read it.                                                  *)
NothingLost == \A pos \in AtLeastOnce :
    InTopic(pos) \/ pos \in SetAside \/ (Stored(pos) /\ ~Covers(checkpoint, pos))

(* What waits is not overtaken by what comes after it of its key.           *)
HeldStaysBehind == \A pos \in SetAside : InTopic(pos) \/ \A later \in Range(topic[log[pos].key]) : later < pos

(* First appearances of a key are in the order of its writers.              *)
OrderOfKeys == \A key \in Keys \ Once : \A i, j \in 1 .. Len(topic[key]) : i < j => topic[key][i] < topic[key][j]

AtMostOnce == twice = {}

(* In the end everything is published and saved, and nothing set aside.     *)
EverythingSettles == <>Settled

-----------------------------------------------------------------------------
(* The worlds that TLC explores, one at a time: what is written.            *)

(* The transaction that begins first may write a key second.                *)
Overlapping == << <<"a", "b">>, <<"b">>, <<"a">> >>
(* What is refused has something behind it, and something beside it.        *)
InTurn == << <<"a", "b">>, <<"a">> >>
(* An event to be sent at most once among others.                           *)
WithOnce == << <<"a", "m">>, <<"m">> >>
=============================================================================
