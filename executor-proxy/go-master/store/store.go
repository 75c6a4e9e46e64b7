// Package store keeps the reference ledger in one bbolt file and makes it a master.Executor: the example of one.
//
// bbolt, because one transaction is one atomic, fsynced write without a log to replay, and its file is locked by the process that
// has it open; group commit makes up for its two syncs a transaction.
//
// Accounts and the tree of the state root are in memory, about 300 bytes an account. Execute changes them there and notes what is to
// be written; Sync writes everything noted since the last Sync in one transaction, so that the stored state is always that
// after some commit, whole.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/master"
)

// fileName of the database in its folder.
const fileName = "ledger.db"

// Genesis is what a ledger is made from.
type Genesis struct {
	// Chain that the ledger belongs to.
	Chain master.ChainID
	// Accounts at the start.
	Accounts []ledger.Balance
	// Committee of epoch 0.
	Committee []master.Member
}

// Store is the durable reference ledger. It has the folder for itself until Close.
type Store struct {
	db        *bbolt.DB
	lock      *lock
	ledger    *ledger.Ledger
	committee []master.Member
	last      master.Last
	// stored is the position in the file, as the next transaction must find it.
	stored ledger.Position
	// noted is what Sync writes.
	noted noted
}

var _ master.Executor = (*Store)(nil)

// noted is what was executed since the last Sync.
type noted struct {
	accounts map[ledger.AccountKey]ledger.Account
	commits  []Commit
	// timestampMs of the last of them.
	timestampMs uint64
}

// Open opens the ledger in a folder, or makes it from genesis. It refuses a folder that another process has open, a ledger of
// another chain or genesis, one of another version, and one whose accounts do not hash to the stored root.
func Open(dir string, genesis Genesis) (*Store, error) {
	if err := makeFolder(dir, syncDir); err != nil {
		return nil, err
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, committee: genesis.Committee, noted: noted{accounts: map[ledger.AccountKey]ledger.Account{}}}
	if err := s.open(dir, genesis); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(dir string, genesis Genesis) error {
	fresh, err := ledger.New(ledger.ChainID(genesis.Chain), genesis.Accounts)
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if s.db, err = openFile(dir, false); err != nil {
		return err
	}
	record := genesisRecord{chain: ledger.ChainID(genesis.Chain), stateRoot: fresh.StateRoot()}
	if err := s.db.Update(func(tx *bbolt.Tx) error { return initialize(tx, record, fresh) }); err != nil {
		return err
	}
	// The file's name is durable only with its folder.
	if err := syncDir(dir); err != nil {
		return err
	}
	return s.db.View(func(tx *bbolt.Tx) error { return s.load(tx) })
}

func openFile(dir string, readOnly bool) (*bbolt.DB, error) {
	options := &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly}
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, options)
	if err != nil {
		return nil, fmt.Errorf("open the ledger in %s: %w", dir, err)
	}
	return db, nil
}

// initialize writes genesis into a new file, whole, or compares it with that of an old one.
func initialize(tx *bbolt.Tx, configured genesisRecord, fresh *ledger.Ledger) error {
	meta := tx.Bucket(metaBucket)
	if meta != nil {
		if err := checkVersion(meta); err != nil {
			return err
		}
		stored, err := readGenesis(meta)
		if err != nil {
			return err
		}
		if stored.chain != configured.chain {
			return fmt.Errorf("the ledger belongs to chain %s, the genesis file to %s; use the data folder of this network",
				stored.chain, configured.chain)
		}
		if stored.stateRoot != configured.stateRoot {
			return fmt.Errorf("the ledger began with state root %s, the genesis file gives %s; its accounts were edited",
				stored.stateRoot, configured.stateRoot)
		}
		return nil
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	accounts, err := tx.CreateBucket(accountsBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(commitsBucket); err != nil {
		return err
	}
	for _, account := range fresh.Accounts() {
		if err := accounts.Put(account.Key[:], encodeAccount(account.Account)); err != nil {
			return err
		}
	}
	return errors.Join(
		meta.Put(versionKey, []byte{formatVersion}),
		meta.Put(genesisKey, configured.encode()),
		meta.Put(stateKey, stateRecord{stateRoot: configured.stateRoot}.encode()),
	)
}

func (s *Store) load(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	genesis, err := readGenesis(meta)
	if err != nil {
		return err
	}
	state, err := readState(meta)
	if err != nil {
		return err
	}
	var accounts []ledger.Change
	err = tx.Bucket(accountsBucket).ForEach(func(key, value []byte) error {
		account, ok := decodeAccount(value)
		if len(key) != 32 || !ok {
			return formError("account")
		}
		accounts = append(accounts, ledger.Change{Key: ledger.AccountKey(key), Account: account})
		return nil
	})
	if err != nil {
		return err
	}
	s.ledger = ledger.Restore(genesis.chain, state.position, accounts)
	if root := s.ledger.StateRoot(); root != state.stateRoot {
		return fmt.Errorf("the accounts at commit %d hash to %s, stored is %s; set the ledger aside and restore a copy",
			state.position.Index, root, state.stateRoot)
	}
	recorded, err := readRecorded(meta)
	if err != nil {
		return err
	}
	root := master.Digest(state.stateRoot)
	s.stored = state.position
	s.last = master.Last{
		Position:    master.Position{Index: state.position.Index, Digest: master.Digest(state.position.Digest)},
		StateRoot:   &root,
		TimestampMs: state.timestampMs,
		State:       recorded,
	}
	return nil
}

// Close lets go of the folder. What was not synced is lost.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, s.lock.release())
}

// Last implements master.Executor.
func (s *Store) Last(context.Context) (master.Last, error) { return s.last, nil }

// Committee implements master.Executor. The reference ledger has no epochs of its own: it knows the committee of genesis.
func (s *Store) Committee(_ context.Context, epoch uint64) ([]master.Member, error) {
	if epoch != 0 {
		return nil, master.ErrUnknownEpoch
	}
	return s.committee, nil
}

// Execute implements master.Executor.
func (s *Store) Execute(_ context.Context, commit master.Commit) (master.Result, error) {
	if current := s.last.State.Lease.Incarnation; commit.Incarnation != current {
		return master.Result{}, fmt.Errorf("commit %d comes from incarnation %d, recorded is %d",
			commit.Index, commit.Incarnation, current)
	}
	transactions := make([]ledger.Transaction, len(commit.Transactions))
	for place, transaction := range commit.Transactions {
		transactions[place] = ledger.Transaction(transaction)
	}
	// The ledger compares index and previous digest with those of its last commit, and changes nothing if they differ.
	execution, err := s.ledger.Execute(&ledger.Commit{
		Index:          commit.Index,
		Epoch:          commit.Epoch,
		PreviousDigest: ledger.Digest(commit.PreviousDigest),
		Digest:         ledger.Digest(commit.Digest),
		Transactions:   transactions,
	})
	if err != nil {
		return master.Result{}, err
	}
	for _, change := range execution.Changes {
		s.noted.accounts[change.Key] = change.Account
	}
	executed := Commit{
		Index:     commit.Index,
		Digest:    ledger.Digest(commit.Digest),
		StateRoot: execution.StateRoot,
		Results:   execution.Results,
	}
	s.noted.commits = append(s.noted.commits, executed)
	s.noted.timestampMs = commit.TimestampMs
	return executed.result(), nil
}

// Sync implements master.Executor.
func (s *Store) Sync(context.Context) error {
	if len(s.noted.commits) == 0 {
		return nil
	}
	state := stateRecord{position: s.ledger.Position(), stateRoot: s.ledger.StateRoot(), timestampMs: s.noted.timestampMs}
	// bbolt syncs the file before Update returns.
	if err := s.db.Update(func(tx *bbolt.Tx) error { return s.write(tx, state) }); err != nil {
		return err
	}
	s.stored = state.position
	s.noted = noted{accounts: make(map[ledger.AccountKey]ledger.Account)}
	return nil
}

func (s *Store) write(tx *bbolt.Tx, state stateRecord) error {
	meta := tx.Bucket(metaBucket)
	found, err := readState(meta)
	if err != nil {
		return err
	}
	if found.position != s.stored {
		return fmt.Errorf("the file stands at commit %d, this process left it at %d: somebody else wrote to it",
			found.position.Index, s.stored.Index)
	}
	accounts := tx.Bucket(accountsBucket)
	for key, account := range s.noted.accounts {
		if err := accounts.Put(key[:], encodeAccount(account)); err != nil {
			return err
		}
	}
	commits := tx.Bucket(commitsBucket)
	// Keys only ever rise: full pages, not half full ones.
	commits.FillPercent = 1
	for _, commit := range s.noted.commits {
		if err := commits.Put(indexKey(commit.Index), commit.encode()); err != nil {
			return err
		}
	}
	return meta.Put(stateKey, state.encode())
}

// Executed implements master.Executor. Nothing is ever pruned.
func (s *Store) Executed(_ context.Context, index uint64) (master.Result, error) {
	var result master.Result
	err := s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(commitsBucket).Get(indexKey(index))
		if value == nil {
			return master.ErrNotKept
		}
		commit, err := decodeCommit(index, value)
		result = commit.result()
		return err
	})
	return result, err
}

// Record implements master.Executor.
func (s *Store) Record(_ context.Context, state master.State) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		return errors.Join(
			meta.Put(leaseKey, encodeLease(state.Lease)),
			meta.Put(epochKey, encodeEpoch(state.Epoch)),
		)
	})
	if err == nil {
		s.last.State = state
	}
	return err
}

// Read reads the commits of a ledger from one index to another, both included, in order. The folder must not be open elsewhere.
func Read(dir string, from, to uint64, each func(Commit) error) error {
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no ledger in %s; it is the data folder of a master", dir)
		}
		return err
	}
	lock, err := acquire(dir)
	if err != nil {
		return err
	}
	db, err := openFile(dir, true)
	if err != nil {
		return errors.Join(err, lock.release())
	}
	err = db.View(func(tx *bbolt.Tx) error {
		commits := tx.Bucket(commitsBucket)
		if commits == nil {
			return nil
		}
		cursor := commits.Cursor()
		for key, value := cursor.Seek(indexKey(from)); key != nil; key, value = cursor.Next() {
			index, ok := readIndex(key)
			if !ok {
				return formError("commit")
			}
			if index > to {
				return nil
			}
			commit, err := decodeCommit(index, value)
			if err != nil {
				return err
			}
			if err := each(commit); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close(), lock.release())
}
