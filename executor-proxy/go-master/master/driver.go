package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// request is what the servers ask of the driver: one of the two is set.
type request struct {
	open  *openRequest
	epoch *epochRequest
}

type openRequest struct {
	opening *opening
	stream  *stream
}

type epochRequest struct {
	next   Epoch
	answer chan<- epochAnswer
}

type epochAnswer struct {
	epoch Epoch
	err   error
}

// driver is the one goroutine that owns the sequencer. It takes, in turn, groups of commits that became durable, requests, and
// commits of the open stream. An error that one of its methods returns is final; refusals go to clients.
type driver struct {
	master    *Master
	log       *slog.Logger
	executor  Executor
	sequencer *sequencer
	worker    *worker
	// stream is the open one; nil if there is none.
	stream *stream
	// taken are the commits in flight, oldest first.
	taken []taken
	// late fires when the oldest commit in flight has waited for too long. A full window on a slow disk does not make it fire:
	// it starts anew with each group that becomes durable.
	late *time.Timer
}

// taken is what is known of a commit in flight.
type taken struct {
	stream      *stream
	timestampMs uint64
}

func newDriver(m *Master, executor Executor, last Last) *driver {
	late := time.NewTimer(m.settings.ExecuteTimeout)
	late.Stop()
	return &driver{
		master:    m,
		log:       m.log,
		executor:  executor,
		sequencer: newSequencer(m.settings.Chain, m.settings.Window, last),
		worker:    newWorker(executor, m.settings.Window, m.settings.ExecuteTimeout),
		late:      late,
	}
}

// run serves until ctx ends, then finishes what was taken.
func (d *driver) run(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.worker.run()
	}()
	err := d.serve(ctx)
	if err == nil {
		err = d.finishInFlight()
	}
	close(d.worker.quit)
	close(d.worker.jobs)
	if err != nil {
		// The worker may hang in the executor; nothing waits for it.
		d.endStream(errFailed)
		return err
	}
	<-stopped
	d.endStream(ErrDraining)
	return nil
}

func (d *driver) serve(ctx context.Context) error {
	for {
		// A nil channel is never ready: nothing is read while a commit waits for room in the window.
		var commits <-chan inbound
		if d.stream != nil && d.stream.parked == nil {
			commits = d.stream.inbound
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case o := <-d.worker.done:
			if err = d.durable(o); err == nil {
				err = d.retryParked()
			}
		case <-d.late.C:
			err = ErrLate
		case r := <-d.master.requests:
			err = d.request(r)
		case message, open := <-commits:
			err = d.inbound(message, open)
		}
		if err != nil {
			return err
		}
	}
}

func (d *driver) request(r request) error {
	if r.open != nil {
		return d.open(r.open.opening, r.open.stream)
	}
	epoch, refusal, err := d.advanceEpoch(r.epoch.next)
	if err != nil {
		return err
	}
	r.epoch.answer <- epochAnswer{epoch: epoch, err: refusal}
	return nil
}

// durable notes a group of commits: the cursor moves, reads see it, then each is acknowledged.
func (d *driver) durable(o outcome) error {
	if o.err != nil {
		return o.err
	}
	d.late.Stop()
	for _, result := range o.results {
		if !d.sequencer.executedOne(result.Position) {
			return fmt.Errorf("commit %d was reported as executed, which is not the oldest in flight", result.Position.Index)
		}
		commit := d.taken[0]
		d.taken = d.taken[1:]
		// Not the sequencer's state: that may hold a lease which is not durable yet.
		d.master.standing.Store(&Standing{Ready: true, Last: Last{
			Position: result.Position, StateRoot: result.StateRoot,
			TimestampMs: commit.timestampMs, State: d.master.Standing().Last.State,
		}})
		d.log.Debug("commit executed", "commit_index", result.Position.Index, "rejected", len(result.Rejected))
		commit.stream.out <- answer{acknowledgement: &acknowledgement{result: result}}
		commit.stream.owed--
		commit.stream.endIfAnswered()
	}
	if o.refused != nil {
		d.refused(o.refused)
	}
	if len(d.taken) > 0 {
		d.late.Reset(d.master.settings.ExecuteTimeout)
	}
	return nil
}

// refused ends the streams whose commits are in flight: the oldest is refused, and nothing behind it may pass (X10).
func (d *driver) refused(refusal *RefusedError) {
	d.noteRefusal(refusal)
	d.worker.discard()
	d.sequencer.dropInFlight()
	for _, commit := range d.taken {
		commit.stream.end(refusal)
		if commit.stream == d.stream {
			d.endStream(refusal)
		}
	}
	d.taken = nil
}

// finishInFlight waits until everything that was taken is durable, or refused.
func (d *driver) finishInFlight() error {
	for len(d.taken) > 0 {
		select {
		case o := <-d.worker.done:
			if err := d.durable(o); err != nil {
				return err
			}
		case <-d.late.C:
			return ErrLate
		}
	}
	return nil
}

func (d *driver) retryParked() error {
	if d.stream == nil || d.stream.parked == nil {
		return nil
	}
	commit := d.stream.parked
	d.stream.parked = nil
	return d.commit(commit)
}

// stored is what the executor knows of an executed commit that the sequencer has no digest of; nil if that is nothing.
func (d *driver) stored(index uint64) (*Result, error) {
	if !d.sequencer.needsStored(index) {
		return nil, nil
	}
	return d.executed(index)
}

// executed reads the result of a durable commit; nil if it is not kept.
func (d *driver) executed(index uint64) (*Result, error) {
	result, err := bounded(d.master.settings.ExecuteTimeout, func(ctx context.Context) (Result, error) {
		return d.executor.Executed(ctx, index)
	})
	switch {
	case errors.Is(err, ErrNotKept):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the result of commit %d: %w", index, err)
	}
	return &result, nil
}

// record makes the state durable.
func (d *driver) record(state State) error {
	_, err := bounded(d.master.settings.ExecuteTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.executor.Record(ctx, state)
	})
	if err != nil {
		return fmt.Errorf("record lease and epoch: %w", err)
	}
	standing := d.master.Standing()
	standing.Last.State = state
	d.master.standing.Store(&standing)
	return nil
}

// endStream ends the open stream with an error.
func (d *driver) endStream(err error) {
	if d.stream == nil {
		return
	}
	d.sequencer.close(d.stream.id)
	d.stream.end(err)
	d.stream = nil
}

// endIfAnswered ends, in order, a stream whose client sends no more and is owed nothing.
func (s *stream) endIfAnswered() {
	if s.closed && s.owed == 0 {
		s.end(nil)
	}
}
