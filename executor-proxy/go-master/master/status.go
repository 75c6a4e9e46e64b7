package master

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain of every error of this service, in google.rpc.ErrorInfo.
const Domain = "metanode"

// Stable reasons in google.rpc.ErrorInfo: clients match on these, never on text.
const (
	// ReasonGap: a commit came out of order; resend from expected_index.
	ReasonGap = "COMMIT_GAP"
	// ReasonFork: two different commits claim one index.
	ReasonFork = "COMMIT_FORK"
	// ReasonRefused: the executor refuses a commit; nothing passes it.
	ReasonRefused = "COMMIT_REFUSED"
	// ReasonFenced: a newer stream or process has taken over.
	ReasonFenced = "FENCED"
	// ReasonWrongChain: the two sides belong to different chains.
	ReasonWrongChain = "WRONG_CHAIN"
	// ReasonWrongAuthority: the executor belongs to another authority.
	ReasonWrongAuthority = "WRONG_AUTHORITY"
	// ReasonWrongEpoch: the epoch is neither the current one nor the one allowed.
	ReasonWrongEpoch = "WRONG_EPOCH"
	// ReasonMalformedCommit: a commit cannot be decoded.
	ReasonMalformedCommit = "MALFORMED_COMMIT"
	// ReasonMalformedStream: a stream broke the order of its messages.
	ReasonMalformedStream = "MALFORMED_STREAM"
	// ReasonOpeningTimeout: the first message of a stream did not come in time.
	ReasonOpeningTimeout = "OPENING_TIMEOUT"
	// ReasonInvalidField: a field is out of its range.
	ReasonInvalidField = "INVALID_FIELD"
	// ReasonNotReady: the state is not loaded yet.
	ReasonNotReady = "NOT_READY"
	// ReasonDraining: the service shuts down.
	ReasonDraining = "DRAINING"
	// ReasonStorageFailed: the executor failed, and the service stops.
	ReasonStorageFailed = "STORAGE_FAILED"
	// ReasonUnknownEpoch: the committee of this epoch is not known.
	ReasonUnknownEpoch = "UNKNOWN_EPOCH"
	// ReasonTooManyCalls: as many calls are under way as may be.
	ReasonTooManyCalls = "TOO_MANY_CALLS"
)

const (
	// retrySoon is when a caller that came too early may ask again.
	retrySoon = 200 * time.Millisecond
	// retryNext is when a caller may look for the next process after a shutdown.
	retryNext = time.Second
)

// ErrDraining is what a stream ends with when the master shuts down in order.
var ErrDraining = errors.New("the master shuts down")

// ErrNotReady is what calls end with before the executor has told where it stands.
var ErrNotReady = errors.New("the executor is loading its state")

// errFailed is what streams end with after the executor failed; the log has the cause.
var errFailed = errors.New("the executor failed; its log tells why")

// malformedCommitError stops a stream at an index: bytes that are no commit, or one whose form is wrong.
type malformedCommitError struct {
	index   uint64
	problem error
}

func (e *malformedCommitError) Error() string {
	return fmt.Sprintf("commit %d is malformed: %s", e.index, e.problem)
}

// malformedStreamError ends a stream whose messages are in the wrong order or of the wrong kind.
type malformedStreamError struct{ problem string }

func (e *malformedStreamError) Error() string { return e.problem }

// statusOf is the one place that makes a gRPC status of an error of this package.
func statusOf(err error) error {
	text := err.Error()
	var (
		gap       *GapError
		fork      *ForkError
		fenced    *FencedError
		chain     *WrongChainError
		authority *WrongAuthorityError
		epoch     *WrongEpochError
		beyond    *BeyondBoundaryError
		refused   *RefusedError
		commit    *malformedCommitError
		stream    *malformedStreamError
		field     *FieldError
	)
	switch {
	case errors.As(err, &gap):
		return reason(codes.FailedPrecondition, ReasonGap, text, "expected_index", gap.Expected, "index", gap.Index)
	case errors.As(err, &fork):
		return reason(codes.FailedPrecondition, ReasonFork, text,
			"index", fork.Index, "ours", fork.Ours, "theirs", fork.Theirs)
	case errors.As(err, &fenced):
		return reason(codes.Aborted, ReasonFenced, text, "incarnation", fenced.Incarnation)
	case errors.As(err, &chain):
		return reason(codes.FailedPrecondition, ReasonWrongChain, text, "ours", chain.Ours, "theirs", chain.Theirs)
	case errors.As(err, &authority):
		return reason(codes.FailedPrecondition, ReasonWrongAuthority, text,
			"ours", authority.Ours, "theirs", authority.Theirs)
	case errors.As(err, &epoch):
		return reason(codes.FailedPrecondition, ReasonWrongEpoch, text, "ours", epoch.Ours, "theirs", epoch.Theirs)
	case errors.As(err, &beyond):
		return reason(codes.FailedPrecondition, ReasonWrongEpoch, text,
			"boundary_index", beyond.Boundary, "commit_index", beyond.Accepted)
	case errors.As(err, &refused):
		return reason(codes.FailedPrecondition, ReasonRefused, text, "index", refused.Index, "problem", cut(refused.Reason))
	case errors.As(err, &commit):
		return reason(codes.InvalidArgument, ReasonMalformedCommit, text, "index", commit.index)
	case errors.As(err, &stream):
		return reason(codes.InvalidArgument, ReasonMalformedStream, text)
	case errors.As(err, &field):
		return reason(codes.InvalidArgument, ReasonMalformedStream, text, "field", field.Field)
	case errors.Is(err, ErrNotReady):
		return withRetry(reason(codes.Unavailable, ReasonNotReady, text), retrySoon)
	case errors.Is(err, ErrDraining):
		return withRetry(reason(codes.Unavailable, ReasonDraining, text), retryNext)
	default:
		return reason(codes.Internal, ReasonStorageFailed, errFailed.Error())
	}
}

// invalidField is for calls that are no stream.
func invalidField(err *FieldError) error {
	return withDetails(reason(codes.InvalidArgument, ReasonInvalidField, err.Error(), "field", err.Field),
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: err.Field, Description: err.Problem},
		}})
}

// reason makes an error with metadata pairs: key, value, key, value.
func reason(code codes.Code, name, text string, pairs ...any) error {
	info := &errdetails.ErrorInfo{Reason: name, Domain: Domain, Metadata: make(map[string]string)}
	for place := 0; place+1 < len(pairs); place += 2 {
		info.Metadata[fmt.Sprint(pairs[place])] = fmt.Sprint(pairs[place+1])
	}
	return withDetails(status.Error(code, text), info)
}

func withRetry(err error, delay time.Duration) error {
	return withDetails(err, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
}

func withDetails(err error, detail protoadapt.MessageV1) error {
	detailed, failed := status.Convert(err).WithDetails(detail)
	if failed != nil {
		// Only a status that is OK has no room for details.
		return err
	}
	return detailed.Err()
}

// cut shortens a reason of a rejection to what the wire allows, and to text that is valid on it.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= maxReasonBytes {
		return text
	}
	end := maxReasonBytes
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
