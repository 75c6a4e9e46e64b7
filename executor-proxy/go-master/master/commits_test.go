package master_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

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
