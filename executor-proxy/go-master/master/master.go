package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	executorv1 "metanode.dev/go-master/gen/metanode/executor/v1"
)

// waitingRequests is how many openings and epochs may wait for the driver. More wait at their callers.
const waitingRequests = 16

// Settings of a master.
type Settings struct {
	// Chain that the executor belongs to. Required.
	Chain ChainID
	// Authority that the executor belongs to. Nil: the one of the first opening is recorded. Any other is refused.
	Authority *Authority
	// Limits of commits. The zero value stands for DefaultLimits.
	Limits Limits
	// Window bounds what is taken and not yet durable. The zero value stands for DefaultWindow.
	Window Window
	// ExecuteTimeout is the time that the executor has for the oldest commit in flight, and for any other call; then the master
	// ends with ErrLate. Default 30 s, 1 s to 10 min. Short: a slow disk ends the service. Long: one that hangs is restarted late.
	ExecuteTimeout time.Duration
	// Log takes the events. Default: slog.Default.
	Log *slog.Logger
}

// Standing is where the executor stands, as reads are answered; all fields belong to one durable state.
type Standing struct {
	// Ready is false until the executor has told where it stands: the other fields then mean nothing (X02).
	Ready bool
	// Last commit executed, durably, with what is recorded.
	Last Last
}

// ErrLate is how Run ends if the executor does not answer in time (X08). What it was asked may or may not be durable; nothing of
// it was acknowledged.
var ErrLate = errors.New("the executor did not answer in time; it, or its disk, hangs")

// Master is one life of the service. Make it with New, then call Serve and Run.
type Master struct {
	settings Settings
	log      *slog.Logger
	standing atomic.Pointer[Standing]
	executor atomic.Pointer[Executor]
	requests chan request
	health   *health.Server
	bounds   bounds
	// streams counts the calls of ExecuteCommits that are open.
	streams atomic.Int64
	// ended is closed when Run has ended; reason is set before.
	ended  chan struct{}
	reason error
}

// New checks the settings, all of them at once, and makes a master that answers ready = false.
func New(settings Settings) (*Master, error) {
	if settings.Limits == (Limits{}) {
		settings.Limits = DefaultLimits
	}
	if settings.Window == (Window{}) {
		settings.Window = DefaultWindow
	}
	if settings.ExecuteTimeout == 0 {
		settings.ExecuteTimeout = 30 * time.Second
	}
	if settings.Log == nil {
		settings.Log = slog.Default()
	}
	var timeout error
	if settings.ExecuteTimeout < time.Second || settings.ExecuteTimeout > 10*time.Minute {
		timeout = fmt.Errorf("execute timeout: %s, allowed are 1s to 10m", settings.ExecuteTimeout)
	}
	if err := errors.Join(settings.Limits.check(), settings.Window.check(), timeout); err != nil {
		return nil, err
	}
	m := &Master{
		settings: settings,
		log:      settings.Log,
		requests: make(chan request, waitingRequests),
		health:   health.NewServer(),
		bounds:   defaultBounds,
		ended:    make(chan struct{}),
	}
	m.standing.Store(&Standing{})
	m.reportHealth(false)
	return m, nil
}

// Standing tells where the executor stands.
func (m *Master) Standing() Standing { return *m.standing.Load() }

// Limits of commits.
func (m *Master) Limits() Limits { return m.settings.Limits }

// Run loads the executor and serves it until ctx ends; then what was taken is executed, made durable and acknowledged, streams
// end with ErrDraining, and Run returns nil. Any error of the executor that Executor does not except is final: streams end, health says NOT_SERVING, and Run
// returns it. Run is called once. It returns without waiting for an executor that hangs.
func (m *Master) Run(ctx context.Context, load func(context.Context) (Executor, error)) error {
	err := m.run(ctx, load)
	m.reason = ErrDraining
	if err != nil {
		m.reason = errFailed
		m.log.Error("[STARTUP] the executor failed", "error", err)
	}
	m.reportHealth(false)
	standing := m.Standing()
	standing.Ready = false
	m.standing.Store(&standing)
	close(m.ended)
	return err
}

func (m *Master) run(ctx context.Context, load func(context.Context) (Executor, error)) error {
	executor, err := load(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("load: %w", err)
	}
	last, err := executor.Last(ctx)
	if err != nil {
		return fmt.Errorf("read the position: %w", err)
	}
	if configured := m.settings.Authority; configured != nil {
		if stored := last.State.Lease.Authority; stored != nil && *stored != *configured {
			return fmt.Errorf("the state belongs to authority %s, configured is %s; use the data of this authority", stored, configured)
		}
	}
	m.executor.Store(&executor)
	m.standing.Store(&Standing{Ready: true, Last: last})
	if configured := m.settings.Authority; configured != nil {
		// Durable with the first lease.
		last.State.Lease.Authority = configured
	}
	m.reportHealth(true)
	m.log.Info("[STARTUP] executor position loaded",
		"block_number", last.Position.Index, "commit_digest", last.Position.Digest, "state_root", last.StateRoot,
		"epoch", last.State.Epoch.Number, "incarnation", last.State.Lease.Incarnation)
	return newDriver(m, executor, last).run(ctx)
}

// Committee reads the committee of an epoch: ErrNotReady before the executor is loaded, ErrUnknownEpoch for one that it does not
// know.
func (m *Master) Committee(ctx context.Context, epoch uint64) ([]Member, error) {
	executor := m.executor.Load()
	if executor == nil || !m.Standing().Ready {
		return nil, m.unavailable()
	}
	return bounded(m.settings.ExecuteTimeout, func(ctx context.Context) ([]Member, error) {
		return (*executor).Committee(ctx, epoch)
	})
}

// AdvanceEpoch tells that an epoch has ended at a boundary and the next one begun; it returns the epoch in force. Equal is fine
// and changes nothing; backwards, or more than one ahead, is a WrongEpochError.
func (m *Master) AdvanceEpoch(ctx context.Context, next Epoch) (Epoch, error) {
	answer := make(chan epochAnswer, 1)
	if err := m.ask(ctx, request{epoch: &epochRequest{next: next, answer: answer}}); err != nil {
		return Epoch{}, err
	}
	select {
	case a := <-answer:
		return a.epoch, a.err
	case <-m.ended:
		return Epoch{}, m.reason
	case <-ctx.Done():
		return Epoch{}, ctx.Err()
	}
}

// ask hands a request to the driver, and waits for room as long as its caller does.
func (m *Master) ask(ctx context.Context, r request) error {
	if !m.Standing().Ready {
		return m.unavailable()
	}
	select {
	case m.requests <- r:
		return nil
	case <-m.ended:
		return m.reason
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unavailable tells why nothing is served: not yet, or no more.
func (m *Master) unavailable() error {
	select {
	case <-m.ended:
		return m.reason
	default:
		return ErrNotReady
	}
}

func (m *Master) reportHealth(serving bool) {
	state := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		state = healthv1.HealthCheckResponse_SERVING
	}
	m.health.SetServingStatus("", state)
	m.health.SetServingStatus(executorv1.ExecutorService_ServiceDesc.ServiceName, state)
}

// bounded calls the executor and waits for no longer than the limit, also where the call does not heed its context.
func bounded[T any](limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := call(ctx)
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ErrLate
	}
}
