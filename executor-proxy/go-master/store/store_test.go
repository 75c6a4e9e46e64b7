package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"metanode.dev/go-master/internal/testkit"
	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/master"
)

var background = context.Background()

func testGenesis() Genesis {
	return Genesis{
		Chain:     testkit.Chain,
		Accounts:  []ledger.Balance{{Key: testkit.Account(1), Balance: testkit.Balance}},
		Committee: []master.Member{{Stake: 1, ProtocolKey: testkit.Authority}},
	}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, testGenesis())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// commit at an index of the honest chain, from an incarnation.
func commit(index, incarnation uint64) master.Commit {
	return master.Commit{
		Index: index, PreviousDigest: testkit.Digest(index - 1), Digest: testkit.Digest(index), TimestampMs: 100 + index,
		Transactions: []master.Transaction{{Bytes: testkit.Transfer(1, index-1)}, {Bytes: []byte("junk")}, {Duplicate: true}},
		Incarnation:  incarnation,
	}
}

func mustExecute(t *testing.T, s *Store, commit master.Commit) master.Result {
	t.Helper()
	result, err := s.Execute(background, commit)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func sync(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Sync(background); err != nil {
		t.Fatal(err)
	}
}

func last(t *testing.T, s *Store) master.Last {
	t.Helper()
	l, err := s.Last(background)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestS01WhatWasSyncedIsThereAndWhatWasNotIsNot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var results []master.Result
	for index := uint64(1); index <= 3; index++ {
		results = append(results, mustExecute(t, s, commit(index, 0)))
	}
	sync(t, s)
	mustExecute(t, s, commit(4, 0))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	l := last(t, s)
	if l.Position != (master.Position{Index: 3, Digest: testkit.Digest(3)}) || *l.StateRoot != *results[2].StateRoot || l.TimestampMs != 103 {
		t.Fatalf("it stands at %+v", l)
	}
	for _, result := range results {
		kept, err := s.Executed(background, result.Position.Index)
		if err != nil || !reflect.DeepEqual(kept, result) || len(kept.Rejected) != 1 {
			t.Fatalf("%+v and %v, want %+v", kept, err, result)
		}
	}
	if _, err := s.Executed(background, 4); !errors.Is(err, master.ErrNotKept) {
		t.Fatalf("commit 4 was not synced: %v", err)
	}
	again := mustExecute(t, s, commit(4, 0))
	sync(t, s)
	if kept, err := s.Executed(background, 4); err != nil || !reflect.DeepEqual(kept, again) {
		t.Fatalf("%+v and %v", kept, err)
	}
}

func TestExecuteComparesAndSets(t *testing.T) {
	s := open(t, t.TempDir())
	mustExecute(t, s, commit(1, 0))
	root := s.ledger.StateRoot()
	gap, twice, fork, stranger := commit(3, 0), commit(1, 0), commit(2, 0), commit(2, 1)
	fork.PreviousDigest = testkit.Other
	for name, c := range map[string]master.Commit{
		"D08 a gap": gap, "D09 the same again": twice, "D07 another predecessor": fork, "D12 another incarnation": stranger,
	} {
		if _, err := s.Execute(background, c); err == nil {
			t.Errorf("%s was executed", name)
		}
	}
	if s.ledger.StateRoot() != root || len(s.noted.commits) != 1 {
		t.Fatal("a refused commit changed something")
	}
	mustExecute(t, s, commit(2, 0))
	sync(t, s)
}

func TestD12LeaseAndEpochAreThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	authority := master.Authority(testkit.Authority)
	for _, state := range []master.State{
		{Lease: master.Lease{Incarnation: 1}},
		{
			Lease: master.Lease{Incarnation: 7, Authority: &authority},
			Epoch: master.Epoch{
				Number: 2, Boundary: master.Position{Index: 5, Digest: testkit.Digest(5)},
				CommitteeDigest: testkit.Other, TimestampMs: 9,
			},
		},
	} {
		if err := s.Record(background, state); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		if got := last(t, s).State; !reflect.DeepEqual(got, state) {
			t.Fatalf("%+v, want %+v", got, state)
		}
	}
	mustExecute(t, s, commit(1, 7))
}

func TestS04AccountsThatDoNotHashToTheRootAreFound(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	mustExecute(t, s, commit(1, 0))
	sync(t, s)
	key := testkit.Account(2)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(accountsBucket).Put(key[:], encodeAccount(ledger.Account{Balance: 1000}))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, dir, testGenesis(), "hash to")
}

func TestS03SomebodyElseWroteTheFile(t *testing.T) {
	s := open(t, t.TempDir())
	mustExecute(t, s, commit(1, 0))
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(stateKey, stateRecord{position: ledger.Position{Index: 9}}.encode())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(background); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Fatalf("the state at 9 was overwritten: %v", err)
	}
}

func TestS08ASecondOpeningOfAFolderIsRefusedAndNamesTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir, testGenesis())
	if inUse := (*InUseError)(nil); !errors.As(err, &inUse) || inUse.Process == "unknown" {
		t.Fatalf("%v", err)
	}
	if err := Read(dir, 1, 9, nil); err == nil {
		t.Fatal("a ledger in use was read")
	}
	mustExecute(t, s, commit(1, 0))
	sync(t, s)
}

func TestS10AnotherVersionChainOrGenesisIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	chain, accounts := testGenesis(), testGenesis()
	chain.Chain = testkit.Other
	accounts.Accounts[0].Balance++
	wantRefused(t, dir, chain, "belongs to chain")
	wantRefused(t, dir, accounts, "accounts were edited")
	s := open(t, dir)
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(versionKey, []byte{2}) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, dir, testGenesis(), "has format 02")
}

func wantRefused(t *testing.T, dir string, genesis Genesis, problem string) {
	t.Helper()
	s, err := Open(dir, genesis)
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), problem) {
		t.Fatalf("%v, want one with %q", err, problem)
	}
}

func TestReadGivesCommitsInOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for index := uint64(1); index <= 300; index++ {
		mustExecute(t, s, commit(index, 0))
	}
	sync(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var indexes []uint64
	err := Read(dir, 255, 258, func(c Commit) error {
		indexes = append(indexes, c.Index)
		return nil
	})
	if err != nil || !reflect.DeepEqual(indexes, []uint64{255, 256, 257, 258}) {
		t.Fatalf("%v and %v", indexes, err)
	}
	empty := t.TempDir()
	if err := Read(empty, 1, 2, nil); err == nil || !strings.Contains(err.Error(), "there is no ledger") {
		t.Fatalf("%v", err)
	}
	if entries, _ := os.ReadDir(empty); len(entries) != 0 {
		t.Fatalf("reading made %v", entries)
	}
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
}

func golden() Commit {
	fill := func(value byte) (digest [32]byte) { return [32]byte(bytes.Repeat([]byte{value}, 32)) }
	return Commit{
		Index: 7, Digest: fill(1), StateRoot: fill(2),
		Results: []ledger.Result{
			{Digest: fill(3), Outcome: ledger.Executed},
			{Digest: fill(4), Outcome: ledger.Duplicate},
			{Digest: fill(5), Outcome: ledger.Rejected, Rejection: ledger.Rejection{Code: 6, Reason: "no"}},
		},
	}
}

// TestAStoredCommitHasTheBytesOfTheRustLedger pins the bytes that the Rust ledger's own test pins.
func TestAStoredCommitHasTheBytesOfTheRustLedger(t *testing.T) {
	c := golden()
	value := c.encode()
	want := strings.Repeat("01", 32) + strings.Repeat("02", 32) + "03000000" + strings.Repeat("03", 32) + "00" +
		strings.Repeat("04", 32) + "01" + strings.Repeat("05", 32) + "020600000002006e6f"
	if got := hex.EncodeToString(value); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	if back, err := decodeCommit(7, value); err != nil || !reflect.DeepEqual(back, c) {
		t.Fatalf("%+v and %v", back, err)
	}
	for end := range value {
		if _, err := decodeCommit(7, value[:end]); err == nil {
			t.Fatalf("cut at %d it was read", end)
		}
	}
}

// FuzzStoredCommit: whatever is in the file, it is read as a commit with the same bytes, or refused.
func FuzzStoredCommit(f *testing.F) {
	c := golden()
	f.Add(c.encode())
	f.Add([]byte{})
	f.Add(append(make([]byte, 64), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := decodeCommit(1, value)
		if err == nil && !bytes.Equal(c.encode(), value) {
			t.Fatalf("%x is read as %x", value, c.encode())
		}
	})
}
