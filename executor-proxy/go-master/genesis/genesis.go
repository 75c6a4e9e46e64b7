// Package genesis reads the genesis file: what all authorities and executors of a network agree on before its first block.
package genesis

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/BurntSushi/toml"

	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/master"
)

// Genesis is what a master takes from the file.
type Genesis struct {
	// Name of the network, for people.
	Name string
	// Chain.
	Chain master.ChainID
	// TimestampMs of the genesis blocks, in milliseconds since the Unix epoch.
	TimestampMs uint64
	// Limits of commits.
	Limits master.Limits
	// Committee of epoch 0, sorted by protocol key.
	Committee []master.Member
	// Accounts of the reference ledger at the start.
	Accounts []ledger.Balance
}

// file is the whole file, as consensus-svc writes it. Other keys are mistakes.
type file struct {
	ChainID     string      `toml:"chain_id"`
	Name        string      `toml:"name"`
	TimestampMs uint64      `toml:"timestamp_ms"`
	Parameters  parameters  `toml:"parameters"`
	Authorities []authority `toml:"authorities"`
	Accounts    []account   `toml:"accounts"`
}

// parameters that a master does not use are named, so that a key with a typing mistake is found.
type parameters struct {
	LeadersPerRound       *uint64 `toml:"leaders_per_round"`
	GCDepth               *uint64 `toml:"gc_depth"`
	HeartbeatIntervalMs   *uint64 `toml:"heartbeat_interval_ms"`
	HeartbeatRounds       *uint64 `toml:"heartbeat_rounds"`
	MaxCommitTransactions *uint64 `toml:"max_commit_transactions"`
	MaxCommitBytes        *uint64 `toml:"max_commit_bytes"`
	MaxBlockTransactions  *uint64 `toml:"max_block_transactions"`
	MaxBlockBytes         *uint64 `toml:"max_block_bytes"`
	MaxTransactionBytes   *uint64 `toml:"max_transaction_bytes"`
	DuplicateWindowMs     *uint64 `toml:"duplicate_window_ms"`
	MaxDuplicateEntries   *uint64 `toml:"max_duplicate_entries"`
	ScheduleWindowRounds  *uint64 `toml:"schedule_window_rounds"`
	RootInterval          *uint64 `toml:"root_interval"`
}

type authority struct {
	Stake       uint64 `toml:"stake"`
	ProtocolKey string `toml:"protocol_key"`
	NetworkKey  string `toml:"network_key"`
	Address     string `toml:"address"`
}

type account struct {
	PublicKey string `toml:"public_key"`
	Balance   uint64 `toml:"balance"`
}

// Read reads and checks the file at path. The error names every mistake.
func Read(path string) (*Genesis, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	genesis, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no genesis file: %w", path, err)
	}
	return genesis, nil
}

// Parse reads the text of a genesis file.
func Parse(text []byte) (*Genesis, error) {
	var f file
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&f)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, key := range meta.Undecoded() {
		problems = append(problems, fmt.Errorf("unknown key %s", key))
	}
	key := func(place, text string) (key [32]byte) {
		decoded, err := hex.DecodeString(text)
		if err != nil || len(decoded) != 32 {
			problems = append(problems, fmt.Errorf("%s is not 64 hex digits", place))
			return key
		}
		return [32]byte(decoded)
	}
	genesis := &Genesis{Name: f.Name, Chain: key("chain_id", f.ChainID), TimestampMs: f.TimestampMs, Limits: f.Parameters.limits()}
	for place, a := range f.Authorities {
		genesis.Committee = append(genesis.Committee, master.Member{
			Stake:       a.Stake,
			ProtocolKey: key(fmt.Sprintf("authorities[%d].protocol_key", place), a.ProtocolKey),
			NetworkKey:  key(fmt.Sprintf("authorities[%d].network_key", place), a.NetworkKey),
			Address:     a.Address,
		})
	}
	seen := make(map[ledger.AccountKey]bool)
	for place, a := range f.Accounts {
		holder := ledger.AccountKey(key(fmt.Sprintf("accounts[%d].public_key", place), a.PublicKey))
		if seen[holder] {
			problems = append(problems, fmt.Errorf("accounts[%d] is there twice", place))
		}
		seen[holder] = true
		genesis.Accounts = append(genesis.Accounts, ledger.Balance{Key: holder, Balance: a.Balance})
	}
	if len(genesis.Committee) == 0 {
		problems = append(problems, errors.New("authorities is empty"))
	}
	for place := 1; place < len(genesis.Committee); place++ {
		one, next := genesis.Committee[place-1].ProtocolKey, genesis.Committee[place].ProtocolKey
		if bytes.Compare(one[:], next[:]) >= 0 {
			problems = append(problems, errors.New("authorities are not sorted by protocol key, or one is there twice"))
			break
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return genesis, nil
}

func (p *parameters) limits() master.Limits {
	limits := master.DefaultLimits
	for _, parameter := range []struct {
		value  *uint64
		target *uint64
	}{
		{p.MaxCommitTransactions, &limits.CommitTransactions},
		{p.MaxCommitBytes, &limits.CommitBytes},
		{p.MaxTransactionBytes, &limits.TransactionBytes},
	} {
		if parameter.value != nil {
			*parameter.target = *parameter.value
		}
	}
	return limits
}

// Has tells whether an authority is a member of the committee of epoch 0.
func (g *Genesis) Has(authority master.Authority) bool {
	for _, member := range g.Committee {
		if member.ProtocolKey == authority {
			return true
		}
	}
	return false
}
