package master

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// The table of the Rust crate sequencer-core again: exact decisions on both sides of each boundary.

var (
	testChain     = ChainID{1}
	testAuthority = Authority{2}
	other         = Digest{0: 9, 31: 9}
)

func digestAt(index uint64) (digest Digest) {
	binary.LittleEndian.PutUint64(digest[:], index)
	return digest
}

func positionAt(index uint64) Position { return Position{Index: index, Digest: digestAt(index)} }

func header(index uint64) *Commit {
	return &Commit{Index: index, PreviousDigest: digestAt(index - 1), Digest: digestAt(index), SizeBytes: 10}
}

func openingAt(incarnation, after uint64) *opening {
	return &opening{chain: testChain, authority: testAuthority, incarnation: incarnation, after: positionAt(after)}
}

// executedUpTo is a sequencer that has executed up to an index since its start; its window holds the digests.
func executedUpTo(t *testing.T, index uint64, limits Window) *sequencer {
	t.Helper()
	authority := testAuthority
	s := newSequencer(testChain, limits, Last{State: State{Lease: Lease{Authority: &authority, Incarnation: 4}}})
	stream := mustOpen(t, s, openingAt(4, 0))
	for i := uint64(1); i <= index; i++ {
		want(t, s, stream.stream, header(i), execute, nil)
		if !s.executedOne(positionAt(i)) {
			t.Fatalf("commit %d is not the oldest", i)
		}
	}
	s.close(stream.stream)
	return s
}

func mustOpen(t *testing.T, s *sequencer, o *opening) opened {
	t.Helper()
	opened, err := s.open(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func openHere(t *testing.T, s *sequencer) uint64 {
	t.Helper()
	return mustOpen(t, s, openingAt(0, s.executed().Index)).stream
}

// want compares a decision, or the exact refusal.
func want(t *testing.T, s *sequencer, stream uint64, c *Commit, decided decision, refusal error) {
	t.Helper()
	got, err := s.commit(stream, c, nil)
	if got != decided || !reflect.DeepEqual(err, refusal) {
		t.Fatalf("commit %d: decision %d and %v, want %d and %v", c.Index, got, err, decided, refusal)
	}
}

func wantRefused(t *testing.T, s *sequencer, o *opening, refusal error) {
	t.Helper()
	if _, err := s.open(o, nil); !reflect.DeepEqual(err, refusal) {
		t.Fatalf("opening: %v, want %v", err, refusal)
	}
}

func with(c *Commit, change func(*Commit)) *Commit {
	change(c)
	return c
}

func TestCommitsAreLetThroughAndExecutedInOrder(t *testing.T) {
	s := executedUpTo(t, 0, DefaultWindow)
	stream := openHere(t, s)
	for index := uint64(1); index <= 3; index++ {
		want(t, s, stream, header(index), execute, nil)
	}
	if s.executedOne(positionAt(2)) || s.executedOne(Position{Index: 1, Digest: other}) {
		t.Fatal("an execution out of order was taken")
	}
	for index := uint64(1); index <= 3; index++ {
		if !s.executedOne(positionAt(index)) {
			t.Fatalf("commit %d is the oldest", index)
		}
	}
	if s.executedOne(positionAt(4)) || s.executed() != positionAt(3) {
		t.Fatalf("executed is %v", s.executed())
	}
}

func TestD07AnotherCommitAtAKnownIndexIsAFork(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	stream := openHere(t, s)
	want(t, s, stream, header(6), execute, nil)
	for index := uint64(1); index <= 6; index++ {
		theirs := with(header(index), func(c *Commit) { c.Digest = other })
		want(t, s, stream, theirs, 0, &ForkError{Index: index, Ours: digestAt(index), Theirs: other})
	}
	theirs := with(header(7), func(c *Commit) { c.PreviousDigest = other })
	want(t, s, stream, theirs, 0, &ForkError{Index: 6, Ours: digestAt(6), Theirs: other})
}

func TestD08ACommitAheadOfTheNextNamesTheOneExpected(t *testing.T) {
	s := executedUpTo(t, 7, DefaultWindow)
	stream := openHere(t, s)
	want(t, s, stream, header(9), 0, &GapError{Expected: 8, Index: 9})
	want(t, s, stream, header(math.MaxUint64), 0, &GapError{Expected: 8, Index: math.MaxUint64})
	want(t, s, stream, header(8), execute, nil)
	want(t, s, stream, header(10), 0, &GapError{Expected: 9, Index: 10})
	want(t, s, stream, header(9), execute, nil)
}

func TestD09TheSameCommitAgainIsADuplicateByDigest(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	stream := openHere(t, s)
	for index := uint64(1); index <= 5; index++ {
		want(t, s, stream, header(index), duplicate, nil)
	}
	want(t, s, stream, header(6), execute, nil)
	want(t, s, stream, header(6), pending, nil)
	s.executedOne(positionAt(6))
	want(t, s, stream, header(6), duplicate, nil)
}

func TestD09ADuplicateBeyondTheResendWindowIsJudgedByTheStore(t *testing.T) {
	s := executedUpTo(t, resendWindow+10, DefaultWindow)
	stream := openHere(t, s)
	if !s.needsStored(10) || s.needsStored(11) || s.needsStored(0) || s.needsStored(resendWindow+11) {
		t.Fatal("the window holds the digests from 11 on, and that before the first commit")
	}
	ours := digestAt(10)
	if got, err := s.commit(stream, header(10), &ours); got != duplicate || err != nil {
		t.Fatalf("decision %d and %v", got, err)
	}
	_, err := s.commit(stream, header(10), &other)
	if fork := (*ForkError)(nil); !errors.As(err, &fork) {
		t.Fatalf("%v is no fork", err)
	}
	// Nobody knows what stood at 10: it is neither confirmed nor denied.
	want(t, s, stream, header(10), 0, &GapError{Expected: resendWindow + 11, Index: 10})
	wantRefused(t, s, openingAt(0, 10), &GapError{Expected: resendWindow + 11, Index: 11})
}

func TestD10IndexZeroIsMalformed(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	_, err := s.commit(openHere(t, s), &Commit{}, nil)
	if field := (*FieldError)(nil); !errors.As(err, &field) || field.Field != "commit.index" {
		t.Fatalf("%v", err)
	}
}

func TestD11ANewOpeningOfTheSameIncarnationEndsTheEarlierStream(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	first := mustOpen(t, s, openingAt(0, 5))
	want(t, s, first.stream, header(6), execute, nil)
	second := mustOpen(t, s, openingAt(5, 5))
	if first.incarnation != 5 || second.incarnation != 5 || !first.persist || second.persist {
		t.Fatalf("%+v, then %+v", first, second)
	}
	// A late frame of the old stream does not get between.
	want(t, s, first.stream, header(7), 0, &FencedError{Incarnation: 5})
	s.close(first.stream)
	want(t, s, second.stream, header(7), execute, nil)
	wantRefused(t, s, openingAt(5, 8), &GapError{Expected: 8, Index: 9})
	s.close(second.stream)
	want(t, s, second.stream, header(8), 0, &FencedError{Incarnation: 5})
	want(t, s, 0, header(8), 0, &FencedError{Incarnation: 5})
}

func TestD12ANewerIncarnationFencesTheOlderOneForGood(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	old := mustOpen(t, s, openingAt(0, 5))
	newer := mustOpen(t, s, openingAt(0, 5))
	if old.incarnation != 5 || newer.incarnation != 6 || !newer.persist {
		t.Fatalf("%+v, then %+v", old, newer)
	}
	want(t, s, old.stream, header(6), 0, &FencedError{Incarnation: 6})
	wantRefused(t, s, openingAt(5, 5), &FencedError{Incarnation: 6})
	want(t, s, newer.stream, header(6), execute, nil)
}

func TestD12AnIncarnationThatWasNeverIssuedIsRefused(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	highest := uint64(4 + maxIncarnationLead)
	_, err := s.open(openingAt(highest+1, 5), nil)
	if field := (*FieldError)(nil); !errors.As(err, &field) {
		t.Fatalf("%v", err)
	}
	if opened := mustOpen(t, s, openingAt(highest, 5)); !opened.persist {
		t.Fatal("a higher incarnation is recorded")
	}
	if opened := mustOpen(t, s, openingAt(0, 5)); opened.incarnation != highest+1 {
		t.Fatalf("%+v", opened)
	}
	s.state.Lease.Incarnation = math.MaxUint64
	if _, err := s.open(openingAt(0, 5), nil); err == nil {
		t.Fatal("there is no number left")
	}
}

func TestD17TheWindowIsBoundedInCommits(t *testing.T) {
	s := executedUpTo(t, 0, Window{Commits: 2, Bytes: 1 << 20})
	stream := openHere(t, s)
	want(t, s, stream, header(1), execute, nil)
	want(t, s, stream, header(2), execute, nil)
	want(t, s, stream, header(3), wait, nil)
	s.executedOne(positionAt(1))
	want(t, s, stream, header(3), execute, nil)
}

func TestD17TheWindowIsBoundedInBytesAndTakesOneCommitOfAnySize(t *testing.T) {
	s := executedUpTo(t, 0, Window{Commits: 10, Bytes: 20})
	stream := openHere(t, s)
	sized := func(index, size uint64) *Commit {
		return with(header(index), func(c *Commit) { c.SizeBytes = size })
	}
	want(t, s, stream, sized(1, 12), execute, nil)
	want(t, s, stream, sized(2, 9), wait, nil)
	want(t, s, stream, sized(2, math.MaxUint64), wait, nil)
	want(t, s, stream, sized(2, 8), execute, nil)
	s.executedOne(positionAt(1))
	s.executedOne(positionAt(2))
	want(t, s, stream, sized(3, math.MaxUint64), execute, nil)
}

func TestX06AnOpeningAfterAnotherCommitIsAFork(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	for _, index := range []uint64{0, 3, 5} {
		o := openingAt(0, index)
		o.after.Digest = other
		wantRefused(t, s, o, &ForkError{Index: index, Ours: digestAt(index), Theirs: other})
	}
	if s.state.Lease.Incarnation != 4 {
		t.Fatal("a refused opening issued a number")
	}
}

func TestTheFirstOpeningRecordsTheAuthority(t *testing.T) {
	s := newSequencer(testChain, DefaultWindow, Last{})
	if opened := mustOpen(t, s, openingAt(0, 0)); opened.incarnation != 1 || !opened.persist {
		t.Fatalf("%+v", opened)
	}
	theirs := Authority{7}
	o := openingAt(0, 0)
	o.authority = theirs
	wantRefused(t, s, o, &WrongAuthorityError{Ours: testAuthority, Theirs: theirs})
	o.chain = ChainID{8}
	wantRefused(t, s, o, &WrongChainError{Ours: testChain, Theirs: ChainID{8}})
}

func TestAnEpochAdvancesOnceAtItsExecutedBoundary(t *testing.T) {
	s := executedUpTo(t, 5, DefaultWindow)
	for _, step := range []struct {
		number, boundary uint64
		digest           Digest
		refusal          error
	}{
		{0, 3, digestAt(3), nil},
		{2, 5, digestAt(5), &WrongEpochError{Ours: 0, Theirs: 2}},
		{1, 6, digestAt(6), &GapError{Expected: 6, Index: 6}},
		{1, 4, digestAt(4), &BeyondBoundaryError{Boundary: 4, Accepted: 5}},
		{1, 5, other, &ForkError{Index: 5, Ours: digestAt(5), Theirs: other}},
	} {
		advance, err := s.advanceEpoch(Epoch{Number: step.number, Boundary: Position{step.boundary, step.digest}}, nil)
		if advance || !reflect.DeepEqual(err, step.refusal) {
			t.Fatalf("%+v: %v and %v", step, advance, err)
		}
	}
	if advance, err := s.advanceEpoch(Epoch{Number: 1, Boundary: positionAt(5)}, nil); !advance || err != nil {
		t.Fatalf("%v and %v", advance, err)
	}
	s.state.Epoch.Number = 1
	if _, err := s.advanceEpoch(Epoch{Number: 0}, nil); !reflect.DeepEqual(err, &WrongEpochError{Ours: 1, Theirs: 0}) {
		t.Fatalf("backwards: %v", err)
	}
	stream := openHere(t, s)
	want(t, s, stream, header(6), 0, &WrongEpochError{Ours: 1, Theirs: 0})
	want(t, s, stream, header(5), duplicate, nil)
	want(t, s, stream, with(header(6), func(c *Commit) { c.Epoch = 1 }), execute, nil)
}

// TestOnlyTheChainGetsThrough sends anything: what is let through is the honest chain, each index once.
func TestOnlyTheChainGetsThrough(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := executedUpTo(t, 0, Window{Commits: 3, Bytes: 1 << 20})
		stream := openHere(t, s)
		var through uint64
		for range 200 {
			index := random.Uint64N(14)
			c := header(max(index, 1))
			c.Index = index
			if random.IntN(2) == 0 && index != s.accepted().Index+1 {
				// A dishonest commit that extends the chain cannot be told from an honest one.
				c.Digest = other
			}
			if decided, _ := s.commit(stream, c, nil); decided == execute {
				if through++; index != through {
					t.Fatalf("seed %d: commit %d was let through, %d is next", seed, index, through)
				}
			}
			if next := s.executed().Index + 1; random.IntN(2) == 0 && next <= through && !s.executedOne(positionAt(next)) {
				t.Fatalf("seed %d: commit %d is the oldest", seed, next)
			}
			if len(s.window.commits) > 3 {
				t.Fatalf("seed %d: %d commits in flight", seed, len(s.window.commits))
			}
		}
	}
}
