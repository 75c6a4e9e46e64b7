package master

import (
	"fmt"
	"math"

	consensusv1 "metanode.dev/go-master/gen/metanode/consensus/v1"
	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
)

const (
	// transactionOverheadBytes is counted for each transaction on top of its own bytes, and blockOverheadBytes for each block,
	// whatever the encoding takes: the contract's way to measure commits.
	transactionOverheadBytes = 16
	blockOverheadBytes       = 128
	// maxReasonBytes bounds the reason of a rejected transaction on the wire.
	maxReasonBytes = 256
)

// Limits bound commits; they come from the parameters of genesis.
type Limits struct {
	// CommitTransactions is the most transactions in a commit.
	CommitTransactions uint64
	// CommitBytes is the most bytes in a commit: transaction bytes, 16 more a transaction, 128 a block.
	CommitBytes uint64
	// TransactionBytes is the most bytes in one transaction.
	TransactionBytes uint64
}

// DefaultLimits are those of a genesis file that says nothing: 10,000 transactions, 4 MiB, 512 KiB.
var DefaultLimits = Limits{CommitTransactions: 10_000, CommitBytes: 4 << 20, TransactionBytes: 512 << 10}

func (l Limits) check() error {
	if l.CommitTransactions < 1 || l.CommitTransactions > 1_000_000 {
		return fmt.Errorf("limits: %d transactions a commit, allowed are 1 to 1000000", l.CommitTransactions)
	}
	if l.CommitBytes < 64<<10 || l.CommitBytes > 64<<20 {
		return fmt.Errorf("limits: %d bytes a commit, allowed are %d to %d", l.CommitBytes, 64<<10, 64<<20)
	}
	return nil
}

// MessageBytes is the largest message that is decoded.
func (l Limits) MessageBytes() int { return int(l.CommitBytes) + 1<<20 }

// decodeOpening reads an opening.
func decodeOpening(message *executorv1.StreamOpening) (*opening, error) {
	if message.GetLease() == nil {
		return nil, &FieldError{Field: "opening.lease", Problem: "is missing"}
	}
	o := &opening{incarnation: message.GetLease().GetIncarnation(), after: Position{Index: message.GetAfterIndex()}}
	fields := []struct {
		name   string
		bytes  []byte
		target *[32]byte
	}{
		{"opening.chain_id", message.GetChainId(), (*[32]byte)(&o.chain)},
		{"opening.lease.authority", message.GetLease().GetAuthority(), (*[32]byte)(&o.authority)},
		{"opening.after_digest", message.GetAfterDigest(), (*[32]byte)(&o.after.Digest)},
	}
	for _, field := range fields {
		if err := read32(field.name, field.bytes, field.target); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// decodeCommit reads a commit and checks its form: lengths of digests, references that must be there, counts and sizes within the
// limits, and marks only where there is a transaction. That its digest is that of its content is for consensus to know.
func decodeCommit(message *consensusv1.Commit, limits Limits) (*Commit, error) {
	c := &Commit{Index: message.GetIndex(), Epoch: message.GetEpoch(), TimestampMs: message.GetTimestampMs()}
	if c.Index == 0 {
		return nil, &FieldError{Field: "commit.index", Problem: "is 0; the first commit has index 1"}
	}
	if err := read32("commit.previous_digest", message.GetPreviousDigest(), (*[32]byte)(&c.PreviousDigest)); err != nil {
		return nil, err
	}
	if err := read32("commit.digest", message.GetDigest(), (*[32]byte)(&c.Digest)); err != nil {
		return nil, err
	}
	if len(message.GetLeaders()) == 0 {
		return nil, &FieldError{Field: "commit.leaders", Problem: "is empty"}
	}
	for _, leader := range message.GetLeaders() {
		if err := checkRef("commit.leaders", leader); err != nil {
			return nil, err
		}
	}
	var count int
	for _, block := range message.GetBlocks() {
		if err := checkRef("commit.blocks.block", block.GetBlock()); err != nil {
			return nil, err
		}
		count += len(block.GetTransactions())
	}
	marks := message.GetDuplicateMarks()
	if err := checkMarks(marks, count); err != nil {
		return nil, err
	}
	c.Transactions = make([]Transaction, 0, count)
	for _, block := range message.GetBlocks() {
		for _, bytes := range block.GetTransactions() {
			c.Transactions = append(c.Transactions, Transaction{Bytes: bytes, Duplicate: marked(marks, len(c.Transactions))})
		}
	}
	var err error
	c.SizeBytes, err = limits.Measure(len(message.GetBlocks()), c.Transactions)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func checkRef(field string, ref *consensusv1.BlockRef) error {
	if ref == nil {
		return &FieldError{Field: field, Problem: "is missing"}
	}
	if ref.GetAuthor() > math.MaxUint16 {
		return &FieldError{Field: field, Problem: fmt.Sprintf("has author %d, at most 65535 exist", ref.GetAuthor())}
	}
	return read32(field, ref.GetDigest(), new([32]byte))
}

// Measure returns the size of a commit as commits are counted, if it is within the limits; else a FieldError.
func (l Limits) Measure(blocks int, transactions []Transaction) (uint64, error) {
	if count := uint64(len(transactions)); count > l.CommitTransactions {
		problem := fmt.Sprintf("%d transactions, at most %d are allowed", count, l.CommitTransactions)
		return 0, &FieldError{Field: "commit.blocks", Problem: problem}
	}
	size := uint64(blocks) * blockOverheadBytes
	for _, transaction := range transactions {
		length := uint64(len(transaction.Bytes))
		if length > l.TransactionBytes {
			problem := fmt.Sprintf("one has %d bytes, at most %d are allowed", length, l.TransactionBytes)
			return 0, &FieldError{Field: "commit.blocks.transactions", Problem: problem}
		}
		size += length + transactionOverheadBytes
	}
	if size > l.CommitBytes {
		problem := fmt.Sprintf("%d bytes, at most %d are allowed", size, l.CommitBytes)
		return 0, &FieldError{Field: "commit.blocks", Problem: problem}
	}
	return size, nil
}

// marked reads a bitmap, least significant bit of byte 0 first.
func marked(marks []byte, position int) bool {
	return position/8 < len(marks) && marks[position/8]&(1<<(position%8)) != 0
}

func checkMarks(marks []byte, count int) error {
	const field = "commit.duplicate_marks"
	if needed := (count + 7) / 8; len(marks) > needed {
		return &FieldError{Field: field, Problem: fmt.Sprintf("has %d bytes for %d transactions", len(marks), count)}
	}
	for position := count; position < len(marks)*8; position++ {
		if marked(marks, position) {
			return &FieldError{Field: field, Problem: fmt.Sprintf("marks a position at or above %d", count)}
		}
	}
	return nil
}

func read32(field string, bytes []byte, target *[32]byte) error {
	if len(bytes) != len(target) {
		return &FieldError{Field: field, Problem: fmt.Sprintf("has %d bytes, 32 are needed", len(bytes))}
	}
	*target = [32]byte(bytes)
	return nil
}

func openedMessage(incarnation, blockNumber uint64) *executorv1.ExecuteCommitsResponse {
	return &executorv1.ExecuteCommitsResponse{Message: &executorv1.ExecuteCommitsResponse_Opened{
		Opened: &executorv1.StreamOpened{Incarnation: incarnation, BlockNumber: blockNumber},
	}}
}

func acknowledgementMessage(a *acknowledgement) *executorv1.ExecuteCommitsResponse {
	result := &a.result
	message := &executorv1.Acknowledgement{
		Index:     result.Position.Index,
		Digest:    result.Position.Digest[:],
		StateRoot: rootBytes(result.StateRoot),
		Duplicate: a.duplicate,
	}
	for _, rejected := range result.Rejected {
		message.Rejected = append(message.Rejected, &executorv1.RejectedTransaction{
			Index:    result.Position.Index,
			Position: rejected.Position,
			Code:     rejected.Code,
			Reason:   cut(rejected.Reason),
		})
	}
	if end := result.EpochEnd; end != nil {
		message.EpochEnd = &executorv1.EpochEnd{NextEpoch: end.NextEpoch, CommitteeDigest: end.CommitteeDigest[:]}
	}
	return &executorv1.ExecuteCommitsResponse{Message: &executorv1.ExecuteCommitsResponse_Acknowledgement{
		Acknowledgement: message,
	}}
}

// rootBytes is empty where the executor keeps no root.
func rootBytes(root *Digest) []byte {
	if root == nil {
		return nil
	}
	return root[:]
}
