package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
)

const (
	// openingDeadline is the time that a client has for the first message of a stream.
	openingDeadline = 10 * time.Second
	// drainDeadline is how long clients have to read their last answers at a shutdown.
	drainDeadline = 3 * time.Second
	// maxStreams is how many calls of ExecuteCommits may be open; one is enough for a sender, others wait to fence it.
	maxStreams = 16
	// maxCallsOfOne is how many calls of one connection are taken at a time; its client queues the rest. Above maxCalls, so
	// that a client is told.
	maxCallsOfOne = 256
	// connectionDeadline is the time for the first bytes of a connection.
	connectionDeadline = 10 * time.Second
	// keepaliveInterval is after how much silence a connection is tried, keepaliveTimeout how long the answer may take: a peer
	// that is gone without a word is found.
	keepaliveInterval = 10 * time.Second
	keepaliveTimeout  = 5 * time.Second
)

// NewServer makes a gRPC server with the bounds of the contract that serves the executor, health and reflection. Options come on
// top, such as grpc.Creds.
func (m *Master) NewServer(options ...grpc.ServerOption) *grpc.Server {
	calls := callLimits{receive: m.bounds.receive}
	limits := append(frames(m.settings.Limits.MessageBytes()),
		grpc.MaxConcurrentStreams(maxCallsOfOne),
		grpc.ConnectionTimeout(connectionDeadline),
		grpc.InTapHandle(calls.admit),
		grpc.ChainUnaryInterceptor(calls.started),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: m.bounds.idle, Time: keepaliveInterval, Timeout: keepaliveTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	server := grpc.NewServer(append(limits, options...)...)
	executorv1.RegisterExecutorServiceServer(server, &service{master: m})
	healthv1.RegisterHealthServer(server, m.health)
	reflection.RegisterV1(server)
	return server
}

// Serve serves the master on a listener until Run has ended; then clients have 3 s to read their last answers.
func (m *Master) Serve(listener net.Listener, options ...grpc.ServerOption) error {
	server := m.NewServer(options...)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-m.ended
		hard := time.AfterFunc(drainDeadline, server.Stop)
		defer hard.Stop()
		server.GracefulStop()
	}()
	err := server.Serve(limitConnections(listener, maxConnections))
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	<-drained
	return nil
}

// service is executor.v1.ExecutorService: messages in and out. All decisions are the driver's.
type service struct {
	executorv1.UnimplementedExecutorServiceServer
	master *Master
}

// GetLastBlockNumber implements the contract.
func (s *service) GetLastBlockNumber(
	context.Context, *executorv1.GetLastBlockNumberRequest,
) (*executorv1.GetLastBlockNumberResponse, error) {
	standing := s.master.Standing()
	last := standing.Last
	if standing.Ready {
		s.master.log.Info("[EXECUTOR-REQ] position answered",
			"block_number", last.Position.Index, "commit_digest", last.Position.Digest)
	} else {
		last = Last{}
	}
	return &executorv1.GetLastBlockNumberResponse{
		BlockNumber:  last.Position.Index,
		CommitDigest: last.Position.Digest[:],
		StateRoot:    rootBytes(last.StateRoot),
		Epoch:        last.State.Epoch.Number,
		Ready:        standing.Ready,
		ChainId:      s.master.settings.Chain[:],
	}, nil
}

// GetCommittee implements the contract.
func (s *service) GetCommittee(
	ctx context.Context, request *executorv1.GetCommitteeRequest,
) (*executorv1.GetCommitteeResponse, error) {
	epoch := request.GetEpoch()
	members, err := s.master.Committee(ctx, epoch)
	switch {
	case errors.Is(err, ErrUnknownEpoch):
		return nil, reason(codes.NotFound, ReasonUnknownEpoch, err.Error(), "epoch", epoch)
	case err != nil:
		return nil, statusOf(err)
	}
	s.master.log.Info("[EXECUTOR-REQ] committee answered", "epoch", epoch)
	response := &executorv1.GetCommitteeResponse{Epoch: epoch}
	for _, member := range members {
		response.Members = append(response.Members, &executorv1.CommitteeMember{
			Stake:       member.Stake,
			ProtocolKey: member.ProtocolKey[:],
			NetworkKey:  member.NetworkKey[:],
			Address:     member.Address,
		})
	}
	return response, nil
}

// AdvanceEpoch implements the contract.
func (s *service) AdvanceEpoch(
	ctx context.Context, request *executorv1.AdvanceEpochRequest,
) (*executorv1.AdvanceEpochResponse, error) {
	if !s.master.Standing().Ready {
		return nil, statusOf(s.master.unavailable())
	}
	next := Epoch{
		Number:      request.GetNewEpoch(),
		Boundary:    Position{Index: request.GetBoundaryIndex()},
		TimestampMs: request.GetTimestampMs(),
	}
	var field *FieldError
	for _, err := range []error{
		read32("boundary_digest", request.GetBoundaryDigest(), (*[32]byte)(&next.Boundary.Digest)),
		read32("committee_digest", request.GetCommitteeDigest(), (*[32]byte)(&next.CommitteeDigest)),
	} {
		if errors.As(err, &field) {
			return nil, invalidField(field)
		}
	}
	inForce, err := s.master.AdvanceEpoch(ctx, next)
	if err != nil {
		return nil, streamStatus(ctx, err)
	}
	return &executorv1.AdvanceEpochResponse{Epoch: inForce.Number}, nil
}

// ExecuteCommits implements the contract.
func (s *service) ExecuteCommits(
	call grpc.BidiStreamingServer[executorv1.ExecuteCommitsRequest, executorv1.ExecuteCommitsResponse],
) error {
	m, ctx := s.master, call.Context()
	defer m.streams.Add(-1)
	if m.streams.Add(1) > maxStreams {
		return withRetry(reason(codes.ResourceExhausted, ReasonTooManyCalls,
			"as many streams are open as may be", "limit", maxStreams), retryNext)
	}
	if !m.Standing().Ready {
		return statusOf(m.unavailable())
	}
	stream := newStream(ctx, m.settings.Window)
	// However this call ends, its reader does not wait for the driver.
	defer stream.end(context.Canceled)
	reader := &reader{call: call, limits: m.settings.Limits, stream: stream, first: make(chan first, 1)}
	go reader.run()
	deadline := time.NewTimer(openingDeadline)
	defer deadline.Stop()
	select {
	case f := <-reader.first:
		if f.err != nil {
			return streamStatus(ctx, f.err)
		}
		if err := m.ask(ctx, request{open: &openRequest{opening: f.opening, stream: stream}}); err != nil {
			return streamStatus(ctx, err)
		}
	case <-deadline.C:
		return reason(codes.DeadlineExceeded, ReasonOpeningTimeout, "no opening within "+openingDeadline.String())
	case <-m.ended:
		return statusOf(m.reason)
	case <-ctx.Done():
		return ctx.Err()
	}
	go stream.endWith(m)
	err := stream.pump(func(a answer) error {
		if a.opened != nil {
			return call.Send(openedMessage(a.opened.incarnation, a.opened.position.Index))
		}
		return call.Send(acknowledgementMessage(a.acknowledgement))
	})
	return streamStatus(ctx, err)
}

// endWith ends a stream that the driver never came to, when the driver has ended.
func (s *stream) endWith(m *Master) {
	select {
	case <-m.ended:
		s.end(m.reason)
	case <-s.done:
	}
}

// streamStatus leaves what the transport says of a client that has gone as it is.
func streamStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, already := status.FromError(err); already {
		return err
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return statusOf(err)
}

// first is the outcome of reading the first message.
type first struct {
	opening *opening
	err     error
}

// reader is the receiving end of one call.
type reader struct {
	call   grpc.BidiStreamingServer[executorv1.ExecuteCommitsRequest, executorv1.ExecuteCommitsResponse]
	limits Limits
	stream *stream
	first  chan first
}

// run reads the opening, then commits, until either side ends.
func (r *reader) run() {
	defer close(r.stream.inbound)
	message, err := r.next()
	if err != nil {
		r.first <- first{err: firstError(err)}
		return
	}
	opening, err := readOpening(message)
	r.first <- first{opening: opening, err: err}
	if err != nil {
		return
	}
	for {
		message, err := r.next()
		var next inbound
		switch malformed := (*messageError)(nil); {
		case errors.As(err, &malformed):
			next = inbound{malformed: err}
		case err != nil:
			return
		default:
			next = r.decode(message)
		}
		if !r.stream.hand(next) || next.commit == nil {
			return
		}
	}
}

// messageError tells that the bytes of a message are none, or too many.
type messageError struct{ problem string }

func (e *messageError) Error() string { return e.problem }

// next receives a message; messageError, or the error of a connection that ended.
func (r *reader) next() (*executorv1.ExecuteCommitsRequest, error) {
	var f frame
	if err := r.call.RecvMsg(&f); err != nil {
		return nil, err
	}
	if f.sizeBytes > r.limits.MessageBytes() {
		return nil, &messageError{fmt.Sprintf("the message has %d bytes, at most %d are allowed", f.sizeBytes, r.limits.MessageBytes())}
	}
	message := new(executorv1.ExecuteCommitsRequest)
	if err := proto.Unmarshal(f.bytes, message); err != nil {
		return nil, &messageError{"the message is none of the contract: " + err.Error()}
	}
	return message, nil
}

func (r *reader) decode(message *executorv1.ExecuteCommitsRequest) inbound {
	switch message.GetMessage().(type) {
	case *executorv1.ExecuteCommitsRequest_Commit:
		commit, err := decodeCommit(message.GetCommit(), r.limits)
		if err != nil {
			return inbound{malformed: err, index: message.GetCommit().GetIndex()}
		}
		return inbound{commit: commit}
	case *executorv1.ExecuteCommitsRequest_Opening:
		return inbound{disorder: &malformedStreamError{"a second opening came"}}
	default:
		return inbound{disorder: &malformedStreamError{"a message is empty"}}
	}
}

func readOpening(message *executorv1.ExecuteCommitsRequest) (*opening, error) {
	switch message.GetMessage().(type) {
	case *executorv1.ExecuteCommitsRequest_Opening:
		return decodeOpening(message.GetOpening())
	case *executorv1.ExecuteCommitsRequest_Commit:
		return nil, &malformedStreamError{"a commit came before the opening"}
	default:
		return nil, &malformedStreamError{"the first message is not an opening"}
	}
}

// firstError is what a stream ends with that has no first message.
func firstError(err error) error {
	malformed := (*messageError)(nil)
	if errors.Is(err, io.EOF) || errors.As(err, &malformed) {
		return &malformedStreamError{"the first message is not an opening"}
	}
	return err
}
