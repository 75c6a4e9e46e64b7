package master

import (
	"context"
	"sync"
)

// acknowledgement answers a commit; everything up to it is durable.
type acknowledgement struct {
	result    Result
	duplicate bool
}

// answer is one message to a client: one of the two is set.
type answer struct {
	opened          *streamOpened
	acknowledgement *acknowledgement
}

type streamOpened struct {
	incarnation uint64
	// position is the executor's last commit, as of the opening.
	position Position
}

// inbound is what comes in after the opening: a commit, or an error that ends the stream.
type inbound struct {
	commit *Commit
	// malformed is set for a commit whose form is wrong, or bytes that are none. index is then that of the commit; 0 if it
	// cannot be told, and stands for the next one.
	malformed error
	index     uint64
	// disorder is set for a message that is no commit.
	disorder error
}

// stream is one sender's stream of commits. The reader feeds inbound and closes it; the driver answers into out and closes done;
// the writer sends what is in out.
type stream struct {
	// client ends when the client has gone.
	client  context.Context
	inbound chan inbound
	// room holds a token for each commit that was read and not yet answered.
	room chan struct{}
	// out has room for an answer to each token, and for that to the opening: the driver never waits for a client.
	out chan answer
	// done is closed when the stream has ended; err is set before, nil for an orderly end.
	done    chan struct{}
	err     error
	endOnce sync.Once

	// What follows belongs to the driver.

	id uint64
	// parked waits for room in the window.
	parked *Commit
	// owed counts commits in flight whose acknowledgements are still to come.
	owed int
	// closed is set when the client sends no more.
	closed bool
}

func newStream(client context.Context, window Window) *stream {
	tokens := window.Commits + 2
	return &stream{
		client:  client,
		inbound: make(chan inbound, 1),
		room:    make(chan struct{}, tokens),
		out:     make(chan answer, tokens+1),
		done:    make(chan struct{}),
	}
}

// hand gives one message to the driver, as soon as there is room for its acknowledgement. False if the stream has ended.
func (s *stream) hand(message inbound) bool {
	select {
	case s.room <- struct{}{}:
	case <-s.done:
		return false
	case <-s.client.Done():
		return false
	}
	select {
	case s.inbound <- message:
		return true
	case <-s.done:
		return false
	case <-s.client.Done():
		return false
	}
}

// pump sends answers until the stream has ended; the error is that of the stream, of send, or of the client.
func (s *stream) pump(send func(answer) error) error {
	for {
		select {
		case a := <-s.out:
			if err := s.send(a, send); err != nil {
				return err
			}
		case <-s.done:
			for {
				select {
				case a := <-s.out:
					if err := s.send(a, send); err != nil {
						return err
					}
				default:
					return s.err
				}
			}
		case <-s.client.Done():
			return context.Cause(s.client)
		}
	}
}

func (s *stream) send(a answer, send func(answer) error) error {
	if a.acknowledgement != nil {
		defer s.release()
	}
	return send(a)
}

// release gives back the token of a commit that is answered, or needs no answer.
func (s *stream) release() { <-s.room }

// end ends the stream, once; with nil in order.
func (s *stream) end(err error) {
	s.endOnce.Do(func() {
		s.err = err
		close(s.done)
	})
}
