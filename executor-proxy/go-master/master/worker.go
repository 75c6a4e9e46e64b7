package master

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// groupTime is how long commits are executed one after the other before they are synced. Under load a sync serves all that
// came meanwhile; a single commit is synced at once.
const groupTime = 50 * time.Millisecond

// outcome is what the worker tells of a group of commits: all of them durable, or the error that ends everything.
type outcome struct {
	results []Result
	// refused is set where the executor refused the commit after the last of results. The worker then waits for resume.
	refused *RefusedError
	err     error
}

// worker calls Execute and Sync, and is the only one that does.
type worker struct {
	executor Executor
	timeout  time.Duration
	// jobs has room for the whole window: the driver never waits.
	jobs chan Commit
	done chan outcome
	// resume lets the worker go on after a refusal, when the jobs behind the refused commit have been taken out.
	resume chan struct{}
	// quit is closed when nobody listens to done any more.
	quit chan struct{}
}

func newWorker(executor Executor, window Window, timeout time.Duration) *worker {
	return &worker{
		executor: executor,
		timeout:  timeout,
		jobs:     make(chan Commit, window.Commits),
		done:     make(chan outcome),
		resume:   make(chan struct{}),
		quit:     make(chan struct{}),
	}
}

// run works until jobs is closed, or the first error.
func (w *worker) run() {
	for first := range w.jobs {
		o := w.group(first)
		select {
		case w.done <- o:
		case <-w.quit:
			return
		}
		if o.err != nil {
			return
		}
		if o.refused == nil {
			continue
		}
		select {
		case <-w.resume:
		case <-w.quit:
			return
		}
	}
}

// group executes the commit and those that wait behind it, then syncs once.
func (w *worker) group(commit Commit) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), w.timeout)
	defer cancel()
	until := time.Now().Add(groupTime)
	var results []Result
	var refused *RefusedError
	for {
		result, err := w.executor.Execute(ctx, commit)
		if errors.As(err, &refused) {
			refused = &RefusedError{Index: commit.Index, Reason: refused.Reason}
			if len(results) == 0 {
				return outcome{refused: refused}
			}
			break
		}
		if err != nil {
			return outcome{err: fmt.Errorf("execute commit %d: %w", commit.Index, err)}
		}
		if result.Position != commit.Position() {
			return outcome{err: fmt.Errorf("the executor answered commit %d with the result of commit %d, which is a bug of the executor",
				commit.Index, result.Position.Index)}
		}
		results = append(results, result)
		if time.Now().After(until) {
			break
		}
		var more bool
		if commit, more = w.next(); !more {
			break
		}
	}
	if err := w.executor.Sync(ctx); err != nil {
		return outcome{err: fmt.Errorf("sync up to commit %d: %w", results[len(results)-1].Position.Index, err)}
	}
	return outcome{results: results, refused: refused}
}

// discard takes out the jobs behind a refused commit, and lets the worker, which waits, go on.
func (w *worker) discard() {
	for {
		if _, more := w.next(); !more {
			w.resume <- struct{}{}
			return
		}
	}
}

// next takes a commit that waits; false if there is none.
func (w *worker) next() (Commit, bool) {
	select {
	case commit, open := <-w.jobs:
		return commit, open
	default:
		return Commit{}, false
	}
}
