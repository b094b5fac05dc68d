package faults_test

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// undertaker looks after what kfake leaves undone: a member of a group that dies
// while it waits for the answer to its JoinGroup has no session there, and keeps
// its partitions for ever. Kafka gives it up when its session is over.
type undertaker struct {
	run  *run
	seen time.Time // since when there are more members than consumers
}

// look has every member leave, where there has been one too many for longer than
// any session: those who live join again.
func (u *undertaker) look(ctx context.Context) {
	r := u.run
	if r.plan.real {
		return
	}
	groups, err := r.admin.DescribeGroups(ctx, r.name)
	members := groups[r.name].Members
	switch {
	case err != nil || len(members) <= len(r.consumers):
		u.seen = time.Time{}
		return
	case u.seen.IsZero():
		u.seen = time.Now()
	}
	if time.Since(u.seen) < 4*r.plan.session {
		return
	}
	u.seen = time.Time{}
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group = r.name
	for _, m := range members {
		leaver := kmsg.NewLeaveGroupRequestMember()
		leaver.MemberID = m.MemberID
		request.Members = append(request.Members, leaver)
	}
	_, err = request.RequestWith(ctx, r.client)
	r.journal.note("undertaker", "%d members have to join again: %v", len(members), err)
}
