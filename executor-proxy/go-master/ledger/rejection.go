package ledger

import "fmt"

// MaxReasonBytes bounds the reason of a rejection.
const MaxReasonBytes = 256

// Code is a stable code of a rejection; the numbers are frozen.
type Code uint32

const (
	// CodeMalformed: the bytes are not a transfer.
	CodeMalformed Code = 1
	// CodeWrongChain: the transfer is for another chain.
	CodeWrongChain Code = 2
	// CodeBadSignature: the signature does not verify.
	CodeBadSignature Code = 3
	// CodeUnknownSender: the sender has no account.
	CodeUnknownSender Code = 4
	// CodeNonceTooLow: the nonce was used already.
	CodeNonceTooLow Code = 5
	// CodeNonceTooHigh: an earlier nonce is missing.
	CodeNonceTooHigh Code = 6
	// CodeInsufficientFunds: the sender has less than the amount.
	CodeInsufficientFunds Code = 7
	// CodeOverflow: the recipient's balance, or the sender's nonce, would exceed 64 bits.
	CodeOverflow Code = 8
)

// String shows the name that documents use.
func (c Code) String() string {
	names := [...]string{
		CodeMalformed: "MALFORMED", CodeWrongChain: "WRONG_CHAIN", CodeBadSignature: "BAD_SIGNATURE",
		CodeUnknownSender: "UNKNOWN_SENDER", CodeNonceTooLow: "NONCE_TOO_LOW", CodeNonceTooHigh: "NONCE_TOO_HIGH",
		CodeInsufficientFunds: "INSUFFICIENT_FUNDS", CodeOverflow: "OVERFLOW",
	}
	if c == 0 || int64(c) >= int64(len(names)) {
		return fmt.Sprintf("Code(%d)", uint32(c))
	}
	return names[c]
}

// Rejection is a recorded refusal.
type Rejection struct {
	// Code is stable.
	Code Code
	// Reason is for people and part of no digest: ASCII, at most MaxReasonBytes.
	Reason string
}

// reject returns what apply returns for a transfer without effect. All reasons of this package are short.
func reject(code Code, reason string) (Rejection, bool) {
	return Rejection{Code: code, Reason: reason}, false
}
