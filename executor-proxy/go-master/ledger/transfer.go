package ledger

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"

	"github.com/hdevalence/ed25519consensus"
)

const (
	// TransferVersion is the only version of the format.
	TransferVersion = 1
	// MaxMemoBytes bounds the memo.
	MaxMemoBytes = 1 << 20
	// MinTransferBytes is the size of a transfer without a memo; the memo comes on top.
	MinTransferBytes = headBytes + ed25519.SignatureSize

	headBytes = 1 + 32 + 32 + 32 + 8 + 8 + 4
	// domain starts what is signed.
	domain = "metanode/transfer/v1"
)

// Transfer is a decoded transfer. Its fields are what somebody claims, until Verify has said so.
type Transfer struct {
	// Chain that it is valid on.
	Chain ChainID
	// Sender pays.
	Sender AccountKey
	// Recipient receives.
	Recipient AccountKey
	// Amount of units to move; 0 only uses the nonce.
	Amount uint64
	// Nonce is the number of transfers that the sender has executed before.
	Nonce uint64
	// Memo is free.
	Memo []byte

	signed    []byte
	signature [ed25519.SignatureSize]byte
}

// DecodeTransfer decodes exactly one transfer of version 1; the memo is not copied. The error is for people.
func DecodeTransfer(bytes []byte) (*Transfer, error) {
	if len(bytes) < 1 {
		return nil, truncated("version")
	}
	if bytes[0] != TransferVersion {
		return nil, fmt.Errorf("unknown version %d, this ledger knows %d", bytes[0], TransferVersion)
	}
	if len(bytes) < headBytes {
		return nil, truncated(fieldAt(len(bytes)))
	}
	t := &Transfer{
		Chain:     ChainID(bytes[1:33]),
		Sender:    AccountKey(bytes[33:65]),
		Recipient: AccountKey(bytes[65:97]),
		Amount:    binary.LittleEndian.Uint64(bytes[97:105]),
		Nonce:     binary.LittleEndian.Uint64(bytes[105:113]),
	}
	memoBytes := uint64(binary.LittleEndian.Uint32(bytes[113:headBytes]))
	if memoBytes > MaxMemoBytes {
		return nil, fmt.Errorf("the memo has %d bytes, at most %d are allowed", memoBytes, MaxMemoBytes)
	}
	rest := bytes[headBytes:]
	if uint64(len(rest)) < memoBytes {
		return nil, truncated("memo")
	}
	t.Memo, rest = rest[:memoBytes:memoBytes], rest[memoBytes:]
	if len(rest) < ed25519.SignatureSize {
		return nil, truncated("signature")
	}
	if extra := len(rest) - ed25519.SignatureSize; extra > 0 {
		return nil, fmt.Errorf("%d bytes follow the signature", extra)
	}
	t.signature = [ed25519.SignatureSize]byte(rest)
	t.signed = bytes[:len(bytes)-ed25519.SignatureSize]
	return t, nil
}

// Verify tells whether the signature is the sender's, by the rules of ZIP 215. crypto/ed25519 judges by stricter rules, and a
// ledger that used it would fork.
func (t *Transfer) Verify() bool {
	return ed25519consensus.Verify(t.Sender[:], t.message(), t.signature[:])
}

// Sign signs with the key of the sender and returns the whole transaction's bytes. Sender is taken from the key.
func (t *Transfer) Sign(key ed25519.PrivateKey) ([]byte, error) {
	if len(t.Memo) > MaxMemoBytes {
		return nil, fmt.Errorf("the memo has %d bytes, at most %d are allowed", len(t.Memo), MaxMemoBytes)
	}
	sender := key.Public().(ed25519.PublicKey)
	bytes := make([]byte, 0, MinTransferBytes+len(t.Memo))
	bytes = append(bytes, TransferVersion)
	bytes = append(bytes, t.Chain[:]...)
	bytes = append(bytes, sender...)
	bytes = append(bytes, t.Recipient[:]...)
	bytes = binary.LittleEndian.AppendUint64(bytes, t.Amount)
	bytes = binary.LittleEndian.AppendUint64(bytes, t.Nonce)
	bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(t.Memo)))
	bytes = append(bytes, t.Memo...)
	return append(bytes, ed25519.Sign(key, append([]byte(domain), bytes...))...), nil
}

func (t *Transfer) message() []byte { return append([]byte(domain), t.signed...) }

func truncated(field string) error { return fmt.Errorf("the bytes end within the %s", field) }

// fieldAt names the field that bytes of this length end within.
func fieldAt(length int) string {
	ends := []struct {
		end  int
		name string
	}{{1, "version"}, {33, "chain id"}, {65, "sender"}, {97, "recipient"}, {105, "amount"}, {113, "nonce"}}
	for _, field := range ends {
		if length < field.end {
			return field.name
		}
	}
	return "memo length"
}
