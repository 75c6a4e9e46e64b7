package master

import "fmt"

// resendWindow is how many digests of executed commits are held in memory for resends. Older ones are asked of the executor.
const resendWindow = 1024

// Window bounds what is taken and not yet durable.
type Window struct {
	// Commits: default 256, 1 to 4096. 1 makes each commit wait for a sync of its own.
	Commits int
	// Bytes in them: default 32 MiB, 64 KiB to 1 GiB; memory grows with it. A larger commit is taken alone.
	Bytes uint64
}

// DefaultWindow is 256 commits and 32 MiB.
var DefaultWindow = Window{Commits: 256, Bytes: 32 << 20}

func (w Window) check() error {
	if w.Commits < 1 || w.Commits > 4096 {
		return fmt.Errorf("window: %d commits, allowed are 1 to 4096", w.Commits)
	}
	if w.Bytes < 64<<10 || w.Bytes > 1<<30 {
		return fmt.Errorf("window: %d bytes, allowed are %d to %d", w.Bytes, 64<<10, 1<<30)
	}
	return nil
}

// inFlight is a commit that was let through and is not durable yet.
type inFlight struct {
	digest    Digest
	sizeBytes uint64
}

// window holds consecutive commits after the executed position, oldest first.
type window struct {
	limits    Window
	commits   []inFlight
	sizeBytes uint64
}

// hasRoomFor is true where a commit of this size may be let through now: within both bounds, or alone.
func (w *window) hasRoomFor(sizeBytes uint64) bool {
	if len(w.commits) == 0 {
		return true
	}
	sum := w.sizeBytes + sizeBytes
	return len(w.commits) < w.limits.Commits && sum >= sizeBytes && sum <= w.limits.Bytes
}

func (w *window) push(digest Digest, sizeBytes uint64) {
	w.commits = append(w.commits, inFlight{digest: digest, sizeBytes: sizeBytes})
	w.sizeBytes += sizeBytes
}

// popIf takes out the oldest commit if it has this digest.
func (w *window) popIf(digest Digest) bool {
	if len(w.commits) == 0 || w.commits[0].digest != digest {
		return false
	}
	w.sizeBytes -= w.commits[0].sizeBytes
	w.commits = w.commits[1:]
	return true
}

// clear takes out all commits.
func (w *window) clear() { w.commits, w.sizeBytes = nil, 0 }

// recent holds the digests of consecutive commits that end at the executed position, oldest first.
type recent struct {
	capacity int
	newest   Position
	digests  []Digest
}

func (r *recent) push(position Position) {
	r.newest = position
	r.digests = append(r.digests, position.Digest)
	if len(r.digests) > r.capacity {
		r.digests = r.digests[1:]
	}
}

// at is the digest at an index; nil where it is not held.
func (r *recent) at(index uint64) *Digest {
	if index == 0 {
		return &Digest{}
	}
	behind := r.newest.Index - index
	if index > r.newest.Index || behind >= uint64(len(r.digests)) {
		return nil
	}
	return &r.digests[uint64(len(r.digests))-1-behind]
}
