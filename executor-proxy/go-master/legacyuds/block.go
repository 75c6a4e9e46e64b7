package legacyuds

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
	"google.golang.org/protobuf/proto"

	legacyv1 "metanode.dev/go-master/gen/metanode/legacy/v1"
	"metanode.dev/go-master/master"
)

// Layout of the messages on the blocks socket. Both occur in the field, and cannot be told apart on the wire.
type Layout uint8

const (
	// ExecutableBlock is a block with its number and the digest of its commit.
	ExecutableBlock Layout = iota
	// CommittedEpochData is a commit as a list of blocks, without a digest.
	CommittedEpochData
)

// String shows the name that settings use.
func (l Layout) String() string {
	if l == CommittedEpochData {
		return "committed-epoch-data"
	}
	return "executable-block"
}

// MarshalText implements encoding.TextMarshaler.
func (l Layout) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Layout) UnmarshalText(text []byte) error {
	for _, layout := range []Layout{ExecutableBlock, CommittedEpochData} {
		if string(text) == layout.String() {
			*l = layout
			return nil
		}
	}
	return fmt.Errorf("%q is neither %s nor %s", text, ExecutableBlock, CommittedEpochData)
}

// block is what both layouts come to.
type block struct {
	// index is the global execution index, the block number and the commit index.
	index, epoch, timestampMs uint64
	// hash is the digest of the commit; nil where the message has none of 32 bytes.
	hash         []byte
	transactions []master.Transaction
	sizeBytes    uint64
}

// decode reads a block and checks it against the limits.
func (l Layout) decode(body []byte, limits master.Limits) (*block, error) {
	var b *block
	var blocks int
	var err error
	if l == CommittedEpochData {
		b, blocks, err = decodeCommittedEpochData(body)
	} else {
		b, blocks, err = decodeExecutableBlock(body)
	}
	if err != nil {
		return nil, err
	}
	if b.index == 0 {
		return nil, &master.FieldError{Field: "global_exec_index", Problem: "is 0; the first block has index 1"}
	}
	b.sizeBytes, err = limits.Measure(blocks, b.transactions)
	return b, err
}

func decodeExecutableBlock(body []byte) (*block, int, error) {
	var message legacyv1.ExecutableBlock
	if err := proto.Unmarshal(body, &message); err != nil {
		return nil, 0, err
	}
	b := &block{
		index: message.GetGlobalExecIndex(), epoch: message.GetEpoch(), timestampMs: message.GetCommitTimestampMs(),
		transactions: transactions(nil, message.GetTransactions()),
	}
	if number := message.GetBlockNumber(); number != 0 && number != b.index {
		problem := fmt.Sprintf("is %d, the global execution index is %d", number, b.index)
		return nil, 0, &master.FieldError{Field: "block_number", Problem: problem}
	}
	if hash := message.GetCommitHash(); len(hash) == 32 {
		b.hash = hash
	}
	return b, 1, nil
}

func decodeCommittedEpochData(body []byte) (*block, int, error) {
	var message legacyv1.CommittedEpochData
	if err := proto.Unmarshal(body, &message); err != nil {
		return nil, 0, err
	}
	b := &block{
		index: message.GetGlobalExecIndex(), epoch: message.GetEpoch(), timestampMs: message.GetCommitTimestampMs(),
	}
	for _, committed := range message.GetBlocks() {
		b.transactions = transactions(b.transactions, committed.GetTransactions())
	}
	return b, len(message.GetBlocks()), nil
}

func transactions(all []master.Transaction, more []*legacyv1.TransactionExe) []master.Transaction {
	for _, transaction := range more {
		// The field named digest holds the whole transaction.
		all = append(all, master.Transaction{Bytes: transaction.GetDigest()})
	}
	return all
}

// commit is the block as the master takes it, after a commit with the digest previous.
func (b *block) commit(previous master.Digest) master.Commit {
	return master.Commit{
		Index: b.index, Epoch: b.epoch, PreviousDigest: previous, Digest: b.digest(previous),
		TimestampMs: b.timestampMs, Transactions: b.transactions, SizeBytes: b.sizeBytes,
	}
}

// digest is the one that the sender gave, so that state roots equal those of executors that are fed over gRPC; or else a hash of all
// that is executed, chained to that of the block before.
func (b *block) digest(previous master.Digest) (digest master.Digest) {
	if b.hash != nil {
		return master.Digest(b.hash)
	}
	hasher := blake3.NewDeriveKey("metanode/legacy/commit/v1")
	head := append([]byte(nil), previous[:]...)
	for _, number := range []uint64{b.index, b.epoch, b.timestampMs, uint64(len(b.transactions))} {
		head = binary.LittleEndian.AppendUint64(head, number)
	}
	_, _ = hasher.Write(head)
	for _, transaction := range b.transactions {
		_, _ = hasher.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(transaction.Bytes))))
		_, _ = hasher.Write(transaction.Bytes)
	}
	hasher.Sum(digest[:0])
	return digest
}
