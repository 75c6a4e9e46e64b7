package master

import (
	"context"
	"encoding/hex"
	"errors"
)

// ChainID names the chain.
type ChainID [32]byte

// Authority is the protocol key of an authority.
type Authority [32]byte

// Digest is a digest of a commit, a state or a committee.
type Digest [32]byte

// String shows lower-case hex.
func (c ChainID) String() string { return hex.EncodeToString(c[:]) }

// String shows lower-case hex.
func (a Authority) String() string { return hex.EncodeToString(a[:]) }

// String shows lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Executor is what a team implements: its state machine and its database. Everything else of the contract is done by this
// package.
//
// Execute, Sync and Record are never called at the same time; Executed and Committee may be called at any time. An error is
// final: the master stops serving and reports it, and what was acknowledged is durable. A call that outlives its context counts as
// such an error. Only those that are named here are not (RefusedError, ErrNotKept, ErrUnknownEpoch), and those of Committee, which
// are told to its caller.
//
// Exactly-once rests on the executor's own transaction: the effects of a commit, its index, its digest and its Result become
// durable together, whole or not at all.
type Executor interface {
	// Last tells where the executor stands, by what is durable. It is called once, before everything else.
	Last(ctx context.Context) (Last, error)
	// Execute executes the next commit. It compares and sets: the commit is refused unless its index is the last plus one, its
	// previous digest that of the last commit, and its incarnation the recorded one. The effects need not be durable before
	// Sync returns, so that one sync serves many commits.
	//
	// An executor that will not execute this commit, and is itself in order, returns a *RefusedError, and has changed nothing. Then
	// all before the commit are made durable and acknowledged, its sender is told index and reason, and nothing passes that index:
	// Execute is next called when the commit at this index comes again. Every other error is final.
	Execute(ctx context.Context, commit Commit) (Result, error)
	// Sync makes durable what was executed. Nothing is acknowledged before it returns (an executor whose Execute is durable
	// already has nothing to do here).
	Sync(ctx context.Context) error
	// Executed reads what an earlier, durable commit gave: a commit that comes again is answered with it. ErrNotKept for one
	// that is too old; at least the newest commits (1024 in the reference) must be kept.
	Executed(ctx context.Context, index uint64) (Result, error)
	// Record makes the lease and the epoch durable before it returns.
	Record(ctx context.Context, state State) error
	// Committee reads the committee of an epoch; ErrUnknownEpoch where it is not known yet.
	Committee(ctx context.Context, epoch uint64) ([]Member, error)
}

var (
	// ErrNotKept is what Executor.Executed returns for a commit whose result is no longer kept.
	ErrNotKept = errors.New("the result of this commit is not kept")
	// ErrUnknownEpoch is what Executor.Committee returns for an epoch whose committee is not known.
	ErrUnknownEpoch = errors.New("the committee of this epoch is not known")
)

// Position is a commit by index and digest. The zero value stands before the first.
type Position struct {
	// Index of the commit and number of the block; 0 before the first.
	Index uint64
	// Digest of the commit; all zero before the first.
	Digest Digest
}

// Last is where an executor stands; all fields belong to one durable state.
type Last struct {
	// Position of the last commit executed.
	Position Position
	// StateRoot after it; nil where the executor keeps none.
	StateRoot *Digest
	// TimestampMs of it, in milliseconds since the Unix epoch; 0 before the first.
	TimestampMs uint64
	// State that Record was last given; the zero value before the first.
	State State
}

// State is what the package remembers beside the commits.
type State struct {
	// Lease in force.
	Lease Lease
	// Epoch in force.
	Epoch Epoch
}

// Lease is the right to feed the executor. Order is by incarnation alone.
type Lease struct {
	// Authority that the executor belongs to; nil before the first opening.
	Authority *Authority
	// Incarnation in force: the life of a consensus process, as counted here, from 1; 0 before the first opening.
	Incarnation uint64
}

// Epoch is an epoch and the boundary that it began with. The zero value is epoch 0, which begins with genesis.
type Epoch struct {
	// Number of the epoch.
	Number uint64
	// Boundary is the last commit of the epoch before.
	Boundary Position
	// CommitteeDigest is the digest of the epoch's committee.
	CommitteeDigest Digest
	// TimestampMs of the boundary, in milliseconds since the Unix epoch.
	TimestampMs uint64
}

// Commit is what is executed as one block. Its form has been checked: lengths, limits, marks.
type Commit struct {
	// Index of the commit and number of the block, from 1.
	Index uint64
	// Epoch whose committee decided the commit.
	Epoch uint64
	// PreviousDigest is that of commit Index - 1; all zero before index 1.
	PreviousDigest Digest
	// Digest of this commit.
	Digest Digest
	// TimestampMs never falls from commit to commit; milliseconds since the Unix epoch.
	TimestampMs uint64
	// Transactions in execution order. The executor may keep the bytes, and must not change them.
	Transactions []Transaction
	// SizeBytes as commits are counted: transaction bytes, 16 more a transaction, 128 a block.
	SizeBytes uint64
	// Incarnation of the sender.
	Incarnation uint64
}

// Position of the commit.
func (c *Commit) Position() Position { return Position{Index: c.Index, Digest: c.Digest} }

// Transaction is one transaction at its place in a commit.
type Transaction struct {
	// Bytes as they were submitted.
	Bytes []byte
	// Duplicate is set where it was committed before: it must not be executed again.
	Duplicate bool
}

// Result is what execution of a commit gave. The same commit gives the same result on every executor.
type Result struct {
	// Position of the commit.
	Position Position
	// StateRoot after it; nil where the executor keeps none.
	StateRoot *Digest
	// Rejected transactions, by position.
	Rejected []Rejected
	// EpochEnd is set where the commit ended the epoch.
	EpochEnd *EpochEnd
}

// Rejected is a transaction that had no effect.
type Rejected struct {
	// Position in the commit, from 0.
	Position uint32
	// Code of the executor; not 0.
	Code uint32
	// Reason is for people; it is cut after 256 bytes.
	Reason string
}

// EpochEnd tells that execution of a commit ended the epoch.
type EpochEnd struct {
	// NextEpoch begins.
	NextEpoch uint64
	// CommitteeDigest is the digest of its committee.
	CommitteeDigest Digest
}

// Member is one authority of a committee.
type Member struct {
	// Stake that it votes with; at least 1.
	Stake uint64
	// ProtocolKey signs its blocks.
	ProtocolKey [32]byte
	// NetworkKey is the key of its TLS identity.
	NetworkKey [32]byte
	// Address where other authorities reach it, host:port.
	Address string
}
