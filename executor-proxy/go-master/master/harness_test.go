package master_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/master"
)

// fake is an executor in memory. What Sync has not seen is lost with it.
type fake struct {
	mu       sync.Mutex
	durable  master.Last
	executed []master.Result
	results  map[uint64]master.Result
	synced   int

	// entered gets a value when Sync begins, gate must give one before it goes on; nil: it goes on.
	entered, gate chan struct{}
	// refuse is what Execute returns for a commit.
	refuse map[uint64]error
	// reject are the transactions that Execute reports as rejected, by commit.
	reject map[uint64][]master.Rejected
	// mostAhead is the most commits executed and not yet synced, at any time.
	mostAhead int
}

func newFake() *fake { return &fake{results: make(map[uint64]master.Result)} }

func (f *fake) Last(context.Context) (master.Last, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable, nil
}

func (f *fake) Execute(_ context.Context, commit master.Commit) (master.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuse[commit.Index]; err != nil {
		return master.Result{}, err
	}
	last := f.durable.Position
	if len(f.executed) > 0 {
		last = f.executed[len(f.executed)-1].Position
	}
	if commit.Index != last.Index+1 || commit.PreviousDigest != last.Digest ||
		commit.Incarnation != f.durable.State.Lease.Incarnation {
		return master.Result{}, errors.New("compare-and-set failed")
	}
	root := master.Digest{byte(commit.Index), 1}
	result := master.Result{Position: commit.Position(), StateRoot: &root, Rejected: f.reject[commit.Index]}
	f.executed = append(f.executed, result)
	f.mostAhead = max(f.mostAhead, len(f.executed))
	return result, nil
}

func (f *fake) Sync(context.Context) error {
	if f.gate != nil {
		f.entered <- struct{}{}
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced++
	for _, result := range f.executed {
		f.results[result.Position.Index] = result
		f.durable.Position, f.durable.StateRoot = result.Position, result.StateRoot
	}
	f.executed = nil
	return nil
}

func (f *fake) Executed(_ context.Context, index uint64) (master.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	result, ok := f.results[index]
	if !ok {
		return master.Result{}, master.ErrNotKept
	}
	return result, nil
}

func (f *fake) Record(_ context.Context, state master.State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.durable.State = state
	return nil
}

func (f *fake) Committee(_ context.Context, epoch uint64) ([]master.Member, error) {
	if epoch > 0 {
		return nil, master.ErrUnknownEpoch
	}
	return []master.Member{{Stake: 3, ProtocolKey: testkit.Authority, Address: "host:1"}}, nil
}

// accept refuses nothing any more.
func (f *fake) accept() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = nil
}

// isDurable tells what Sync has seen.
func (f *fake) isDurable(index uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable.Position.Index >= index
}

// life is one life of a master.
type life struct {
	t      *testing.T
	target string
	cancel context.CancelFunc
	ended  chan error
}

var window = master.Window{Commits: 4, Bytes: 1 << 20}

func settings() master.Settings {
	return master.Settings{
		Chain:  testkit.Chain,
		Limits: master.Limits{CommitTransactions: 100, CommitBytes: 64 << 10, TransactionBytes: 8 << 10},
		Window: window,
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// start serves an executor over TCP, and waits until it is loaded.
func start(t *testing.T, executor master.Executor) (*life, *testkit.Client) {
	t.Helper()
	l := startWith(t, settings(), func(context.Context) (master.Executor, error) { return executor, nil })
	client := l.client()
	client.WaitUntilReady()
	return l, client
}

func startWith(t *testing.T, s master.Settings, load func(context.Context) (master.Executor, error)) *life {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := master.New(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{t: t, target: listener.Addr().String(), cancel: cancel, ended: make(chan error, 1)}
	served := make(chan error, 1)
	go func() { served <- m.Serve(listener) }()
	go func() {
		err := m.Run(ctx, load)
		l.ended <- errors.Join(err, <-served)
	}()
	t.Cleanup(cancel)
	return l
}

func (l *life) client() *testkit.Client { return testkit.Dial(l.t, l.target) }

// stop ends it in order.
func (l *life) stop() {
	l.t.Helper()
	l.cancel()
	if err := l.wait(); err != nil {
		l.t.Fatal(err)
	}
}

// wait waits until it has ended by itself.
func (l *life) wait() error {
	l.t.Helper()
	select {
	case err := <-l.ended:
		return err
	case <-time.After(testkit.Deadline):
		l.t.Fatal("the master did not end")
		return nil
	}
}
