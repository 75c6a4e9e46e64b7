package master

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"metanode.dev/go-master/internal/testkit"
)

// slow is an executor whose syncs wait for its gate. It notes what reads are answered with whenever a state is recorded.
type slow struct {
	Executor
	master   *Master
	gate     chan struct{}
	recorded []State
	standing []Standing
}

func (s *slow) Execute(_ context.Context, commit Commit) (Result, error) {
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

// startDriver makes a driver with a window of one commit that is called by hand, and opens a stream of incarnation 1.
func startDriver(t *testing.T) (*driver, *slow, *stream) {
	t.Helper()
	m, err := New(Settings{
		Chain: testkit.Chain, Window: Window{Commits: 1, Bytes: 1 << 20}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
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
	d, executor, _ := startDriver(t)
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
