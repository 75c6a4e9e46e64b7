package master

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"

	"metanode.dev/go-master/internal/testkit"
)

// slow is an executor whose syncs wait for its gate. It notes what reads are answered with whenever a state is recorded.
type slow struct {
	Executor
	master *Master
	gate   chan struct{}
	// executed are the commits that Execute was given; it refuses the one of index refuses.
	executed []uint64
	refuses  uint64
	recorded []State
	standing []Standing
}

func (s *slow) Execute(_ context.Context, commit Commit) (Result, error) {
	s.executed = append(s.executed, commit.Index)
	if commit.Index == s.refuses {
		return Result{}, &RefusedError{Reason: "no"}
	}
	return Result{Position: commit.Position()}, nil
}

func (s *slow) Sync(context.Context) error {
	<-s.gate
	return nil
}

func (s *slow) Record(_ context.Context, state State) error {
	s.recorded, s.standing = append(s.recorded, state), append(s.standing, s.master.Standing())
	return nil
}

// startDriver makes a driver with a window of so many commits that is called by hand, and opens a stream of incarnation 1.
func startDriver(t *testing.T, commits int) (*driver, *slow, *stream) {
	t.Helper()
	m, err := New(Settings{
		Chain: testkit.Chain, Window: Window{Commits: commits, Bytes: 1 << 20}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.standing.Store(&Standing{Ready: true})
	executor := &slow{master: m, gate: make(chan struct{})}
	d := newDriver(m, executor, Last{})
	go d.worker.run()
	t.Cleanup(func() {
		close(d.worker.quit)
		close(d.worker.jobs)
	})
	first := newStream(context.Background(), m.settings.Window)
	if err := d.open(newcomer(), first); err != nil || d.stream != first {
		t.Fatalf("the first opening gave %v", err)
	}
	return d, executor, first
}

// newcomer is the opening of a new process.
func newcomer() *opening { return &opening{chain: testkit.Chain, authority: testkit.Authority} }

// sent gives a commit of the honest chain to the open stream.
func sent(t *testing.T, d *driver, index uint64) {
	t.Helper()
	d.stream.room <- struct{}{}
	commit := &Commit{Index: index, PreviousDigest: testkit.Digest(index - 1), Digest: testkit.Digest(index)}
	if err := d.inbound(inbound{commit: commit}, true); err != nil {
		t.Fatal(err)
	}
}

func TestD12NoReadShowsALeaseThatIsNotDurable(t *testing.T) {
	d, executor, _ := startDriver(t, 1)
	sent(t, d, 1)
	close(executor.gate)
	second := newStream(context.Background(), d.master.settings.Window)
	if err := d.open(newcomer(), second); err != nil || d.stream != second {
		t.Fatalf("the second opening gave %v", err)
	}
	// Commit 1 became durable while the opening waited, and incarnation 2 after that.
	seen := executor.standing[1].Last
	if seen.Position.Index != 1 || seen.State.Lease.Incarnation != 1 {
		t.Fatalf("before incarnation 2 is durable, reads show commit %d and incarnation %d",
			seen.Position.Index, seen.State.Lease.Incarnation)
	}
	if now := d.master.Standing().Last.State.Lease.Incarnation; now != 2 {
		t.Fatalf("after it, reads show incarnation %d", now)
	}
}

// leaving is the context of a client that leaves when its opening has been looked at once.
type leaving struct {
	context.Context
	looked bool
	// left is called when it leaves.
	left func()
}

func (l *leaving) Err() error {
	if l.looked {
		return context.Canceled
	}
	l.looked = true
	l.left()
	return nil
}

func TestD12AClientThatLeftWhileTheWindowWasFinishedTakesNoIncarnation(t *testing.T) {
	d, executor, first := startDriver(t, 1)
	sent(t, d, 1)
	sent(t, d, 2)
	if first.parked == nil {
		t.Fatal("commit 2 does not wait for room")
	}
	client := &leaving{Context: context.Background(), left: func() { close(executor.gate) }}
	if err := d.open(newcomer(), newStream(client, d.master.settings.Window)); err != nil {
		t.Fatal(err)
	}
	if len(executor.recorded) != 1 || d.sequencer.state.Lease.Incarnation != 1 {
		t.Fatalf("incarnation %d is in force, recorded are %v", d.sequencer.state.Lease.Incarnation, executor.recorded)
	}
	// Whoever stayed goes on, with the commit that had waited for room too.
	if d.stream != first || first.err != nil || first.parked != nil || len(d.taken) != 1 {
		t.Fatalf("the open stream ended with %v, %d commits are in flight", first.err, len(d.taken))
	}
	if err := d.finishInFlight(); err != nil || d.sequencer.executed().Index != 2 {
		t.Fatalf("commit %d was executed last: %v", d.sequencer.executed().Index, err)
	}
}

func TestD12ARefusedOpeningWaitsForNothingAndLeavesTheOpenStreamAlone(t *testing.T) {
	d, executor, first := startDriver(t, 1)
	defer close(executor.gate)
	sent(t, d, 1)
	stale := newcomer()
	stale.chain = testkit.Other
	refused := newStream(context.Background(), d.master.settings.Window)
	if err := d.open(stale, refused); err != nil {
		t.Fatal(err)
	}
	<-refused.done
	if _, ok := refused.err.(*WrongChainError); !ok || d.stream != first || len(d.taken) != 1 {
		t.Fatalf("the opening was refused with %v, %d commits are in flight", refused.err, len(d.taken))
	}
}

func TestX10WhatIsBehindARefusedCommitIsNotExecuted(t *testing.T) {
	d, executor, first := startDriver(t, 4)
	executor.refuses = 3
	for index := uint64(1); index <= 4; index++ {
		sent(t, d, index)
	}
	close(executor.gate)
	if err := d.finishInFlight(); err != nil {
		t.Fatal(err)
	}
	refusal, ok := first.err.(*RefusedError)
	if !ok || refusal.Index != 3 || d.stream != nil || len(d.taken) != 0 || d.sequencer.accepted().Index != 2 {
		t.Fatalf("the stream ended with %v, commit %d is the last one taken", first.err, d.sequencer.accepted().Index)
	}
	// Whoever opens again sends it again.
	executor.refuses = 0
	again := newcomer()
	again.after = Position{Index: 2, Digest: testkit.Digest(2)}
	if err := d.open(again, newStream(context.Background(), d.master.settings.Window)); err != nil {
		t.Fatal(err)
	}
	sent(t, d, 3)
	if err := d.finishInFlight(); err != nil || d.sequencer.executed().Index != 3 {
		t.Fatalf("commit %d was executed last: %v", d.sequencer.executed().Index, err)
	}
	if want := []uint64{1, 2, 3, 3}; !slices.Equal(executor.executed, want) {
		t.Fatalf("executed were %v, want %v", executor.executed, want)
	}
}
