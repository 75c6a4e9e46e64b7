package legacyuds

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	// maxRequestBytes bounds a query: all have a few numbers.
	maxRequestBytes = 64 << 10
	// maxResponseBytes bounds an answer.
	maxResponseBytes = 10 << 20
)

// errEmptyFrame tells that a frame has no bytes; no message of the protocol is empty.
var errEmptyFrame = errors.New("the frame is empty")

// frameError tells that a length is over its limit. It is not read.
type frameError struct{ length, limit uint64 }

func (e *frameError) Error() string {
	return fmt.Sprintf("the frame has %d bytes, at most %d are allowed", e.length, e.limit)
}

// frameReader reads frames from a connection with its times.
type frameReader struct {
	conn  net.Conn
	bytes *bufio.Reader
	// idle is how long it waits for the first byte of a frame, read how long the rest may take.
	idle, read time.Duration
}

func newFrameReader(conn net.Conn, idle, read time.Duration) *frameReader {
	return &frameReader{conn: conn, bytes: bufio.NewReader(conn), idle: idle, read: read}
}

// varint reads a frame with an unsigned varint before it. io.EOF: the connection ended between frames.
func (r *frameReader) varint(limit int) ([]byte, error) {
	if err := r.first(); err != nil {
		return nil, err
	}
	length, err := binary.ReadUvarint(r.bytes)
	if err != nil {
		return nil, inFrame(err)
	}
	return r.body(length, limit)
}

// fixed reads a frame with a u32 before it, big-endian. io.EOF: the connection ended between frames.
func (r *frameReader) fixed(limit int) ([]byte, error) {
	if err := r.first(); err != nil {
		return nil, err
	}
	var length [4]byte
	if _, err := io.ReadFull(r.bytes, length[:]); err != nil {
		return nil, inFrame(err)
	}
	return r.body(uint64(binary.BigEndian.Uint32(length[:])), limit)
}

// first waits for the first byte of a frame.
func (r *frameReader) first() error {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
		return err
	}
	if _, err := r.bytes.Peek(1); err != nil {
		return err
	}
	return r.conn.SetReadDeadline(time.Now().Add(r.read))
}

func (r *frameReader) body(length uint64, limit int) ([]byte, error) {
	switch {
	case length > uint64(limit):
		return nil, &frameError{length: length, limit: uint64(limit)}
	case length == 0:
		return nil, errEmptyFrame
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r.bytes, body); err != nil {
		return nil, inFrame(err)
	}
	return body, nil
}

// inFrame names an end within a frame.
func inFrame(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// isQuiet is true for ends of a connection that nobody needs to hear of: the peer closed it, it was idle, or we end.
func isQuiet(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
}

// appendFixed appends a frame with a u32 before it.
func appendFixed(frame, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(frame, uint32(len(body))), body...)
}
