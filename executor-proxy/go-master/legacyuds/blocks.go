package legacyuds

import (
	"context"
	"errors"
	"net"

	"metanode.dev/go-master/master"
)

// serveBlocks reads blocks from one connection and has them executed.
func (s *Server) serveBlocks(ctx context.Context, conn net.Conn) {
	limits := s.settings.Master.Limits()
	frames := newFrameReader(conn, s.settings.Idle, s.settings.Read)
	feed := &feed{server: s, ctx: ctx, conn: conn}
	defer feed.close()
	for {
		body, err := frames.varint(limits.MessageBytes())
		if err != nil {
			if !isQuiet(err) {
				s.log.Error("[SEQUENTIAL-BUFFER] block cannot be read, connection closed", "problem", err)
			}
			return
		}
		block, err := s.settings.Layout.decode(body, limits)
		if err != nil {
			s.log.Error("[SEQUENTIAL-BUFFER] block is malformed, connection closed", "problem", err)
			return
		}
		if err := feed.take(block); err != nil {
			s.log.Warn("[SEQUENTIAL-BUFFER] connection of blocks closed", "commit_index", block.index, "reason", err)
			return
		}
	}
}

// feed gives the blocks of one connection to the master. Its stream is opened with the first block, so that a connection that says
// nothing ends nobody else's.
type feed struct {
	server *Server
	ctx    context.Context
	conn   net.Conn
	stream *master.LocalStream
}

func (f *feed) take(b *block) error {
	if f.stream == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	last := f.stream.Position()
	switch {
	case b.index <= last.Index:
		f.server.log.Debug("[SEQUENTIAL-BUFFER] block at or below the last dropped", "commit_index", b.index)
		return f.stream.Err()
	case b.index != last.Index+1:
		f.server.log.Warn("[SEQUENTIAL-BUFFER] gap, block dropped", "expected_index", last.Index+1, "commit_index", b.index)
		return f.stream.Err()
	default:
		return f.stream.Send(b.commit(last.Digest))
	}
}

func (f *feed) open() error {
	stream, err := f.server.settings.Master.OpenLocal(f.ctx)
	if err != nil {
		return err
	}
	f.stream = stream
	go func() {
		// A refusal, or a newer connection, ends this one also where nothing comes in.
		<-stream.Done()
		if err := stream.Err(); err != nil && !errors.Is(err, context.Canceled) {
			f.server.log.Warn("[SEQUENTIAL-BUFFER] blocks refused", "reason", err)
		}
		_ = f.conn.Close()
	}()
	return nil
}

func (f *feed) close() {
	if f.stream != nil {
		f.stream.Close()
	}
}
