package store

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"metanode.dev/go-master/ledger"
	"metanode.dev/go-master/master"
)

// What is stored. Integers are little-endian, except in keys. The record of a commit is that of the Rust ledger, byte for byte.
//
//	meta      version   1 byte
//	          genesis   chain id 32, state root before the first commit 32
//	          state     last index 8, its digest 32, its epoch 8, state root 32, its timestamp 8
//	          lease     incarnation 8, authority 32 (absent before the first opening)
//	          epoch     number 8, boundary index 8, boundary digest 32, committee digest 32, timestamp 8
//	accounts  key 32    balance 8, nonce 8
//	commits   index 8   digest 32, state root 32, count 4, then each transaction: digest 32, outcome 1 (2 is rejected, and has
//	(big-endian)        code 4, length 2, reason)
var (
	metaBucket     = []byte("meta")
	accountsBucket = []byte("accounts")
	commitsBucket  = []byte("commits")

	versionKey = []byte("version")
	genesisKey = []byte("genesis")
	stateKey   = []byte("state")
	leaseKey   = []byte("lease")
	epochKey   = []byte("epoch")
)

// formatVersion is the only version of the format.
const formatVersion = 1

// Commit is what is kept of an executed commit.
type Commit struct {
	// Index of the commit.
	Index uint64
	// Digest of it.
	Digest ledger.Digest
	// StateRoot after it.
	StateRoot ledger.Digest
	// Results, one a transaction, in execution order.
	Results []ledger.Result
}

// result is what an acknowledgement tells of it.
func (c *Commit) result() master.Result {
	root := master.Digest(c.StateRoot)
	result := master.Result{
		Position:  master.Position{Index: c.Index, Digest: master.Digest(c.Digest)},
		StateRoot: &root,
	}
	for place, transaction := range c.Results {
		if transaction.Outcome == ledger.Rejected {
			result.Rejected = append(result.Rejected, master.Rejected{
				Position: uint32(place),
				Code:     uint32(transaction.Rejection.Code),
				Reason:   transaction.Rejection.Reason,
			})
		}
	}
	return result
}

func (c *Commit) encode() []byte {
	value := make([]byte, 0, 68+33*len(c.Results))
	value = append(value, c.Digest[:]...)
	value = append(value, c.StateRoot[:]...)
	value = binary.LittleEndian.AppendUint32(value, uint32(len(c.Results)))
	for _, result := range c.Results {
		value = append(value, result.Digest[:]...)
		value = append(value, byte(result.Outcome))
		if result.Outcome == ledger.Rejected {
			value = binary.LittleEndian.AppendUint32(value, uint32(result.Rejection.Code))
			value = binary.LittleEndian.AppendUint16(value, uint16(len(result.Rejection.Reason)))
			value = append(value, result.Rejection.Reason...)
		}
	}
	return value
}

func decodeCommit(index uint64, value []byte) (Commit, error) {
	r := fields{rest: value}
	c := Commit{Index: index, Digest: ledger.Digest(r.bytes32()), StateRoot: ledger.Digest(r.bytes32())}
	count := r.uint32()
	for range count {
		result := ledger.Result{Digest: ledger.Digest(r.bytes32()), Outcome: ledger.Outcome(r.take(1)[0])}
		if result.Outcome > ledger.Rejected {
			r.short = true
		}
		if result.Outcome == ledger.Rejected {
			result.Rejection.Code = ledger.Code(r.uint32())
			result.Rejection.Reason = string(r.take(int(r.uint16())))
		}
		if r.short {
			break
		}
		c.Results = append(c.Results, result)
	}
	if !r.whole() {
		return Commit{}, formError(fmt.Sprintf("commit %d", index))
	}
	return c, nil
}

func indexKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func readIndex(key []byte) (uint64, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

func encodeAccount(account ledger.Account) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, account.Balance), account.Nonce)
}

func decodeAccount(value []byte) (ledger.Account, bool) {
	r := fields{rest: value}
	account := ledger.Account{Balance: r.uint64(), Nonce: r.uint64()}
	return account, r.whole()
}

type genesisRecord struct {
	chain     ledger.ChainID
	stateRoot ledger.Digest
}

func (g genesisRecord) encode() []byte {
	return append(append([]byte(nil), g.chain[:]...), g.stateRoot[:]...)
}

func readGenesis(meta *bbolt.Bucket) (genesisRecord, error) {
	r := fields{rest: meta.Get(genesisKey)}
	g := genesisRecord{chain: ledger.ChainID(r.bytes32()), stateRoot: ledger.Digest(r.bytes32())}
	if !r.whole() {
		return g, formError("genesis")
	}
	return g, nil
}

type stateRecord struct {
	position    ledger.Position
	stateRoot   ledger.Digest
	timestampMs uint64
}

func (s stateRecord) encode() []byte {
	value := binary.LittleEndian.AppendUint64(nil, s.position.Index)
	value = append(value, s.position.Digest[:]...)
	value = binary.LittleEndian.AppendUint64(value, s.position.Epoch)
	value = append(value, s.stateRoot[:]...)
	return binary.LittleEndian.AppendUint64(value, s.timestampMs)
}

func readState(meta *bbolt.Bucket) (stateRecord, error) {
	r := fields{rest: meta.Get(stateKey)}
	s := stateRecord{position: ledger.Position{Index: r.uint64(), Digest: ledger.Digest(r.bytes32()), Epoch: r.uint64()}}
	s.stateRoot, s.timestampMs = ledger.Digest(r.bytes32()), r.uint64()
	if !r.whole() {
		return s, formError("state")
	}
	return s, nil
}

func encodeLease(lease master.Lease) []byte {
	value := binary.LittleEndian.AppendUint64(nil, lease.Incarnation)
	if lease.Authority != nil {
		value = append(value, lease.Authority[:]...)
	}
	return value
}

func encodeEpoch(epoch master.Epoch) []byte {
	value := binary.LittleEndian.AppendUint64(nil, epoch.Number)
	value = binary.LittleEndian.AppendUint64(value, epoch.Boundary.Index)
	value = append(value, epoch.Boundary.Digest[:]...)
	value = append(value, epoch.CommitteeDigest[:]...)
	return binary.LittleEndian.AppendUint64(value, epoch.TimestampMs)
}

// readRecorded reads lease and epoch; both are absent before the first opening.
func readRecorded(meta *bbolt.Bucket) (master.State, error) {
	var state master.State
	if value := meta.Get(leaseKey); value != nil {
		r := fields{rest: value}
		state.Lease.Incarnation = r.uint64()
		if len(r.rest) > 0 {
			authority := master.Authority(r.bytes32())
			state.Lease.Authority = &authority
		}
		if !r.whole() {
			return state, formError("lease")
		}
	}
	if value := meta.Get(epochKey); value != nil {
		r := fields{rest: value}
		state.Epoch.Number = r.uint64()
		state.Epoch.Boundary = master.Position{Index: r.uint64(), Digest: master.Digest(r.bytes32())}
		state.Epoch.CommitteeDigest, state.Epoch.TimestampMs = master.Digest(r.bytes32()), r.uint64()
		if !r.whole() {
			return state, formError("epoch")
		}
	}
	return state, nil
}

func checkVersion(meta *bbolt.Bucket) error {
	if version := meta.Get(versionKey); len(version) != 1 || version[0] != formatVersion {
		return fmt.Errorf("the ledger has format %x, this program reads format %d; use the program that wrote it", version, formatVersion)
	}
	return nil
}

func formError(name string) error {
	return fmt.Errorf("the stored value %q is not one of this version; restore the ledger from a copy", name)
}

// fields reads a value field by field; what is missing reads as zero and is noted.
type fields struct {
	rest  []byte
	short bool
}

// take never returns less than count bytes. count is at most 65,535.
func (f *fields) take(count int) []byte {
	if len(f.rest) < count {
		f.short, f.rest = true, nil
		return make([]byte, count)
	}
	taken := f.rest[:count]
	f.rest = f.rest[count:]
	return taken
}

func (f *fields) bytes32() [32]byte { return [32]byte(f.take(32)) }
func (f *fields) uint16() uint16    { return binary.LittleEndian.Uint16(f.take(2)) }
func (f *fields) uint32() uint32    { return binary.LittleEndian.Uint32(f.take(4)) }
func (f *fields) uint64() uint64    { return binary.LittleEndian.Uint64(f.take(8)) }

// whole is true where nothing was missing and nothing is left.
func (f *fields) whole() bool { return !f.short && len(f.rest) == 0 }
