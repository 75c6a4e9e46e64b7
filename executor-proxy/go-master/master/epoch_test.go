package master_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestAnEpochAdvancesAtItsBoundaryAndStaysSo(t *testing.T) {
	f := newFake()
	l, client := start(t, f)
	stream, _ := client.Open(0)
	stream.Execute(testkit.Commit(1))
	advance := func(epoch, boundary uint64) (uint64, error) {
		digest := testkit.Digest(boundary)
		response, err := client.Master.AdvanceEpoch(client.Context(), &executorv1.AdvanceEpochRequest{
			NewEpoch: epoch, BoundaryIndex: boundary, BoundaryDigest: digest[:],
			CommitteeDigest: testkit.Other[:], TimestampMs: 7,
		})
		return response.GetEpoch(), err
	}
	_, err := advance(1, 2)
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonGap, "expected_index", "2")
	_, err = advance(2, 1)
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonWrongEpoch, "ours", "0", "theirs", "2")
	for _, epoch := range []uint64{0, 1, 1} {
		if got, err := advance(epoch, 1); err != nil || got != epoch {
			t.Fatalf("epoch %d: %d and %v", epoch, got, err)
		}
	}
	_, err = advance(0, 1)
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonWrongEpoch, "ours", "1", "theirs", "0")
	stream.Commit(testkit.Commit(2))
	testkit.WantError(t, stream.Error(), codes.FailedPrecondition, master.ReasonWrongEpoch, "ours", "1", "theirs", "0")
	_, err = client.Master.AdvanceEpoch(client.Context(), &executorv1.AdvanceEpochRequest{})
	testkit.WantError(t, err, codes.InvalidArgument, master.ReasonInvalidField, "field", "boundary_digest")
	l.stop()

	l, client = start(t, f)
	if got := client.Position().GetEpoch(); got != 1 {
		t.Fatalf("after a restart the epoch is %d", got)
	}
	stream, _ = client.Open(0)
	next := testkit.Commit(2)
	next.Epoch = 1
	stream.Execute(next)
	l.stop()
}

func TestTheCommitteeOfAnUnknownEpochIsNotFound(t *testing.T) {
	l, client := start(t, newFake())
	response, err := client.Master.GetCommittee(client.Context(), &executorv1.GetCommitteeRequest{})
	if err != nil || len(response.GetMembers()) != 1 || response.GetMembers()[0].GetStake() != 3 {
		t.Fatalf("%v and %v", response, err)
	}
	_, err = client.Master.GetCommittee(client.Context(), &executorv1.GetCommitteeRequest{Epoch: 1})
	testkit.WantError(t, err, codes.NotFound, master.ReasonUnknownEpoch, "epoch", "1")
	l.stop()
}
