// Package testkit has an honest chain of commits, and a client that speaks the contract, for the tests of this module.
package testkit

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	consensusv1 "metanode.dev/go-master/gen/metanode/consensus/v1"
	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
	"metanode.dev/go-master/ledger"
)

// Deadline bounds every wait of a test: nothing here takes as long unless it is broken.
const Deadline = 30 * time.Second

// Chain, Authority and Other are keys and digests that differ from all others.
var (
	Chain     = fill(0xc1)
	Authority = fill(0xa1)
	Other     = fill(0xee)
)

func fill(value byte) (bytes [32]byte) {
	for place := range bytes {
		bytes[place] = value
	}
	return bytes
}

// Key is the signing key of a seed.
func Key(seed byte) ed25519.PrivateKey {
	bytes := fill(seed)
	return ed25519.NewKeyFromSeed(bytes[:])
}

// Account is the account of a seed.
func Account(seed byte) ledger.AccountKey {
	return ledger.AccountKey(Key(seed).Public().(ed25519.PublicKey))
}

// Balance of Account(1) at genesis; no other account has any.
const Balance = 1_000_000

// Genesis is the text of a genesis file with small limits: 100 transactions and 64 KiB a commit, 8 KiB a transaction.
func Genesis() string {
	return fmt.Sprintf(`chain_id = "%x"
name = "test"
timestamp_ms = 1
[parameters]
max_commit_transactions = 100
max_block_transactions = 100
max_commit_bytes = 65536
max_block_bytes = 32768
max_transaction_bytes = 8192
[[authorities]]
stake = 1
protocol_key = "%x"
network_key = "%x"
address = "127.0.0.1:1"
[[accounts]]
public_key = "%s"
balance = %d
`, Chain, Authority, fill(0xb1), Account(1), Balance)
}

// Digest of the commit at an index of the honest chain.
func Digest(index uint64) (digest [32]byte) {
	binary.LittleEndian.PutUint64(digest[:], index)
	return digest
}

// Transfer from Account(1) to Account(2).
func Transfer(amount, nonce uint64) []byte {
	transfer := ledger.Transfer{Chain: Chain, Recipient: Account(2), Amount: amount, Nonce: nonce}
	bytes, err := transfer.Sign(Key(1))
	if err != nil {
		panic(err)
	}
	return bytes
}

// Commit at an index of the honest chain: one transfer of 1, whose nonce fits.
func Commit(index uint64) *consensusv1.Commit { return CommitWith(index, Transfer(1, index-1)) }

// CommitWith has the place of the honest commit, and other transactions.
func CommitWith(index uint64, transactions ...[]byte) *consensusv1.Commit {
	digest, previous, block := Digest(index), Digest(index-1), fill(9)
	ref := &consensusv1.BlockRef{Round: index, Digest: block[:]}
	return &consensusv1.Commit{
		Index: index, PreviousDigest: previous[:], Digest: digest[:], Leaders: []*consensusv1.BlockRef{ref},
		TimestampMs: index, Closing: true,
		Blocks: []*consensusv1.CommittedBlock{{Block: ref, Transactions: transactions}},
	}
}

// Opening at a position of the honest chain.
func Opening(incarnation, after uint64) *executorv1.StreamOpening {
	digest := Digest(after)
	return &executorv1.StreamOpening{
		ChainId:    Chain[:],
		Lease:      &executorv1.Lease{Authority: Authority[:], Incarnation: incarnation},
		AfterIndex: after, AfterDigest: digest[:],
	}
}

// Client of a master.
type Client struct {
	t      testing.TB
	ctx    context.Context
	conn   *grpc.ClientConn
	Master executorv1.ExecutorServiceClient
	Health healthv1.HealthClient
}

// Dial makes a client of a target, such as 127.0.0.1:1 or unix:PATH; it ends with the test.
func Dial(t testing.TB, target string) *Client {
	t.Helper()
	conn, err := grpc.NewClient(target, plain)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Deadline)
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
	})
	return &Client{
		t: t, ctx: ctx, conn: conn,
		Master: executorv1.NewExecutorServiceClient(conn), Health: healthv1.NewHealthClient(conn),
	}
}

// plain is no TLS.
var plain = grpc.WithTransportCredentials(insecure.NewCredentials())

// Credentials of its connection.
func (c *Client) Credentials() grpc.DialOption { return plain }

// Context ends with the test, or when it takes too long.
func (c *Client) Context() context.Context { return c.ctx }

// Close ends the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// WaitUntilReady waits for the event that health tells.
func (c *Client) WaitUntilReady() {
	c.t.Helper()
	// A call that stays open would hold up the master's end.
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	changes, err := c.Health.Watch(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		c.t.Fatal(err)
	}
	for {
		change, err := changes.Recv()
		if err != nil {
			c.t.Fatal(err)
		}
		if change.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return
		}
	}
}

// Position that the master answers.
func (c *Client) Position() *executorv1.GetLastBlockNumberResponse {
	c.t.Helper()
	position, err := c.Master.GetLastBlockNumber(c.ctx, &executorv1.GetLastBlockNumberRequest{})
	if err != nil {
		c.t.Fatal(err)
	}
	return position
}

// Hold starts a call whose message never comes. It ends with ctx.
func (c *Client) Hold(ctx context.Context) {
	c.t.Helper()
	const method = executorv1.ExecutorService_GetLastBlockNumber_FullMethodName
	if _, err := c.conn.NewStream(ctx, &grpc.StreamDesc{}, method, grpc.WaitForReady(true)); err != nil {
		c.t.Fatal(err)
	}
}

// Raw starts a stream without an opening.
func (c *Client) Raw() *Stream {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	call, err := c.Master.ExecuteCommits(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return &Stream{t: c.t, call: call, Cancel: cancel}
}

// TryOpen sends an opening, and returns the stream with the answer to it.
func (c *Client) TryOpen(opening *executorv1.StreamOpening) (*Stream, *executorv1.StreamOpened, error) {
	c.t.Helper()
	stream := c.Raw()
	stream.Send(&executorv1.ExecuteCommitsRequest{Message: &executorv1.ExecuteCommitsRequest_Opening{Opening: opening}})
	answer, err := stream.call.Recv()
	if err != nil {
		return nil, nil, err
	}
	if answer.GetOpened() == nil {
		c.t.Fatalf("the first answer is %v", answer)
	}
	return stream, answer.GetOpened(), nil
}

// Open opens at the position that the master reports; it returns the stream and its incarnation.
func (c *Client) Open(incarnation uint64) (*Stream, uint64) {
	c.t.Helper()
	position := c.Position()
	opening := Opening(incarnation, position.GetBlockNumber())
	opening.AfterDigest = position.GetCommitDigest()
	stream, opened, err := c.TryOpen(opening)
	if err != nil {
		c.t.Fatal(err)
	}
	return stream, opened.GetIncarnation()
}

// Stream of commits.
type Stream struct {
	t    testing.TB
	call grpc.BidiStreamingClient[executorv1.ExecuteCommitsRequest, executorv1.ExecuteCommitsResponse]
	// Cancel leaves without a word.
	Cancel context.CancelFunc
}

// Send sends any message. Where the master has ended the stream already, its answer tells why.
func (s *Stream) Send(message *executorv1.ExecuteCommitsRequest) {
	s.t.Helper()
	if err := s.call.Send(message); err != nil && err != io.EOF {
		s.t.Fatal(err)
	}
}

// Opened waits for the answer to an opening.
func (s *Stream) Opened() *executorv1.StreamOpened {
	s.t.Helper()
	answer, err := s.call.Recv()
	if err != nil || answer.GetOpened() == nil {
		s.t.Fatalf("the opening was answered with %v and %v", answer, err)
	}
	return answer.GetOpened()
}

// Commit sends a commit.
func (s *Stream) Commit(commit *consensusv1.Commit) {
	s.t.Helper()
	s.Send(&executorv1.ExecuteCommitsRequest{Message: &executorv1.ExecuteCommitsRequest_Commit{Commit: commit}})
}

// TryAcknowledgement waits for an acknowledgement, or the error that the stream ends with; nil and nil at an orderly end.
func (s *Stream) TryAcknowledgement() (*executorv1.Acknowledgement, error) {
	answer, err := s.call.Recv()
	if err == io.EOF {
		return nil, nil
	}
	return answer.GetAcknowledgement(), err
}

// Acknowledgement waits for an acknowledgement.
func (s *Stream) Acknowledgement() *executorv1.Acknowledgement {
	s.t.Helper()
	acknowledgement, err := s.TryAcknowledgement()
	if err != nil || acknowledgement == nil {
		s.t.Fatalf("no acknowledgement: %v", err)
	}
	return acknowledgement
}

// Execute sends a commit and waits for its acknowledgement.
func (s *Stream) Execute(commit *consensusv1.Commit) *executorv1.Acknowledgement {
	s.t.Helper()
	s.Commit(commit)
	acknowledgement := s.Acknowledgement()
	if acknowledgement.GetIndex() != commit.GetIndex() {
		s.t.Fatalf("commit %d was answered with %v", commit.GetIndex(), acknowledgement)
	}
	return acknowledgement
}

// Error waits for the error that the stream ends with.
func (s *Stream) Error() error {
	s.t.Helper()
	acknowledgement, err := s.TryAcknowledgement()
	if err == nil {
		s.t.Fatalf("the stream went on with %v, an error was expected", acknowledgement)
	}
	return err
}

// CloseSend says that no more commits come.
func (s *Stream) CloseSend() {
	s.t.Helper()
	if err := s.call.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
}

// WantError compares code, reason and metadata (key, value, key, value) of an error.
func WantError(t testing.TB, err error, code codes.Code, reason string, metadata ...string) {
	t.Helper()
	s := status.Convert(err)
	if err == nil || s.Code() != code {
		t.Fatalf("the error is %v, want code %v", err, code)
	}
	info := InfoOf(err)
	if info.GetReason() != reason || info.GetDomain() != "metanode" {
		t.Fatalf("the reason of %v is %q of %q, want %q", err, info.GetReason(), info.GetDomain(), reason)
	}
	for place := 0; place+1 < len(metadata); place += 2 {
		if got := info.GetMetadata()[metadata[place]]; got != metadata[place+1] {
			t.Errorf("%s of %v is %q, want %q", metadata[place], err, got, metadata[place+1])
		}
	}
}

// InfoOf is the ErrorInfo of an error; nil where it has none.
func InfoOf(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// HasRetry tells whether an error says when to try again.
func HasRetry(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if _, ok := detail.(*errdetails.RetryInfo); ok {
			return true
		}
	}
	return false
}
