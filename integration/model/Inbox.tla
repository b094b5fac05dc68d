------------------------------- MODULE Inbox -------------------------------
(***************************************************************************)
(* The inbox and the consumer of Kafka: from the records of one partition  *)
(* to effects that are committed once, through owners that are killed,     *)
(* frozen and replaced.  The words are those of DESIGN.md; beside each     *)
(* action stands the function that it models.                              *)
(*                                                                         *)
(* Bounded (the worlds at the end, chosen by model_test.go): four records, *)
(* one of them a repetition, two keys, batches of two, two generations of  *)
(* the group, four claims, one or two failures of handlers.                *)
(*                                                                         *)
(* Abstracted away:                                                        *)
(* - One partition.  Others share only the table of ids, which is asked in *)
(*   the same way.                                                         *)
(* - How it is found out which message failed: it is known at once.        *)
(* - Time: a retry may be due at any moment, a generation end at any.      *)
(* - HoldPartition and HoldNothing, broken handlers, skip, stop, discard,  *)
(*   ids that cannot be proved new, expiry of ids, at most once.           *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Records,     \* the partition: [id, key] by offset, first is 1
    Owners,      \* how many generations the group has, each with its owner
    Claims,      \* how many times the partition is taken over at most
    Failures,    \* how many handlers fail
    Mutation     \* which guard is switched off; "none" for what is built

BatchSize == 2

VARIABLES
    generation,  \* the group's, as Kafka knows it
    offset,      \* committed: the first record that is not done
    epoch,       \* of the claim: tandem.inbox_partition
    ids,         \* tandem.inbox
    effects,     \* what handlers have committed: ids, in order
    aside,       \* tandem.inbox_aside in the order of aside: [at, state]
    owner,       \* what each generation's owner has in memory
    claims, failures

vars == <<generation, offset, epoch, ids, effects, aside, owner, claims, failures>>

Owner == 1 .. Owners
End == Len(Records) + 1
Range(s) == {s[i] : i \in 1 .. Len(s)}
Id(at) == Records[at].id
Key(at) == Records[at].key
Ids == {r.id : r \in Range(Records)}
FirstOf(id) == CHOOSE at \in 1 .. Len(Records) : Id(at) = id /\ \A other \in 1 .. at - 1 : Id(other) # id

-----------------------------------------------------------------------------
(* A transaction: how many messages of the partition it is about; which are *)
(* handled, in order, and have effects; which are set aside, and how; and   *)
(* of those that were set aside before the ones that leave the table, and   *)
(* the ones that have failed again.                                         *)
NoTx == [open |-> FALSE, size |-> 0, handled |-> <<>>, stored |-> <<>>, leave |-> {}, again |-> {}]

(* An owner: the epoch of its claim, 0 without one; what it handles next,   *)
(* and how far that is done; the lanes that are held; the verdicts of       *)
(* messages that have failed and are not set aside yet.                     *)
NoOwner == [alive |-> FALSE, epoch |-> 0, next |-> 0, applied |-> 0, held |-> {}, verdicts |-> {}, tx |-> NoTx]

Alive(o) == owner[o].alive
Claimed(o) == owner[o].epoch # 0
Others(o) == {p \in Owner \ {o} : owner[p].tx.open}
Rows(key) == {i \in 1 .. Len(aside) : Key(aside[i].at) = key}
Stored == {aside[i].at : i \in 1 .. Len(aside)}
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
IdsOf(tx) == {Id(at) : at \in Range(tx.handled)}

(* A rebalance: the new generation's owner begins at the offset.  The owner *)
(* before does not know of it yet.                                          *)
Rebalance ==
    /\ generation < Owners
    /\ generation' = generation + 1
    /\ owner' = [owner EXCEPT ![generation'] = [NoOwner EXCEPT !.alive = TRUE, !.next = offset, !.applied = offset]]
    /\ UNCHANGED <<offset, epoch, ids, effects, aside, claims, failures>>

(* The owner is killed, or has learned that its generation is over: member. *)
(* Its transaction is rolled back.                                          *)
Leave(o) ==
    /\ Alive(o) /\ o < Owners
    /\ owner' = [owner EXCEPT ![o] = NoOwner]
    /\ UNCHANGED <<generation, offset, epoch, ids, effects, aside, claims, failures>>

(* partition.claim and load: claim_inbox_partition waits for the share lock *)
(* of every transaction that has looked at the epoch; then what is set      *)
(* aside is read.  Who was fenced and does not know of its generation's end *)
(* claims again.                                                            *)
Claim(o) ==
    /\ Alive(o) /\ ~Claimed(o) /\ claims > 0 /\ claims' = claims - 1
    /\ Others(o) = {} \/ Mutation = "claim does not wait"
    /\ epoch' = epoch + 1
    /\ owner' = [owner EXCEPT ![o].epoch = epoch', ![o].held =
        IF Mutation = "held keys forgotten" THEN {} ELSE {Key(at) : at \in Stored}]
    /\ UNCHANGED <<generation, offset, ids, effects, aside, failures>>

-----------------------------------------------------------------------------
(* Applying: apply.go, record.go, settle.go *)

(* The messages of a batch, one by one, as plan and record find them: what  *)
(* is of a lane that is held waits behind it; what has its verdict is set   *)
(* aside, and its lane is held from here on; what the inbox knows, and what *)
(* comes again in the batch, is a duplicate; all others are handled.        *)
RECURSIVE Judged(_, _, _, _)
Judged(tx, held, rest, failed) ==
    IF rest = <<>> THEN tx ELSE
    LET at == Head(rest) IN
    CASE Key(at) \in held /\ Mutation # "held overtaken" ->
            Judged([tx EXCEPT !.stored = Append(@, [at |-> at, state |-> "held"])], held, Tail(rest), failed)
      [] at \in failed ->
            Judged([tx EXCEPT !.stored = Append(@, [at |-> at, state |-> "retrying"])], held \cup {Key(at)}, Tail(rest), failed)
      [] Id(at) \in ids \/ (Id(at) \in IdsOf(tx) /\ Mutation # "each of a batch is new") ->
            Judged(tx, held, Tail(rest), failed)
      [] OTHER -> Judged([tx EXCEPT !.handled = Append(@, at)], held, Tail(rest), failed)

(* The unique index: who inserts an id that another transaction has         *)
(* inserted waits for its end.                                              *)
Waits(o, new) == \E p \in Others(o) : IdsOf(owner[p].tx) \cap new # {}

Fenced(o) == owner[o].epoch = epoch \/ Mutation = "no fence"

(* BEGIN, the look at the fence, the ids, the handlers.  Nothing of it is   *)
(* seen before the COMMIT.                                                  *)
Begin(o) ==
    \E n \in 1 .. BatchSize :
        LET m == owner[o] batch == [i \in 1 .. n |-> m.next + i - 1]
            tx == Judged([NoTx EXCEPT !.open = TRUE, !.size = n], m.held, batch, m.verdicts) IN
        /\ Alive(o) /\ Claimed(o) /\ ~m.tx.open /\ m.next + n <= End
        /\ Fenced(o) /\ ~Waits(o, IdsOf(tx))
        /\ owner' = [owner EXCEPT ![o].tx = tx,
                     ![o].applied = IF Mutation = "offset before effects" THEN m.next + n ELSE @]
        /\ ids' = IF Mutation = "id outside the transaction" THEN ids \cup IdsOf(tx) ELSE ids
        /\ effects' = IF Mutation = "effect outside the transaction"
                      THEN effects \o [i \in 1 .. Len(tx.handled) |-> Id(tx.handled[i])] ELSE effects
        /\ UNCHANGED <<generation, offset, epoch, aside, claims, failures>>

(* A handler fails: the transaction is rolled back, and the message has its *)
(* verdict, with which the batch is repeated: verdict.go.                   *)
Fail(o) ==
    \E at \in Range(owner[o].tx.handled) :
        /\ Alive(o) /\ owner[o].tx.open /\ owner[o].tx.size > 0
        /\ failures > 0 /\ failures' = failures - 1
        /\ owner' = [owner EXCEPT ![o].tx = NoTx, ![o].verdicts = @ \cup {at}]
        /\ UNCHANGED <<generation, offset, epoch, ids, effects, aside, claims>>

(* The first message of a lane that is set aside, when it is due: fetchDue. *)
(* It is handled in the transaction that takes its row away.                *)
Retry(o) ==
    \E key \in owner[o].held : \E fails \in BOOLEAN :
        LET m == owner[o] row == Min(Rows(key)) at == aside[row].at known == Id(at) \in ids IN
        /\ Alive(o) /\ Claimed(o) /\ ~m.tx.open
        /\ Rows(key) # {} /\ aside[row].state # "parked"
        /\ Fenced(o) /\ ~Waits(o, {Id(at)})
        /\ fails => ~known /\ failures > 0
        /\ failures' = IF fails THEN failures - 1 ELSE failures
        /\ owner' = [owner EXCEPT ![o].tx = [NoTx EXCEPT !.open = TRUE,
                !.handled = IF fails \/ known THEN <<>> ELSE <<at>>,
                !.leave = IF fails THEN {} ELSE {at}, !.again = IF fails THEN {at} ELSE {}]]
        /\ UNCHANGED <<generation, offset, epoch, ids, effects, aside, claims>>

(* What a COMMIT writes.  A message that is stored already was set aside    *)
(* before its offset was committed, and stays as it is.                     *)
RECURSIVE Adding(_, _)
Adding(rows, stored) ==
    IF stored = <<>> THEN rows
    ELSE Adding(IF \E r \in Range(rows) : r.at = Head(stored).at THEN rows ELSE Append(rows, Head(stored)), Tail(stored))

Kept(rows, leave) == SelectSeq(rows, LAMBDA r : r.at \notin leave)

Committed(o) ==
    LET tx == owner[o].tx IN
    /\ ids' = ids \cup IdsOf(tx)
    /\ effects' = IF Mutation = "effect outside the transaction" /\ tx.size > 0 THEN effects
                  ELSE effects \o [i \in 1 .. Len(tx.handled) |-> Id(tx.handled[i])]
    /\ LET rows == [i \in 1 .. Len(aside) |->
                IF aside[i].at \in tx.again THEN [aside[i] EXCEPT !.state = "parked"] ELSE aside[i]] IN
        aside' = Kept(Adding(rows, IF Mutation = "set aside in memory" THEN <<>> ELSE tx.stored), tx.leave)

(* COMMIT, and its answer: settled, learn, commitAfter.                     *)
Commit(o) ==
    LET m == owner[o] tx == m.tx next == m.next + tx.size IN
    /\ Alive(o) /\ tx.open
    /\ Committed(o)
    /\ owner' = [owner EXCEPT ![o] = [m EXCEPT !.tx = NoTx, !.next = next,
        !.applied = IF tx.size > 0 THEN next ELSE @,
        !.verdicts = {at \in @ : at >= next},
        !.held = @ \cup {Key(s.at) : s \in Range(tx.stored)}]]
    /\ UNCHANGED <<generation, offset, epoch, claims, failures>>

(* COMMIT, and its answer is lost: the batch is repeated.                   *)
CommitUnanswered(o) ==
    /\ Alive(o) /\ owner[o].tx.open
    /\ Committed(o)
    /\ owner' = [owner EXCEPT ![o].tx = NoTx]
    /\ UNCHANGED <<generation, offset, epoch, claims, failures>>

(* Something fails, or the server ends the transaction of an owner that     *)
(* stands still: idle_in_transaction_session_timeout, Evict.                *)
Rollback(o) ==
    /\ Alive(o) /\ owner[o].tx.open
    /\ owner' = [owner EXCEPT ![o].tx = NoTx]
    /\ UNCHANGED <<generation, offset, epoch, ids, effects, aside, claims, failures>>

(* The next statement finds another epoch: ErrFenced.                       *)
NoticeFence(o) ==
    /\ Alive(o) /\ Claimed(o) /\ owner[o].epoch # epoch /\ ~owner[o].tx.open
    /\ owner' = [owner EXCEPT ![o].epoch = 0]
    /\ UNCHANGED <<generation, offset, epoch, ids, effects, aside, claims, failures>>

(* release: a lane is free when a read finds no row of it.                  *)
Free(o) ==
    \E key \in owner[o].held :
        /\ Alive(o) /\ Claimed(o) /\ owner[o].epoch = epoch /\ ~owner[o].tx.open
        /\ Rows(key) = {} \/ Mutation = "freed after its first"
        /\ owner' = [owner EXCEPT ![o].held = @ \ {key}]
        /\ UNCHANGED <<generation, offset, epoch, ids, effects, aside, claims, failures>>

(* offsets.run: beside the work, and after it.  Kafka refuses those of a    *)
(* generation that is over.                                                 *)
CommitOffset(o) ==
    /\ Alive(o) /\ o = generation /\ owner[o].applied > offset
    /\ offset' = owner[o].applied
    /\ UNCHANGED <<generation, epoch, ids, effects, aside, owner, claims, failures>>

(* An operator has a parked message handled again: inbox/admin.             *)
Redrive(i) ==
    /\ aside[i].state = "parked"
    /\ aside' = [aside EXCEPT ![i].state = "redrive"]
    /\ UNCHANGED <<generation, offset, epoch, ids, effects, owner, claims, failures>>

-----------------------------------------------------------------------------
Init ==
    /\ generation = 1 /\ offset = 1 /\ epoch = 0
    /\ ids = {} /\ effects = <<>> /\ aside = <<>>
    /\ owner = [o \in Owner |-> IF o = 1 THEN [NoOwner EXCEPT !.alive = TRUE, !.next = 1, !.applied = 1] ELSE NoOwner]
    /\ claims = Claims /\ failures = Failures

Settled == offset = End /\ aside = <<>> /\ ids = Ids
Rest == Settled /\ UNCHANGED vars
(* What the bound leaves: the last claim is the zombie's, and nobody may    *)
(* take over from it.                                                       *)
OutOfClaims == claims = 0 /\ owner[generation].epoch # epoch /\ UNCHANGED vars

Next ==
    \/ \E o \in Owner : Claim(o)
    \/ \E o \in Owner : Begin(o)
    \/ \E o \in Owner : Retry(o)
    \/ \E o \in Owner : Commit(o)
    \/ \E o \in Owner : Free(o)
    \/ \E o \in Owner : CommitOffset(o)
    \/ \E o \in Owner : NoticeFence(o)
    \/ \E i \in 1 .. Len(aside) : Redrive(i)
    (* What goes wrong. *)
    \/ Rebalance
    \/ \E o \in Owner : Leave(o)
    \/ \E o \in Owner : Fail(o)
    \/ \E o \in Owner : Rollback(o)
    \/ \E o \in Owner : CommitUnanswered(o)
    \/ Rest
    \/ OutOfClaims

Spec == Init /\ [][Next]_vars
(* With whatever can be done being done, and not every transaction failing, *)
(* neither of new messages nor of those that were set aside.                *)
Fair ==
    /\ Spec /\ WF_vars(Next)
    /\ \A o \in Owner : SF_vars(Commit(o) /\ owner[o].tx.size > 0) /\ SF_vars(Commit(o) /\ owner[o].tx.size = 0)

-----------------------------------------------------------------------------
(* What is promised *)

Times(id) == Cardinality({i \in 1 .. Len(effects) : effects[i] = id})

(* An id is recorded if, and only if, its effects are there, and once.      *)
EffectsExactlyOnce == \A id \in Ids : Times(id) = IF id \in ids THEN 1 ELSE 0

(* What the offset has passed is handled or set aside.                      *)
OffsetNeverPastWork == \A at \in 1 .. offset - 1 : Id(at) \in ids \/ at \in Stored

(* The effects of a key are in the order in which its messages first came,  *)
(* with none left out.                                                      *)
KeyOrderOfEffects == \A id \in Range(effects) : \A before \in 1 .. FirstOf(id) - 1 :
    Key(before) = Key(FirstOf(id)) /\ FirstOf(Id(before)) = before =>
        \E i, j \in 1 .. Len(effects) : i < j /\ effects[i] = Id(before) /\ effects[j] = id

(* In the end everything has its effects, and nothing is set aside.         *)
EverythingSettles == <>Settled

-----------------------------------------------------------------------------
(* The world that TLC explores. *)
Repeated == << [id |-> 1, key |-> "a"], [id |-> 1, key |-> "a"], [id |-> 2, key |-> "b"], [id |-> 3, key |-> "a"] >>
=============================================================================
