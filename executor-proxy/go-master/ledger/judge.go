package ledger

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/hdevalence/ed25519consensus"
)

// batchSize is how many signatures are verified together: large enough for most of the gain, small enough that one bad
// signature does not cost much.
const batchSize = 64

// judge decodes all transactions and checks chain and signature, in this order. A transaction that passed has a transfer at its
// place; any other has its final result there.
func judge(chain ChainID, transactions []Transaction) ([]Result, []*Transfer) {
	results := make([]Result, len(transactions))
	transfers := make([]*Transfer, len(transactions))
	var chunks sync.WaitGroup
	busy := make(chan struct{}, runtime.GOMAXPROCS(0))
	for start := 0; start < len(transactions); start += batchSize {
		end := min(start+batchSize, len(transactions))
		busy <- struct{}{}
		chunks.Go(func() {
			defer func() { <-busy }()
			judgeChunk(chain, transactions[start:end], results[start:end], transfers[start:end])
		})
	}
	chunks.Wait()
	return results, transfers
}

func judgeChunk(chain ChainID, transactions []Transaction, results []Result, transfers []*Transfer) {
	candidates := make([]*Transfer, 0, len(transactions))
	for place, transaction := range transactions {
		results[place].Digest = TransactionDigest(transaction.Bytes)
		if transaction.Duplicate {
			results[place].Outcome = Duplicate
			continue
		}
		transfer, rejection := decode(chain, transaction.Bytes)
		if transfer == nil {
			results[place].Outcome, results[place].Rejection = Rejected, rejection
			continue
		}
		transfers[place] = transfer
		candidates = append(candidates, transfer)
	}
	if len(candidates) > 1 && wholeBatchVerifies(candidates) {
		return
	}
	for place, transfer := range transfers {
		if transfer != nil && !transfer.Verify() {
			rejection := Rejection{Code: CodeBadSignature, Reason: "the signature is not the sender's"}
			results[place].Outcome, results[place].Rejection, transfers[place] = Rejected, rejection, nil
		}
	}
}

func decode(chain ChainID, bytes []byte) (*Transfer, Rejection) {
	transfer, err := DecodeTransfer(bytes)
	if err != nil {
		return nil, Rejection{Code: CodeMalformed, Reason: err.Error()}
	}
	if transfer.Chain != chain {
		reason := fmt.Sprintf("the transfer is for chain %s", transfer.Chain)
		return nil, Rejection{Code: CodeWrongChain, Reason: reason}
	}
	return transfer, Rejection{}
}

// wholeBatchVerifies is about twice as fast as one by one. ZIP 215 makes both ways agree on every signature; the coefficients
// of the batch are random, so that nobody can choose a signature after the coefficient it gets.
func wholeBatchVerifies(transfers []*Transfer) bool {
	verifier := ed25519consensus.NewPreallocatedBatchVerifier(len(transfers))
	for _, transfer := range transfers {
		verifier.Add(transfer.Sender[:], transfer.message(), transfer.signature[:])
	}
	return verifier.Verify()
}
