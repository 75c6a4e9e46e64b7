// Package ledger is the reference ledger: accounts with balances and nonces, ed25519-signed transfers, and a state root over
// all of it.
//
// It is the same machine as the Rust crate reference-ledger, rule by rule: executor-proxy/reference/docs/ledger.md writes
// the rules out, and the vectors beside it, which the tests of both read, pin them. It is pure: no clock, no files, no
// goroutines that outlive a call, and no input of a client makes it panic.
package ledger

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"
)

// ChainID names the chain.
type ChainID [32]byte

// Digest is a BLAKE3-256 digest: of a commit, a transaction or a state.
type Digest [32]byte

// AccountKey is the ed25519 public key of an account's holder. Any 32 bytes may receive; only those that are a key can send.
type AccountKey [32]byte

// String shows lower-case hex.
func (c ChainID) String() string { return hex.EncodeToString(c[:]) }

// String shows lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// String shows lower-case hex.
func (k AccountKey) String() string { return hex.EncodeToString(k[:]) }

// TransactionDigest is the plain BLAKE3-256 of a transaction's bytes, whatever they hold.
func TransactionDigest(bytes []byte) Digest { return blake3.Sum256(bytes) }

// Position tells how far the ledger has executed. The zero value stands before the first commit.
type Position struct {
	// Index of the last commit executed; 0 before the first.
	Index uint64
	// Digest of that commit; all zero before the first.
	Digest Digest
	// Epoch of that commit; 0 before the first.
	Epoch uint64
}

// Commit is what is executed as one block, reduced to what execution depends on.
type Commit struct {
	// Index is the commit index and block number, from 1.
	Index uint64
	// Epoch whose committee decided the commit; part of the state root.
	Epoch uint64
	// PreviousDigest is that of commit Index - 1; all zero before index 1.
	PreviousDigest Digest
	// Digest of this commit; part of the state root.
	Digest Digest
	// Transactions in execution order.
	Transactions []Transaction
}

// Transaction is one transaction at its place in a commit.
type Transaction struct {
	// Bytes as they were submitted.
	Bytes []byte
	// Duplicate is set where consensus marked it as committed before: it is skipped.
	Duplicate bool
}

// Outcome tells what became of a transaction.
type Outcome uint8

// The numbers are those that are stored.
const (
	// Executed: it had its effect.
	Executed Outcome = 0
	// Duplicate: it was marked as committed before, and skipped without being looked at.
	Duplicate Outcome = 1
	// Rejected: it had no effect, not even on the nonce.
	Rejected Outcome = 2
)

// String shows the name that documents use.
func (o Outcome) String() string {
	switch o {
	case Executed:
		return "EXECUTED"
	case Duplicate:
		return "DUPLICATE"
	case Rejected:
		return "REJECTED"
	default:
		return fmt.Sprintf("Outcome(%d)", uint8(o))
	}
}

// Result is one transaction's digest and outcome.
type Result struct {
	// Digest is the BLAKE3-256 of the transaction's bytes.
	Digest Digest
	// Outcome tells what became of it.
	Outcome Outcome
	// Rejection tells why, where Outcome is Rejected.
	Rejection Rejection
}

// Change is an account that a commit changed, with what it holds now.
type Change struct {
	// Key of the account.
	Key AccountKey
	// Account as it is after the commit.
	Account Account
}

// Execution is what one commit did.
type Execution struct {
	// Changes, ascending by key.
	Changes []Change
	// Results, one a transaction, in the order of the commit.
	Results []Result
	// StateRoot after the commit.
	StateRoot Digest
}

// NotNextError tells that a commit's index is not the next.
type NotNextError struct {
	// Expected is the index that is next.
	Expected uint64
	// Index that came.
	Index uint64
}

// Error implements error.
func (e *NotNextError) Error() string {
	return fmt.Sprintf("commit %d does not follow: commit %d is next", e.Index, e.Expected)
}

// OtherPredecessorError tells that a commit was made after another predecessor.
type OtherPredecessorError struct {
	// Index of the predecessor.
	Index uint64
	// Ours is what was executed there, Theirs what the commit names.
	Ours, Theirs Digest
}

// Error implements error.
func (e *OtherPredecessorError) Error() string {
	return fmt.Sprintf("the commit follows %s, but commit %d is %s", e.Theirs, e.Index, e.Ours)
}

// Ledger is the whole state. It is not safe for use by several goroutines.
type Ledger struct {
	chain    ChainID
	position Position
	accounts accounts
	tree     *tree
}

// New makes the ledger of a new chain: these balances, all nonces 0. A balance of 0 is no account. An account that is listed
// twice is an error.
func New(chain ChainID, balances []Balance) (*Ledger, error) {
	stored := make([]Change, 0, len(balances))
	seen := make(map[AccountKey]bool, len(balances))
	for _, balance := range balances {
		if seen[balance.Key] {
			return nil, fmt.Errorf("account %s is listed twice", balance.Key)
		}
		seen[balance.Key] = true
		stored = append(stored, Change{Key: balance.Key, Account: Account{Balance: balance.Balance}})
	}
	return Restore(chain, Position{}, stored), nil
}

// Balance is what an account holds at genesis.
type Balance struct {
	// Key of the account.
	Key AccountKey
	// Balance in units.
	Balance uint64
}

// Restore makes the ledger as it was stored after the commit at position. The caller compares StateRoot, which is computed from
// scratch here, with the root it stored.
func Restore(chain ChainID, position Position, stored []Change) *Ledger {
	l := &Ledger{chain: chain, position: position, accounts: newAccounts(), tree: newTree()}
	changed := make(map[uint16]bool)
	for _, entry := range stored {
		changed[l.accounts.set(entry.Key, entry.Account)] = true
	}
	l.tree.update(&l.accounts, changed)
	return l
}

// Position tells how far the ledger has executed.
func (l *Ledger) Position() Position { return l.position }

// Account tells what an account holds; the zero value for one that never received.
func (l *Ledger) Account(key AccountKey) Account { return l.accounts.byKey[key] }

// Accounts lists all accounts that hold something or have sent, ascending by key.
func (l *Ledger) Accounts() []Change {
	all := make([]Change, 0, len(l.accounts.byKey))
	for key, account := range l.accounts.byKey {
		all = append(all, Change{Key: key, Account: account})
	}
	sortByKey(all)
	return all
}

// StateRoot at the position.
func (l *Ledger) StateRoot() Digest { return l.tree.stateRoot(l.chain, l.position) }

// Execute executes the next commit. Whatever its transactions hold, it succeeds: those without effect are recorded. With an
// error (NotNextError, OtherPredecessorError) nothing has changed.
func (l *Ledger) Execute(commit *Commit) (Execution, error) {
	if l.position.Index+1 == 0 || commit.Index != l.position.Index+1 {
		return Execution{}, &NotNextError{Expected: l.position.Index + 1, Index: commit.Index}
	}
	if commit.PreviousDigest != l.position.Digest {
		return Execution{}, &OtherPredecessorError{
			Index: l.position.Index, Ours: l.position.Digest, Theirs: commit.PreviousDigest,
		}
	}
	changes := make(map[AccountKey]Account)
	results, transfers := judge(l.chain, commit.Transactions)
	for place, transfer := range transfers {
		if transfer == nil {
			continue
		}
		if rejection, ok := l.apply(transfer, changes); !ok {
			results[place].Outcome, results[place].Rejection = Rejected, rejection
		}
	}
	execution := Execution{Results: results, Changes: make([]Change, 0, len(changes))}
	buckets := make(map[uint16]bool, len(changes))
	for key, account := range changes {
		execution.Changes = append(execution.Changes, Change{Key: key, Account: account})
		buckets[l.accounts.set(key, account)] = true
	}
	sortByKey(execution.Changes)
	l.tree.update(&l.accounts, buckets)
	l.position = Position{Index: commit.Index, Digest: commit.Digest, Epoch: commit.Epoch}
	execution.StateRoot = l.StateRoot()
	return execution, nil
}

// apply applies one transfer on top of the changes of this commit, or leaves them as they are.
func (l *Ledger) apply(transfer *Transfer, changes map[AccountKey]Account) (Rejection, bool) {
	read := func(key AccountKey) (Account, bool) {
		if account, ok := changes[key]; ok {
			return account, true
		}
		account, ok := l.accounts.byKey[key]
		return account, ok
	}
	payer, ok := read(transfer.Sender)
	if !ok {
		return reject(CodeUnknownSender, "the sender has no account")
	}
	if transfer.Nonce != payer.Nonce {
		code := CodeNonceTooLow
		if transfer.Nonce > payer.Nonce {
			code = CodeNonceTooHigh
		}
		return reject(code, fmt.Sprintf("the nonce is %d, %d is next", transfer.Nonce, payer.Nonce))
	}
	if payer.Balance < transfer.Amount {
		return reject(CodeInsufficientFunds,
			fmt.Sprintf("the balance is %d, the amount %d", payer.Balance, transfer.Amount))
	}
	if payer.Nonce+1 == 0 {
		return reject(CodeOverflow, "the sender's nonce would exceed 64 bits")
	}
	paid := Account{Balance: payer.Balance - transfer.Amount, Nonce: payer.Nonce + 1}
	if transfer.Sender == transfer.Recipient {
		paid.Balance = payer.Balance
		changes[transfer.Sender] = paid
		return Rejection{}, true
	}
	if transfer.Amount > 0 {
		payee, _ := read(transfer.Recipient)
		if payee.Balance+transfer.Amount < payee.Balance {
			return reject(CodeOverflow, "the recipient's balance would exceed 64 bits")
		}
		payee.Balance += transfer.Amount
		changes[transfer.Recipient] = payee
	}
	changes[transfer.Sender] = paid
	return Rejection{}, true
}

func sortByKey(changes []Change) {
	slices.SortFunc(changes, func(one, other Change) int { return bytes.Compare(one.Key[:], other.Key[:]) })
}
