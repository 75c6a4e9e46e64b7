package master_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestD10AMalformedCommitStopsAtItsIndexAndIsNeverPassed(t *testing.T) {
	l, client := start(t, newFake())
	stream, incarnation := client.Open(0)
	stream.Execute(testkit.Commit(1))
	malformed := testkit.Commit(2)
	malformed.Digest = malformed.Digest[1:]
	stream.Commit(malformed)
	stream.Commit(testkit.Commit(3))
	testkit.WantError(t, stream.Error(), codes.InvalidArgument, master.ReasonMalformedCommit, "index", "2")
	if got := client.Position().GetBlockNumber(); got != 1 {
		t.Fatalf("the position is %d", got)
	}
	stream, _ = client.Open(incarnation)
	stream.Execute(testkit.Commit(2))
	l.stop()
}

func TestD15ACommitOverTheLimitsIsRefusedAtItsIndex(t *testing.T) {
	l, client := start(t, newFake())
	for name, transactions := range map[string][][]byte{
		"a transaction": {make([]byte, 8193)},
		"transactions":  make([][]byte, 101),
		"bytes":         slices.Repeat([][]byte{make([]byte, 8192)}, 8),
		// 64 KiB and 1 MiB on top is the most that is decoded; the index cannot be told.
		"a message": {make([]byte, 64<<10+1<<20)},
	} {
		stream, _ := client.Open(0)
		stream.Commit(testkit.CommitWith(1, transactions...))
		err := stream.Error()
		testkit.WantError(t, err, codes.InvalidArgument, master.ReasonMalformedCommit, "index", "1")
		if name != "a message" && !strings.Contains(err.Error(), "at most") {
			t.Errorf("%s: %v names no limit", name, err)
		}
	}
	stream, _ := client.Open(0)
	stream.Execute(testkit.CommitWith(1, make([][]byte, 100)...))
	l.stop()
}

func TestAStreamInTheWrongOrderIsRefused(t *testing.T) {
	l, client := start(t, newFake())
	malformed := func(err error) {
		t.Helper()
		testkit.WantError(t, err, codes.InvalidArgument, master.ReasonMalformedStream)
	}
	opening := func(o *executorv1.StreamOpening) *executorv1.ExecuteCommitsRequest {
		return &executorv1.ExecuteCommitsRequest{Message: &executorv1.ExecuteCommitsRequest_Opening{Opening: o}}
	}
	stream := client.Raw()
	stream.Commit(testkit.Commit(1))
	malformed(stream.Error())
	stream = client.Raw()
	stream.Send(&executorv1.ExecuteCommitsRequest{})
	malformed(stream.Error())
	stream = client.Raw()
	stream.CloseSend()
	malformed(stream.Error())
	stream = client.Raw()
	withoutLease := testkit.Opening(0, 0)
	withoutLease.Lease = nil
	stream.Send(opening(withoutLease))
	malformed(stream.Error())
	stream, _ = client.Open(0)
	stream.Send(opening(testkit.Opening(1, 0)))
	malformed(stream.Error())
	stream, _ = client.Open(0)
	stream.Send(&executorv1.ExecuteCommitsRequest{})
	malformed(stream.Error())
	stream, _ = client.Open(0)
	stream.Execute(testkit.Commit(1))
	l.stop()
}
