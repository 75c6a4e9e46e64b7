package master_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

func TestCommitsAreExecutedInOrderAndThePositionFollows(t *testing.T) {
	l, client := start(t, newFake())
	stream, incarnation := client.Open(0)
	if incarnation != 1 {
		t.Fatalf("the first incarnation is %d", incarnation)
	}
	for index := uint64(1); index <= 10; index++ {
		a := stream.Execute(testkit.Commit(index))
		digest := testkit.Digest(index)
		if !bytes.Equal(a.GetDigest(), digest[:]) || len(a.GetStateRoot()) != 32 || a.GetDuplicate() || a.GetResultsUnknown() {
			t.Fatalf("commit %d: %v", index, a)
		}
		p := client.Position()
		if p.GetBlockNumber() != index || !bytes.Equal(p.GetStateRoot(), a.GetStateRoot()) ||
			!bytes.Equal(p.GetCommitDigest(), digest[:]) || !bytes.Equal(p.GetChainId(), testkit.Chain[:]) {
			t.Fatalf("after commit %d: %v", index, p)
		}
	}
	l.stop()
}

func TestD05NothingIsAcknowledgedBeforeTheSync(t *testing.T) {
	f := newFake()
	f.entered, f.gate = make(chan struct{}), make(chan struct{})
	l, client := start(t, f)
	stream, _ := client.Open(0)
	for index := uint64(1); index <= 3; index++ {
		stream.Commit(testkit.Commit(index))
		<-f.entered
		if got := client.Position().GetBlockNumber(); got != index-1 {
			t.Fatalf("the position is %d while commit %d is synced", got, index)
		}
		f.gate <- struct{}{}
		if a := stream.Acknowledgement(); a.GetIndex() != index || !f.isDurable(index) {
			t.Fatalf("%v came before commit %d was durable", a, index)
		}
	}
	l.stop()
}

func TestD05OneSyncServesAllThatCameMeanwhile(t *testing.T) {
	f := newFake()
	f.entered, f.gate = make(chan struct{}), make(chan struct{})
	l, client := start(t, f)
	stream, _ := client.Open(0)
	stream.Commit(testkit.Commit(1))
	<-f.entered
	for index := uint64(2); index <= 4; index++ {
		stream.Commit(testkit.Commit(index))
	}
	// The fifth is over the window: when it waits, all before it were taken.
	stream.Commit(testkit.Commit(5))
	f.gate <- struct{}{}
	go func() {
		for range f.entered {
			f.gate <- struct{}{}
		}
	}()
	for index := uint64(1); index <= 5; index++ {
		if a := stream.Acknowledgement(); a.GetIndex() != index {
			t.Fatalf("%v, want commit %d", a, index)
		}
	}
	l.stop()
	close(f.entered)
	if f.synced > 5 {
		t.Errorf("%d syncs for 5 commits", f.synced)
	}
}

func TestD07AnotherCommitAtAnExecutedIndexEndsTheStreamAsAFork(t *testing.T) {
	l, client := start(t, newFake())
	stream, incarnation := client.Open(0)
	for index := uint64(1); index <= 3; index++ {
		stream.Execute(testkit.Commit(index))
	}
	theirs := testkit.Commit(2)
	theirs.Digest = testkit.Other[:]
	stream.Commit(theirs)
	testkit.WantError(t, stream.Error(), codes.FailedPrecondition, master.ReasonFork, "index", "2",
		"ours", fmt.Sprintf("%x", testkit.Digest(2)), "theirs", fmt.Sprintf("%x", testkit.Other))
	// Nothing was overwritten, and the honest chain goes on.
	stream, _ = client.Open(incarnation)
	if !stream.Execute(testkit.Commit(2)).GetDuplicate() || stream.Execute(testkit.Commit(4)).GetDuplicate() {
		t.Fatal("the honest chain is another one now")
	}
	theirs = testkit.Commit(5)
	theirs.PreviousDigest = testkit.Other[:]
	stream.Commit(theirs)
	testkit.WantError(t, stream.Error(), codes.FailedPrecondition, master.ReasonFork, "index", "4")
	l.stop()
}

func TestD08GapIsNamedAndResendingFromThereWorks(t *testing.T) {
	l, client := start(t, newFake())
	stream, incarnation := client.Open(0)
	for index := uint64(1); index <= 7; index++ {
		stream.Execute(testkit.Commit(index))
	}
	stream.Commit(testkit.Commit(9))
	testkit.WantError(t, stream.Error(), codes.FailedPrecondition, master.ReasonGap, "expected_index", "8", "index", "9")
	if got := client.Position().GetBlockNumber(); got != 7 {
		t.Fatalf("the position is %d", got)
	}
	stream, _ = client.Open(incarnation)
	stream.Execute(testkit.Commit(8))
	stream.Execute(testkit.Commit(9))
	l.stop()
}

func TestD09ADuplicateIsAcknowledgedAsTheFirstAndNotExecuted(t *testing.T) {
	f := newFake()
	f.reject = map[uint64][]master.Rejected{1: {{Position: 3, Code: 7, Reason: strings.Repeat("r", 300)}}}
	l, client := start(t, f)
	stream, _ := client.Open(0)
	first := stream.Execute(testkit.Commit(1))
	if r := first.GetRejected(); len(r) != 1 || r[0].GetIndex() != 1 || r[0].GetPosition() != 3 || r[0].GetCode() != 7 ||
		len(r[0].GetReason()) != 256 {
		t.Fatalf("%v", first)
	}
	root := stream.Execute(testkit.Commit(2)).GetStateRoot()
	again := stream.Execute(testkit.Commit(1))
	if !again.GetDuplicate() {
		t.Fatalf("%v is no duplicate", again)
	}
	again.Duplicate = false
	if !proto.Equal(again, first) {
		t.Fatalf("the second answer is %v, the first was %v", again, first)
	}
	if !bytes.Equal(client.Position().GetStateRoot(), root) {
		t.Fatal("the state moved")
	}
	l.stop()
}

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

func TestD11ANewStreamEndsTheEarlierOneAndWhatThatSentIsExecutedFirst(t *testing.T) {
	f := newFake()
	l, client := start(t, f)
	first, incarnation := client.Open(0)
	for index := uint64(1); index <= 4; index++ {
		first.Commit(testkit.Commit(index))
	}
	second, opened, err := client.TryOpen(testkit.Opening(incarnation, 0))
	if err != nil || opened.GetIncarnation() != incarnation {
		t.Fatalf("%v and %v", opened, err)
	}
	if !f.isDurable(opened.GetBlockNumber()) {
		t.Fatalf("the answer names %d, which is not durable", opened.GetBlockNumber())
	}
	for {
		a, err := first.TryAcknowledgement()
		if a != nil {
			continue
		}
		testkit.WantError(t, err, codes.Aborted, master.ReasonFenced, "incarnation", "1")
		break
	}
	// However many got through: the number in the answer is where resent ones stop being duplicates.
	for index := uint64(1); index <= 4; index++ {
		if got := second.Execute(testkit.Commit(index)).GetDuplicate(); got != (index <= opened.GetBlockNumber()) {
			t.Errorf("commit %d: duplicate is %v, %d were executed", index, got, opened.GetBlockNumber())
		}
	}
	l.stop()
}

func TestD11AnOpeningIsAnsweredWhenWhatTheEarlierStreamSentIsDurable(t *testing.T) {
	f := newFake()
	f.entered, f.gate = make(chan struct{}), make(chan struct{})
	l, client := start(t, f)
	first, incarnation := client.Open(0)
	first.Commit(testkit.Commit(1))
	<-f.entered
	second := client.Raw()
	second.Send(&executorv1.ExecuteCommitsRequest{
		Message: &executorv1.ExecuteCommitsRequest_Opening{Opening: testkit.Opening(incarnation, 0)},
	})
	// The earlier stream has ended, and its commit is still being synced.
	testkit.WantError(t, first.Error(), codes.Aborted, master.ReasonFenced)
	f.gate <- struct{}{}
	if opened := second.Opened(); opened.GetBlockNumber() != 1 {
		t.Fatalf("the answer names %d, commit 1 was in flight", opened.GetBlockNumber())
	}
	if !second.Execute(testkit.Commit(1)).GetDuplicate() {
		t.Fatal("commit 1 was executed twice")
	}
	l.stop()
}

func TestD12ANewerProcessFencesTheOlderOneForGood(t *testing.T) {
	f := newFake()
	l, client := start(t, f)
	old, one := client.Open(0)
	newer, two := client.Open(0)
	if one != 1 || two != 2 {
		t.Fatalf("the incarnations are %d and %d", one, two)
	}
	testkit.WantError(t, old.Error(), codes.Aborted, master.ReasonFenced, "incarnation", "2")
	_, _, err := client.TryOpen(testkit.Opening(one, 0))
	testkit.WantError(t, err, codes.Aborted, master.ReasonFenced, "incarnation", "2")
	newer.Execute(testkit.Commit(1))
	l.stop()

	// The number survives the process.
	l, client = start(t, f)
	_, _, err = client.TryOpen(testkit.Opening(1, 1))
	testkit.WantError(t, err, codes.Aborted, master.ReasonFenced, "incarnation", "2")
	if _, kept := client.Open(2); kept != 2 {
		t.Errorf("the process goes on as %d", kept)
	}
	if _, next := client.Open(0); next != 3 {
		t.Errorf("the next process is %d", next)
	}
	l.stop()
}

func TestD12AnIncarnationIsDurableBeforeTheAnswer(t *testing.T) {
	f := newFake()
	l, client := start(t, f)
	_, incarnation := client.Open(0)
	last, _ := f.Last(context.Background())
	if last.State.Lease.Incarnation != incarnation || *last.State.Lease.Authority != testkit.Authority {
		t.Fatalf("answered is %d, recorded %+v", incarnation, last.State.Lease)
	}
	l.stop()
}

func TestAnotherChainAndAnotherAuthorityAreRefused(t *testing.T) {
	l, client := start(t, newFake())
	client.Open(0)
	opening := testkit.Opening(0, 0)
	opening.ChainId = testkit.Other[:]
	_, _, err := client.TryOpen(opening)
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonWrongChain)
	opening = testkit.Opening(0, 0)
	opening.Lease.Authority = testkit.Other[:]
	_, _, err = client.TryOpen(opening)
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonWrongAuthority)
	if _, incarnation := client.Open(0); incarnation != 2 {
		t.Errorf("a refused opening took a number: the next is %d", incarnation)
	}
	l.stop()
}

func TestAConfiguredAuthorityIsTheOnlyOne(t *testing.T) {
	s := settings()
	authority := master.Authority(testkit.Other)
	s.Authority = &authority
	f := newFake()
	load := func(context.Context) (master.Executor, error) { return f, nil }
	l := startWith(t, s, load)
	client := l.client()
	client.WaitUntilReady()
	_, _, err := client.TryOpen(testkit.Opening(0, 0))
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonWrongAuthority)
	l.stop()
	recorded := master.Authority(testkit.Authority)
	f.durable.State.Lease.Authority = &recorded
	if err := startWith(t, s, load).wait(); err == nil || !strings.Contains(err.Error(), "belongs to authority") {
		t.Fatalf("the state of another authority was taken: %v", err)
	}
}

func TestD16ACommitWhoseAcknowledgementWasLostIsAnsweredAsTheFirstTime(t *testing.T) {
	l, client := start(t, newFake())
	stream, incarnation := client.Open(0)
	first := stream.Execute(testkit.Commit(1))
	stream.Cancel()
	stream, _, err := client.TryOpen(testkit.Opening(incarnation, 0))
	if err != nil {
		t.Fatal(err)
	}
	again := stream.Execute(testkit.Commit(1))
	if !again.GetDuplicate() || !bytes.Equal(again.GetStateRoot(), first.GetStateRoot()) {
		t.Fatalf("%v, first %v", again, first)
	}
	l.stop()
}

func TestD17TheWindowHoldsManyCommitsAndAllAreAcknowledged(t *testing.T) {
	f := newFake()
	l, client := start(t, f)
	stream, _ := client.Open(0)
	go func() {
		for index := uint64(1); index <= 200; index++ {
			stream.Commit(testkit.Commit(index))
		}
	}()
	for index := uint64(1); index <= 200; index++ {
		if a := stream.Acknowledgement(); a.GetIndex() != index {
			t.Fatalf("%v, want commit %d", a, index)
		}
	}
	l.stop()
	if f.mostAhead > window.Commits {
		t.Errorf("%d commits were executed and not durable, the window is %d", f.mostAhead, window.Commits)
	}
}

func TestD17AClientThatDoesNotReadStopsItselfAndNobodyElse(t *testing.T) {
	l, client := start(t, newFake())
	deaf, incarnation := client.Open(0)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for index := uint64(1); index <= 20_000; index++ {
			deaf.Commit(testkit.CommitWith(index))
		}
	}()
	// Another sender takes over at any time; the deaf one is then told, and its writer comes free.
	stream, _ := client.Open(incarnation)
	next := client.Position().GetBlockNumber() + 1
	stream.Execute(testkit.CommitWith(next))
	<-sent
	l.stop()
}

func TestX02NothingIsAnsweredBeforeTheStateIsLoaded(t *testing.T) {
	loaded := make(chan struct{})
	f := newFake()
	f.durable.Position = master.Position{Index: 5, Digest: testkit.Digest(5)}
	l := startWith(t, settings(), func(ctx context.Context) (master.Executor, error) {
		select {
		case <-loaded:
			return f, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	client := l.client()
	if p := client.Position(); p.GetReady() || p.GetBlockNumber() != 0 {
		t.Fatalf("%v", p)
	}
	ctx := client.Context()
	check, err := client.Health.Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil || check.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("%v and %v", check, err)
	}
	_, _, err = client.TryOpen(testkit.Opening(0, 0))
	testkit.WantError(t, err, codes.Unavailable, master.ReasonNotReady)
	if !testkit.HasRetry(err) {
		t.Errorf("%v does not say when to try again", err)
	}
	_, err = client.Master.GetCommittee(ctx, &executorv1.GetCommitteeRequest{})
	testkit.WantError(t, err, codes.Unavailable, master.ReasonNotReady)
	_, err = client.Master.AdvanceEpoch(ctx, &executorv1.AdvanceEpochRequest{})
	testkit.WantError(t, err, codes.Unavailable, master.ReasonNotReady)
	close(loaded)
	client.WaitUntilReady()
	if p := client.Position(); !p.GetReady() || p.GetBlockNumber() != 5 {
		t.Fatalf("%v", p)
	}
	l.stop()
}

func TestX06AnOpeningAfterAnotherCommitIsAFork(t *testing.T) {
	l, client := start(t, newFake())
	stream, incarnation := client.Open(0)
	stream.Execute(testkit.Commit(1))
	opening := testkit.Opening(incarnation, 1)
	opening.AfterDigest = testkit.Other[:]
	_, _, err := client.TryOpen(opening)
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonFork, "index", "1")
	_, _, err = client.TryOpen(testkit.Opening(incarnation, 2))
	testkit.WantError(t, err, codes.FailedPrecondition, master.ReasonGap, "expected_index", "2")
	stream.Execute(testkit.Commit(2))
	l.stop()
}

func TestX08AnExecutorThatHangsEndsTheService(t *testing.T) {
	f := newFake()
	f.entered, f.gate = make(chan struct{}, 1), make(chan struct{})
	defer close(f.gate)
	s := settings()
	s.ExecuteTimeout = time.Second
	l := startWith(t, s, func(context.Context) (master.Executor, error) { return f, nil })
	client := l.client()
	client.WaitUntilReady()
	stream, _ := client.Open(0)
	stream.Commit(testkit.Commit(1))
	testkit.WantError(t, stream.Error(), codes.Internal, master.ReasonStorageFailed)
	if err := l.wait(); !errors.Is(err, master.ErrLate) {
		t.Fatalf("the master ended with %v", err)
	}
}

func TestX10AnExecutorThatRefusesACommitStopsThereForGood(t *testing.T) {
	f := newFake()
	refusal := errors.New("no")
	f.refuse = map[uint64]error{3: refusal}
	l, client := start(t, f)
	stream, _ := client.Open(0)
	for index := uint64(1); index <= 2; index++ {
		stream.Execute(testkit.Commit(index))
	}
	stream.Commit(testkit.Commit(3))
	stream.Commit(testkit.Commit(4))
	testkit.WantError(t, stream.Error(), codes.Internal, master.ReasonStorageFailed)
	if err := l.wait(); !errors.Is(err, refusal) {
		t.Fatalf("the master ended with %v", err)
	}
	if f.isDurable(3) || !f.isDurable(2) {
		t.Fatalf("it stands at %v", f.durable.Position)
	}
}

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

func TestT06OneStreamMoreThanThereMayBeIsRefused(t *testing.T) {
	l, client := start(t, newFake())
	refused := make(chan error, 17)
	var streams []*testkit.Stream
	for range 17 {
		stream := client.Raw()
		streams = append(streams, stream)
		go func() { refused <- stream.Error() }()
	}
	// Sixteen wait for their opening; which one is the seventeenth is not ordered.
	testkit.WantError(t, <-refused, codes.ResourceExhausted, master.ReasonTooManyCalls, "limit", "16")
	for _, stream := range streams {
		stream.Cancel()
	}
	for range 16 {
		<-refused
	}
	l.stop()
}

func TestAClientThatSendsNoMoreGetsAllAcknowledgementsAndAnOrderlyEnd(t *testing.T) {
	l, client := start(t, newFake())
	stream, _ := client.Open(0)
	for index := uint64(1); index <= 3; index++ {
		stream.Commit(testkit.Commit(index))
	}
	stream.CloseSend()
	for index := uint64(1); index <= 3; index++ {
		if a := stream.Acknowledgement(); a.GetIndex() != index {
			t.Fatalf("%v, want commit %d", a, index)
		}
	}
	if a, err := stream.TryAcknowledgement(); a != nil || err != nil {
		t.Fatalf("the end is %v and %v", a, err)
	}
	l.stop()
}

func TestShutdownTellsTheStreamThatTheMasterDrains(t *testing.T) {
	l, client := start(t, newFake())
	stream, _ := client.Open(0)
	stream.Execute(testkit.Commit(1))
	l.cancel()
	err := stream.Error()
	testkit.WantError(t, err, codes.Unavailable, master.ReasonDraining)
	if !testkit.HasRetry(err) {
		t.Errorf("%v does not say when to try again", err)
	}
	if err := l.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsAreCheckedAllAtOnce(t *testing.T) {
	_, err := master.New(master.Settings{
		Limits:         master.Limits{CommitTransactions: 1_000_001, CommitBytes: 1},
		Window:         master.Window{Commits: 5000, Bytes: 1 << 20},
		ExecuteTimeout: time.Millisecond,
	})
	for _, problem := range []string{"transactions a commit", "window: 5000", "execute timeout: 1ms"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q is not in %v", problem, err)
		}
	}
}

func TestCallsOverAllConnectionsAreBounded(t *testing.T) {
	l, client := start(t, newFake())
	ctx, cancel := context.WithCancel(client.Context())
	defer cancel()
	var err error
	for range 100 {
		var watch healthv1.Health_WatchClient
		if watch, err = client.Health.Watch(ctx, &healthv1.HealthCheckRequest{}); err == nil {
			_, err = watch.Recv()
		}
		if err != nil {
			break
		}
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("100 calls went through: %v", err)
	}
	cancel()
	// What was cancelled makes room again.
	for client.Context().Err() == nil {
		if _, err := client.Master.GetLastBlockNumber(client.Context(), &executorv1.GetLastBlockNumberRequest{}); err == nil {
			break
		}
	}
	l.stop()
}
