package master

import (
	"errors"
)

// open opens a stream: what was sent is executed, the earlier stream ends, the lease is durable; then it is answered. A refused
// opening, and one whose client has gone, leave the open stream alone.
func (d *driver) open(o *opening, s *stream) error {
	stored, err := d.stored(o.after.Index)
	if err != nil {
		return err
	}
	if d.hasGone(s) {
		return nil
	}
	if _, refusal := d.sequencer.mayOpen(o, digestOf(stored)); refusal != nil {
		d.noteRefusal(refusal)
		s.end(refusal)
		return nil
	}
	if err := d.finishInFlight(); err != nil {
		s.end(errFailed)
		return err
	}
	// That may have taken minutes, and moved what is stored.
	if d.hasGone(s) {
		return d.retryParked()
	}
	if stored, err = d.stored(o.after.Index); err != nil {
		s.end(errFailed)
		return err
	}
	opened, refusal := d.sequencer.open(o, digestOf(stored))
	if refusal != nil {
		d.noteRefusal(refusal)
		s.end(refusal)
		return d.retryParked()
	}
	if d.stream != nil {
		d.log.Warn("[SEQUENTIAL-BUFFER] stream ended by a newer one", "incarnation", opened.incarnation)
		d.stream.end(&FencedError{Incarnation: opened.incarnation})
		d.stream = nil
	}
	if opened.persist {
		if err := d.record(d.sequencer.state); err != nil {
			s.end(errFailed)
			return err
		}
	}
	position := d.sequencer.executed()
	d.log.Info("[EXECUTOR-REQ] stream opened",
		"incarnation", opened.incarnation, "block_number", position.Index, "after_index", o.after.Index)
	s.id = opened.stream
	d.stream = s
	s.out <- answer{opened: &streamOpened{incarnation: opened.incarnation, position: position}}
	return nil
}

// hasGone tells of an opening that waited for longer than its client did. To issue a number and end the open stream for it would
// fence the client that tried again.
func (d *driver) hasGone(s *stream) bool {
	if s.client.Err() == nil {
		return false
	}
	d.log.Debug("[EXECUTOR-REQ] opening dropped, its client has gone")
	return true
}

func (d *driver) advanceEpoch(next Epoch) (Epoch, error, error) {
	stored, err := d.stored(next.Boundary.Index)
	if err != nil {
		return Epoch{}, nil, err
	}
	advance, refusal := d.sequencer.advanceEpoch(next, digestOf(stored))
	if refusal != nil {
		return Epoch{}, refusal, nil
	}
	if advance {
		state := d.sequencer.state
		state.Epoch = next
		if err := d.record(state); err != nil {
			return Epoch{}, nil, err
		}
		d.sequencer.state = state
		d.log.Info("[EPOCH TRANSITION] epoch advanced", "epoch", next.Number, "boundary_index", next.Boundary.Index)
	}
	return d.sequencer.state.Epoch, nil, nil
}

func (d *driver) inbound(message inbound, open bool) error {
	switch {
	case !open:
		d.sequencer.close(d.stream.id)
		d.stream.closed = true
		d.stream.endIfAnswered()
		d.stream = nil
		d.log.Info("[EXECUTOR-REQ] stream closed by its client")
		return nil
	case message.disorder != nil:
		d.endStream(message.disorder)
		return nil
	case message.malformed != nil:
		index := message.index
		if index == 0 {
			index = saturatingNext(d.sequencer.accepted().Index)
		}
		d.log.Error("[SEQUENTIAL-BUFFER] commit is malformed", "commit_index", index, "problem", message.malformed)
		d.endStream(&malformedCommitError{index: index, problem: message.malformed})
		return nil
	default:
		return d.commit(message.commit)
	}
}

func (d *driver) commit(commit *Commit) error {
	before, err := d.stored(commit.Index)
	if err != nil {
		return err
	}
	decision, refusal := d.sequencer.commit(d.stream.id, commit, digestOf(before))
	switch {
	case refusal != nil:
		d.noteRefusal(refusal)
		d.endStream(refusal)
	case decision == execute:
		d.execute(commit)
	case decision == duplicate:
		return d.duplicate(commit.Index, before)
	case decision == pending:
		// The one in flight is acknowledged in its turn.
		d.stream.release()
	case decision == wait:
		d.stream.parked = commit
	}
	return nil
}

func (d *driver) execute(commit *Commit) {
	if len(d.taken) == 0 {
		d.late.Reset(d.master.settings.ExecuteTimeout)
	}
	commit.Incarnation = d.sequencer.state.Lease.Incarnation
	d.taken = append(d.taken, taken{stream: d.stream, timestampMs: commit.TimestampMs})
	d.stream.owed++
	d.worker.jobs <- *commit
}

// duplicate acknowledges as the first time (D09, D16).
func (d *driver) duplicate(index uint64, before *Result) error {
	d.log.Debug("[SEQUENTIAL-BUFFER] duplicate dropped", "commit_index", index)
	if before == nil {
		var err error
		if before, err = d.executed(index); err != nil {
			return err
		}
	}
	if before == nil {
		d.endStream(&GapError{Expected: saturatingNext(d.sequencer.accepted().Index), Index: index})
		return nil
	}
	d.stream.out <- answer{acknowledgement: &acknowledgement{result: *before, duplicate: true}}
	return nil
}

func (d *driver) noteRefusal(refusal error) {
	var (
		gap    *GapError
		fork   *ForkError
		fenced *FencedError
		commit *RefusedError
	)
	switch {
	case errors.As(refusal, &commit):
		d.log.Error("[SEQUENTIAL-BUFFER] executor refuses the commit", "commit_index", commit.Index, "problem", commit.Reason)
	case errors.As(refusal, &gap):
		d.log.Warn("[SEQUENTIAL-BUFFER] gap", "expected_index", gap.Expected, "commit_index", gap.Index)
	case errors.As(refusal, &fork):
		d.log.Error("[SEQUENTIAL-BUFFER] fork", "commit_index", fork.Index, "ours", fork.Ours, "theirs", fork.Theirs)
	case errors.As(refusal, &fenced):
		d.log.Warn("[SEQUENTIAL-BUFFER] older sender fenced", "incarnation", fenced.Incarnation)
	default:
		d.log.Error("[SEQUENTIAL-BUFFER] refused", "refusal", refusal)
	}
}

func digestOf(result *Result) *Digest {
	if result == nil {
		return nil
	}
	return &result.Position.Digest
}
