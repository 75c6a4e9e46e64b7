package master

// maxIncarnationLead is how far above the one in force a named incarnation may be. It is above at all where this executor was
// restored from an older state; one that is far above was never issued, and would lock out all that come later.
const maxIncarnationLead = 1 << 20

// decision is what to do with a commit.
type decision uint8

const (
	// execute it next; it is in flight from now on.
	execute decision = iota + 1
	// duplicate: executed before. Drop it and acknowledge it as the first time.
	duplicate
	// pending: in flight already. Drop it; the acknowledgement of the first comes.
	pending
	// wait for room in the window.
	wait
)

// opening is how a sender introduces itself.
type opening struct {
	chain       ChainID
	authority   Authority
	incarnation uint64
	after       Position
	// local is set for the framed sockets, which tell no more than that they are there: they are issued a new incarnation,
	// and take up where the executor stands.
	local bool
}

// opened is a stream that was let in.
type opened struct {
	stream      uint64
	incarnation uint64
	// persist must be durable before the opening is answered, if it is set.
	persist bool
}

// sequencer decides of order and exactly-once, and does nothing else: no clock, no files, no goroutines. It is the Rust crate
// sequencer-core again. Commits are let through by index without holes, each once, and only where the previous digest is that
// of the one before; a digest is compared before a commit is called a duplicate; only the newest stream is listened to.
type sequencer struct {
	chain      ChainID
	state      State
	stream     uint64
	lastStream uint64
	recent     recent
	window     window
}

func newSequencer(chain ChainID, limits Window, last Last) *sequencer {
	return &sequencer{
		chain:  chain,
		state:  last.State,
		recent: recent{capacity: resendWindow, newest: last.Position, digests: []Digest{last.Position.Digest}},
		window: window{limits: limits},
	}
}

// mayOpen decides of an opening, and changes nothing: the incarnation that it would have. stored is the digest that the executor
// holds at o.after, where needsStored asks for it.
func (s *sequencer) mayOpen(o *opening, stored *Digest) (uint64, error) {
	lease := s.state.Lease
	if o.local {
		o = &opening{chain: s.chain, incarnation: 0, after: s.accepted(), local: true}
	}
	if o.chain != s.chain {
		return 0, &WrongChainError{Ours: s.chain, Theirs: o.chain}
	}
	if lease.Authority != nil && !o.local && *lease.Authority != o.authority {
		return 0, &WrongAuthorityError{Ours: *lease.Authority, Theirs: o.authority}
	}
	incarnation, err := s.lease(o.incarnation)
	if err != nil {
		return 0, err
	}
	return incarnation, s.checkAfter(o.after, stored)
}

// open decides as mayOpen does, and lets the stream in.
func (s *sequencer) open(o *opening, stored *Digest) (opened, error) {
	incarnation, err := s.mayOpen(o, stored)
	if err != nil {
		return opened{}, err
	}
	lease := s.state.Lease
	changed := lease.Incarnation != incarnation
	if lease.Authority == nil && !o.local {
		authority := o.authority
		lease.Authority, changed = &authority, true
	}
	lease.Incarnation = incarnation
	s.state.Lease = lease
	s.lastStream++
	s.stream = s.lastStream
	return opened{stream: s.stream, incarnation: incarnation, persist: changed}, nil
}

// lease orders by incarnation alone: 0 is issued the next, the one in force and higher ones pass.
func (s *sequencer) lease(asked uint64) (uint64, error) {
	current := s.state.Lease.Incarnation
	malformed := &FieldError{Field: "opening.lease.incarnation", Problem: "was never issued"}
	switch {
	case asked == 0 && current+1 == 0:
		return 0, malformed
	case asked == 0:
		return current + 1, nil
	case asked < current:
		return 0, &FencedError{Incarnation: current}
	case asked-current > maxIncarnationLead:
		return 0, malformed
	default:
		return asked, nil
	}
}

func (s *sequencer) checkAfter(after Position, stored *Digest) error {
	accepted := s.accepted()
	if after.Index > accepted.Index {
		return &GapError{Expected: accepted.Index + 1, Index: saturatingNext(after.Index)}
	}
	ours := s.digestAt(after.Index, stored)
	switch {
	case ours == nil:
		return &GapError{Expected: s.executed().Index + 1, Index: after.Index + 1}
	case *ours != after.Digest:
		return &ForkError{Index: after.Index, Ours: *ours, Theirs: after.Digest}
	}
	return nil
}

// commit decides of a commit. stored is the digest that the executor holds at its index, where needsStored asks for it.
func (s *sequencer) commit(stream uint64, c *Commit, stored *Digest) (decision, error) {
	if stream != s.stream || stream == 0 {
		return 0, &FencedError{Incarnation: s.state.Lease.Incarnation}
	}
	if c.Index == 0 {
		return 0, &FieldError{Field: "commit.index", Problem: "is 0; the first commit has index 1"}
	}
	executed, accepted := s.executed(), s.accepted()
	gap := &GapError{Expected: saturatingNext(accepted.Index), Index: c.Index}
	if c.Index <= accepted.Index {
		ours := s.digestAt(c.Index, stored)
		switch {
		case ours == nil:
			return 0, gap
		case *ours != c.Digest:
			return 0, &ForkError{Index: c.Index, Ours: *ours, Theirs: c.Digest}
		case c.Index <= executed.Index:
			return duplicate, nil
		default:
			return pending, nil
		}
	}
	if c.Index != gap.Expected {
		return 0, gap
	}
	if c.PreviousDigest != accepted.Digest {
		return 0, &ForkError{Index: accepted.Index, Ours: accepted.Digest, Theirs: c.PreviousDigest}
	}
	if c.Epoch != s.state.Epoch.Number {
		return 0, &WrongEpochError{Ours: s.state.Epoch.Number, Theirs: c.Epoch}
	}
	if !s.window.hasRoomFor(c.SizeBytes) {
		return wait, nil
	}
	s.window.push(c.Digest, c.SizeBytes)
	return execute, nil
}

// executedOne notes that the oldest commit in flight is durable. It is false, with nothing changed, for any other.
func (s *sequencer) executedOne(position Position) bool {
	if position.Index != s.executed().Index+1 || !s.window.popIf(position.Digest) {
		return false
	}
	s.recent.push(position)
	return true
}

// dropInFlight forgets the commits in flight: the executor refused the oldest. The next is the one that it refused.
func (s *sequencer) dropInFlight() { s.window.clear() }

// close notes that a stream ended by itself. What it sent stays in flight.
func (s *sequencer) close(stream uint64) {
	if s.stream == stream {
		s.stream = 0
	}
}

// advanceEpoch decides of a boundary: true if it must be made durable and then set, false if the epoch is in force already.
func (s *sequencer) advanceEpoch(next Epoch, stored *Digest) (bool, error) {
	ours := s.state.Epoch.Number
	if next.Number == ours {
		return false, nil
	}
	if next.Number != ours+1 || next.Number == 0 {
		return false, &WrongEpochError{Ours: ours, Theirs: next.Number}
	}
	if executed := s.executed(); next.Boundary.Index > executed.Index {
		return false, &GapError{Expected: executed.Index + 1, Index: next.Boundary.Index}
	}
	if ours := s.digestAt(next.Boundary.Index, stored); ours != nil && *ours != next.Boundary.Digest {
		return false, &ForkError{Index: next.Boundary.Index, Ours: *ours, Theirs: next.Boundary.Digest}
	}
	if accepted := s.accepted().Index; next.Boundary.Index < accepted {
		return false, &BeyondBoundaryError{Boundary: next.Boundary.Index, Accepted: accepted}
	}
	return true, nil
}

// needsStored is true where the digest at this index must be read from the executor for a call that is about it.
func (s *sequencer) needsStored(index uint64) bool {
	return index <= s.executed().Index && s.recent.at(index) == nil
}

// executed is the last commit that is durable: the cursor.
func (s *sequencer) executed() Position { return s.recent.newest }

// accepted is the last commit let through.
func (s *sequencer) accepted() Position {
	executed := s.executed()
	if count := len(s.window.commits); count > 0 {
		return Position{Index: executed.Index + uint64(count), Digest: s.window.commits[count-1].digest}
	}
	return executed
}

func (s *sequencer) digestAt(index uint64, stored *Digest) *Digest {
	if executed := s.executed().Index; index > executed {
		if place := index - executed - 1; place < uint64(len(s.window.commits)) {
			return &s.window.commits[place].digest
		}
		return nil
	}
	if recent := s.recent.at(index); recent != nil {
		return recent
	}
	return stored
}

func saturatingNext(index uint64) uint64 { return max(index, index+1) }
