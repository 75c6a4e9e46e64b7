package master

import "fmt"

// Refusals: why an opening, a commit or an epoch is refused. Each ends the stream that it answers, and has changed nothing.
type (
	// GapError tells that a commit is not the next one; resending from Expected helps (D08).
	GapError struct {
		// Expected is the index that is next, Index the one that came.
		Expected, Index uint64
	}
	// ForkError tells that two different commits claim one index. Nothing here can mend it (D07, X06).
	ForkError struct {
		// Index that both claim.
		Index uint64
		// Ours was let through or executed there, Theirs came.
		Ours, Theirs Digest
	}
	// FencedError tells that a newer stream or process has taken over (D11, D12).
	FencedError struct {
		// Incarnation in force.
		Incarnation uint64
	}
	// WrongChainError tells that the sender belongs to another chain.
	WrongChainError struct {
		// Ours is the executor's, Theirs the sender's.
		Ours, Theirs ChainID
	}
	// WrongAuthorityError tells that the executor belongs to another authority.
	WrongAuthorityError struct {
		// Ours is the executor's, Theirs the sender.
		Ours, Theirs Authority
	}
	// WrongEpochError tells that a commit, or a step, is of an epoch that is neither the current one nor allowed.
	WrongEpochError struct {
		// Ours is the executor's, Theirs the one that came.
		Ours, Theirs uint64
	}
	// BeyondBoundaryError tells that commits after the claimed boundary were let through already.
	BeyondBoundaryError struct {
		// Boundary that came, Accepted the newest commit let through.
		Boundary, Accepted uint64
	}
	// RefusedError tells that the executor refuses a commit: with the state that it has, it will never execute it (X10).
	RefusedError struct {
		// Index of the commit. Executor.Execute may leave it 0: it is set to that of the commit that Execute was given.
		Index uint64
		// Reason is for people; it is cut after 256 bytes.
		Reason string
	}
	// FieldError tells that a field of an opening or a commit breaks the contract.
	FieldError struct {
		// Field is its path in the .proto file.
		Field string
		// Problem names the limit and what was found.
		Problem string
	}
)

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("commit %d came, commit %d is next", e.Index, e.Expected)
}

// Error implements error.
func (e *ForkError) Error() string {
	return fmt.Sprintf("two commits at index %d: %s is ours, %s came", e.Index, e.Ours, e.Theirs)
}

// Error implements error.
func (e *FencedError) Error() string {
	return fmt.Sprintf("a newer stream has taken over; incarnation %d is in force", e.Incarnation)
}

// Error implements error.
func (e *WrongChainError) Error() string {
	return fmt.Sprintf("the executor belongs to chain %s, not %s", e.Ours, e.Theirs)
}

// Error implements error.
func (e *WrongAuthorityError) Error() string {
	return fmt.Sprintf("the executor belongs to authority %s, not %s", e.Ours, e.Theirs)
}

// Error implements error.
func (e *WrongEpochError) Error() string {
	return fmt.Sprintf("epoch %d came in epoch %d", e.Theirs, e.Ours)
}

// Error implements error.
func (e *BeyondBoundaryError) Error() string {
	return fmt.Sprintf("the boundary %d is below commit %d, which was let through", e.Boundary, e.Accepted)
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the executor refuses commit %d: %s", e.Index, cut(e.Reason))
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }
