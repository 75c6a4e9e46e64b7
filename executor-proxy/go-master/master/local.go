package master

import (
	"context"
)

// LocalStream feeds the master from its own process, for senders that cannot introduce themselves. It is a stream like that of a
// gRPC client, with a new incarnation: it fences all that came before, and is fenced by what comes after. It is for one goroutine.
type LocalStream struct {
	master   *Master
	stream   *stream
	position Position
}

// OpenLocal opens a local stream at the executor's last commit. It ends when ctx ends, or Close is called. Errors are ErrNotReady,
// ErrDraining and those of ctx.
func (m *Master) OpenLocal(ctx context.Context) (*LocalStream, error) {
	s := newStream(ctx, m.settings.Window)
	if err := m.ask(ctx, request{open: &openRequest{opening: &opening{local: true}, stream: s}}); err != nil {
		return nil, err
	}
	l := &LocalStream{master: m, stream: s}
	opened := make(chan *streamOpened, 1)
	go s.endWith(m)
	go func() {
		// Nobody is told of acknowledgements; where the executor stands is asked of Standing.
		err := s.pump(func(a answer) error {
			if a.opened != nil {
				opened <- a.opened
			}
			return nil
		})
		s.end(err)
	}()
	select {
	case o := <-opened:
		l.position = o.position
		return l, nil
	case <-s.done:
		return nil, l.Err()
	}
}

// Position is that of the last commit sent, or executed before the first.
func (l *LocalStream) Position() Position { return l.position }

// Done is closed when the stream has ended.
func (l *LocalStream) Done() <-chan struct{} { return l.stream.done }

// Err is why it has ended: a refusal such as FencedError or WrongEpochError, ErrDraining, or the context's error; nil while it
// goes on.
func (l *LocalStream) Err() error {
	select {
	case <-l.stream.done:
		return l.stream.err
	default:
		return nil
	}
}

// Send gives the next commit to the master, as soon as there is room in the window; its previous digest is set to that of the
// commit before. The commit must be within the limits (Limits.Measure).
func (l *LocalStream) Send(commit Commit) error {
	commit.PreviousDigest = l.position.Digest
	if !l.stream.hand(inbound{commit: &commit}) {
		if err := l.Err(); err != nil {
			return err
		}
		return context.Cause(l.stream.client)
	}
	l.position = commit.Position()
	return nil
}

// Close says that no more commits come; what was sent is still executed.
func (l *LocalStream) Close() { close(l.stream.inbound) }
