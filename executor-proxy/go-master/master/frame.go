package master

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is a message that is not decoded yet. gRPC itself ends a stream whose message cannot be decoded, with an error that names
// no reason; of a frame, this package tells which commit it stops at.
type frame struct {
	bytes []byte
	// sizeBytes of the message; bytes is nil where that is over the limit.
	sizeBytes int
}

// frameCodec reads frames as they are, and leaves all other messages to the codec of gRPC.
type frameCodec struct {
	encoding.CodecV2
	limit int
}

// frames makes the server read frames of up to limit bytes. Twice the limit is still read, to be refused with a reason; what is
// larger is refused by gRPC alone, which is RESOURCE_EXHAUSTED without details.
func frames(limit int) []grpc.ServerOption {
	codec := frameCodec{CodecV2: encoding.GetCodecV2(proto.Name), limit: limit}
	return []grpc.ServerOption{grpc.ForceServerCodecV2(codec), grpc.MaxRecvMsgSize(2 * limit)}
}

// Unmarshal implements encoding.CodecV2.
func (c frameCodec) Unmarshal(data mem.BufferSlice, message any) error {
	f, ok := message.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, message)
	}
	if f.sizeBytes = data.Len(); f.sizeBytes <= c.limit {
		f.bytes = data.Materialize()
	}
	return nil
}
