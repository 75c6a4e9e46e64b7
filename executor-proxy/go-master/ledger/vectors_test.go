package ledger_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"metanode.dev/go-master/ledger"
)

// vectors is where the Rust ledger writes and reads the same files.
const vectors = "../../reference/vectors"

// hexBytes is lower-case hex in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(text []byte) error {
	var digits string
	if err := json.Unmarshal(text, &digits); err != nil {
		return err
	}
	decoded, err := hex.DecodeString(digits)
	*h = decoded
	return err
}

type vector struct {
	Description string   `json:"description"`
	ChainID     hexBytes `json:"chain_id"`
	Accounts    []struct {
		PublicKey hexBytes `json:"public_key"`
		Balance   uint64   `json:"balance"`
	} `json:"accounts"`
	GenesisStateRoot hexBytes       `json:"genesis_state_root"`
	Commits          []commitVector `json:"commits"`
}

type commitVector struct {
	Index          uint64   `json:"index"`
	Epoch          uint64   `json:"epoch"`
	PreviousDigest hexBytes `json:"previous_digest"`
	Digest         hexBytes `json:"digest"`
	TimestampMs    uint64   `json:"timestamp_ms"`
	Transactions   []struct {
		Bytes     hexBytes `json:"bytes"`
		Duplicate bool     `json:"duplicate"`
	} `json:"transactions"`
	Results []struct {
		Digest  hexBytes `json:"digest"`
		Outcome string   `json:"outcome"`
		Code    uint32   `json:"code"`
	} `json:"results"`
	Changes []struct {
		PublicKey hexBytes `json:"public_key"`
		Balance   uint64   `json:"balance"`
		Nonce     uint64   `json:"nonce"`
	} `json:"changes"`
	StateRoot hexBytes `json:"state_root"`
}

func read(t *testing.T, path string) vector {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var v vector
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vector) ledger(t *testing.T) *ledger.Ledger {
	t.Helper()
	var balances []ledger.Balance
	for _, account := range v.Accounts {
		balances = append(balances, ledger.Balance{Key: ledger.AccountKey(account.PublicKey), Balance: account.Balance})
	}
	l, err := ledger.New(ledger.ChainID(v.ChainID), balances)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (c *commitVector) commit() *ledger.Commit {
	commit := &ledger.Commit{
		Index: c.Index, Epoch: c.Epoch,
		PreviousDigest: ledger.Digest(c.PreviousDigest), Digest: ledger.Digest(c.Digest),
	}
	for _, transaction := range c.Transactions {
		commit.Transactions = append(commit.Transactions,
			ledger.Transaction{Bytes: transaction.Bytes, Duplicate: transaction.Duplicate})
	}
	return commit
}

// TestVectorsHold compares results, changes and state roots with those that the Rust ledger wrote.
func TestVectorsHold(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(vectors, "*.json"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d vectors in %s, at least 3 are expected (%v)", len(paths), vectors, err)
	}
	codes := make(map[uint32]bool)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			v := read(t, path)
			l := v.ledger(t)
			if root := l.StateRoot(); !bytes.Equal(root[:], v.GenesisStateRoot) {
				t.Fatalf("genesis state root is %s, want %x", root, v.GenesisStateRoot)
			}
			for _, c := range v.Commits {
				execution, err := l.Execute(c.commit())
				if err != nil {
					t.Fatal(err)
				}
				compare(t, &c, &execution)
				for _, result := range execution.Results {
					codes[uint32(result.Rejection.Code)] = true
				}
			}
			restored := ledger.Restore(ledger.ChainID(v.ChainID), l.Position(), l.Accounts())
			if restored.StateRoot() != l.StateRoot() {
				t.Errorf("restored root is %s, want %s", restored.StateRoot(), l.StateRoot())
			}
		})
	}
	if len(codes) != 9 {
		t.Errorf("the vectors give the codes %v, all from 0 to 8 are expected", codes)
	}
}

func compare(t *testing.T, c *commitVector, execution *ledger.Execution) {
	t.Helper()
	if len(execution.Results) != len(c.Results) || len(execution.Changes) != len(c.Changes) {
		t.Fatalf("commit %d: %d results and %d changes, want %d and %d", c.Index,
			len(execution.Results), len(execution.Changes), len(c.Results), len(c.Changes))
	}
	for place, want := range c.Results {
		got := execution.Results[place]
		if !bytes.Equal(got.Digest[:], want.Digest) || got.Outcome.String() != want.Outcome ||
			uint32(got.Rejection.Code) != want.Code {
			t.Errorf("commit %d, transaction %d: %+v, want %+v", c.Index, place, got, want)
		}
		if got.Outcome == ledger.Rejected && (got.Rejection.Reason == "" || len(got.Rejection.Reason) > ledger.MaxReasonBytes) {
			t.Errorf("commit %d, transaction %d: reason %q", c.Index, place, got.Rejection.Reason)
		}
	}
	for place, want := range c.Changes {
		got := execution.Changes[place]
		if !bytes.Equal(got.Key[:], want.PublicKey) || got.Account.Balance != want.Balance || got.Account.Nonce != want.Nonce {
			t.Errorf("commit %d, change %d: %+v, want %+v", c.Index, place, got, want)
		}
	}
	if !bytes.Equal(execution.StateRoot[:], c.StateRoot) {
		t.Errorf("commit %d: state root %s, want %x", c.Index, execution.StateRoot, c.StateRoot)
	}
}
