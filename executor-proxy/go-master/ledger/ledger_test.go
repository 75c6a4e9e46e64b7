package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

var testChain = ChainID{1}

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func account(seed byte) AccountKey { return AccountKey(key(seed).Public().(ed25519.PublicKey)) }

func transfer(from, to byte, amount, nonce uint64) []byte {
	t := Transfer{Chain: testChain, Recipient: account(to), Amount: amount, Nonce: nonce}
	bytes, err := t.Sign(key(from))
	if err != nil {
		panic(err)
	}
	return bytes
}

func next(l *Ledger, transactions ...[]byte) *Commit {
	position := l.Position()
	commit := &Commit{Index: position.Index + 1, PreviousDigest: position.Digest, Digest: Digest{byte(position.Index + 1)}}
	for _, bytes := range transactions {
		commit.Transactions = append(commit.Transactions, Transaction{Bytes: bytes})
	}
	return commit
}

func mustExecute(t *testing.T, l *Ledger, transactions ...[]byte) Execution {
	t.Helper()
	execution, err := l.Execute(next(l, transactions...))
	if err != nil {
		t.Fatal(err)
	}
	return execution
}

func TestEachTransactionHasItsCode(t *testing.T) {
	signed := transfer(1, 2, 1, 0)
	forged := bytes.Clone(signed)
	forged[len(forged)-64] ^= 1
	otherChain := bytes.Clone(signed)
	otherChain[1] ^= 1
	for name, c := range map[string]struct {
		bytes []byte
		code  Code
	}{
		"executed":        {signed, 0},
		"empty":           {nil, CodeMalformed},
		"trailing":        {append(bytes.Clone(signed), 0), CodeMalformed},
		"other chain":     {otherChain, CodeWrongChain},
		"forged":          {forged, CodeBadSignature},
		"unknown sender":  {transfer(9, 2, 0, 0), CodeUnknownSender},
		"used nonce":      {transfer(3, 2, 0, math.MaxUint64-1), CodeNonceTooLow},
		"missing nonce":   {transfer(1, 2, 0, 1), CodeNonceTooHigh},
		"one too much":    {transfer(1, 2, 101, 0), CodeInsufficientFunds},
		"all of it":       {transfer(1, 2, 100, 0), 0},
		"no nonce left":   {transfer(3, 2, 0, math.MaxUint64), CodeOverflow},
		"recipient full":  {transfer(1, 4, 1, 0), CodeOverflow},
		"nothing to full": {transfer(1, 4, 0, 0), 0},
		"to itself":       {transfer(1, 1, 100, 0), 0},
		"more to itself":  {transfer(1, 1, 101, 0), CodeInsufficientFunds},
	} {
		t.Run(name, func(t *testing.T) {
			l := Restore(testChain, Position{}, []Change{
				{account(1), Account{Balance: 100}},
				{account(3), Account{Nonce: math.MaxUint64}},
				{account(4), Account{Balance: math.MaxUint64}},
			})
			execution := mustExecute(t, l, c.bytes)
			if got := execution.Results[0].Rejection.Code; got != c.code {
				t.Fatalf("the code is %s, want %s", got, c.code)
			}
			if c.code != 0 && len(execution.Changes) != 0 {
				t.Fatalf("a rejected transfer changed %v", execution.Changes)
			}
		})
	}
}

func TestOnlyTheNextCommitOfTheChainExecutes(t *testing.T) {
	l, err := New(testChain, []Balance{{account(1), 100}})
	if err != nil {
		t.Fatal(err)
	}
	mustExecute(t, l, transfer(1, 2, 1, 0))
	root := l.StateRoot()
	for _, index := range []uint64{0, 1, 3, math.MaxUint64} {
		c := next(l)
		c.Index = index
		_, err := l.Execute(c)
		if notNext := (*NotNextError)(nil); !errors.As(err, &notNext) || notNext.Expected != 2 {
			t.Errorf("commit %d: %v", index, err)
		}
	}
	c := next(l)
	c.PreviousDigest = Digest{9}
	_, err = l.Execute(c)
	if predecessor := (*OtherPredecessorError)(nil); !errors.As(err, &predecessor) || predecessor.Index != 1 {
		t.Errorf("%v", err)
	}
	if l.StateRoot() != root {
		t.Fatal("a refused commit changed the state")
	}
	l = Restore(testChain, Position{Index: math.MaxUint64}, nil)
	if _, err := l.Execute(&Commit{}); err == nil {
		t.Fatal("there is no index left")
	}
}

func TestGenesisRefusesAnAccountThatIsListedTwice(t *testing.T) {
	if _, err := New(testChain, []Balance{{account(1), 1}, {account(1), 1}}); err == nil {
		t.Fatal("it was taken")
	}
}

// TestOneBadSignatureAmongManyIsFound has the batch verifier fall back, at the borders of its batches too.
func TestOneBadSignatureAmongManyIsFound(t *testing.T) {
	const count = 3 * batchSize
	for _, bad := range []int{0, batchSize - 1, batchSize, count - 1} {
		l, err := New(testChain, []Balance{{account(1), count}})
		if err != nil {
			t.Fatal(err)
		}
		var transactions [][]byte
		var nonce uint64
		for place := range count {
			bytes := transfer(1, 2, 1, nonce)
			if place == bad {
				bytes[len(bytes)-1] ^= 1
			} else {
				nonce++
			}
			transactions = append(transactions, bytes)
		}
		for place, result := range mustExecute(t, l, transactions...).Results {
			if (result.Rejection.Code == CodeBadSignature) != (place == bad) {
				t.Fatalf("with %d forged, transaction %d is %v", bad, place, result)
			}
		}
	}
}

// TestTheIncrementalRootIsTheRootFromScratch changes accounts at random, to nothing too.
func TestTheIncrementalRootIsTheRootFromScratch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	accounts, tree := newAccounts(), newTree()
	for range 30 {
		changed := make(map[uint16]bool)
		for range 1 + random.IntN(40) {
			key := AccountKey{0: byte(random.IntN(100)), 31: 1}
			changed[accounts.set(key, Account{Balance: random.Uint64N(2), Nonce: random.Uint64N(2)})] = true
		}
		tree.update(&accounts, changed)
		var stored []Change
		for key, account := range accounts.byKey {
			stored = append(stored, Change{key, account})
		}
		scratch := Restore(testChain, Position{}, stored)
		for level := range tree.levels {
			for place, hash := range tree.levels[level] {
				if scratch.tree.levels[level][place] != hash {
					t.Fatalf("node %d of level %d differs", place, level)
				}
			}
		}
	}
}

func TestAMemoHasALimit(t *testing.T) {
	body := Transfer{Chain: testChain, Memo: make([]byte, MaxMemoBytes)}
	whole, err := body.Sign(key(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeTransfer(whole); err != nil {
		t.Fatal(err)
	}
	body.Memo = make([]byte, MaxMemoBytes+1)
	if _, err := body.Sign(key(1)); err == nil {
		t.Fatal("it was signed")
	}
	long := bytes.Clone(whole)
	long[113]++
	if _, err := DecodeTransfer(append(long, 0)); err == nil || !strings.Contains(err.Error(), "memo has 1048577") {
		t.Fatalf("%v", err)
	}
}

// FuzzTransfer: whatever the bytes are, they are a transfer that signs and encodes to the same, or a reason that fits.
func FuzzTransfer(f *testing.F) {
	whole := transfer(1, 2, 3, 4)
	f.Add(whole)
	f.Add([]byte{})
	f.Add(append(bytes.Clone(whole), 0))
	f.Add(bytes.Repeat([]byte{0xff}, 200))
	for _, end := range []int{1, 33, 65, 97, 105, 113, 117, 180} {
		f.Add(whole[:end])
		f.Add(whole[:end-1])
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		transfer, err := DecodeTransfer(bytes)
		if err != nil {
			if reason := err.Error(); reason == "" || len(reason) > MaxReasonBytes {
				t.Fatalf("the reason is %q", reason)
			}
			return
		}
		if len(bytes) != MinTransferBytes+len(transfer.Memo) {
			t.Fatalf("%d bytes were read as %+v", len(bytes), transfer)
		}
		transfer.Verify()
	})
}
