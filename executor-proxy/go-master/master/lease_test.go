package master_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

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
	f.gate <- struct{}{}
	// The earlier stream is told of its commit, then that it has ended.
	if a := first.Acknowledgement(); a.GetIndex() != 1 {
		t.Fatalf("%v, want commit 1", a)
	}
	testkit.WantError(t, first.Error(), codes.Aborted, master.ReasonFenced)
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
