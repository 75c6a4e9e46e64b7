package main

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// endWithParent ends the process when its standard input does: a parent holds the other end of that pipe, and the system closes it
// for a parent that was killed. At once, as kill -9 would: a master is made to survive that.
func endWithParent(lifeline io.Reader, end func()) {
	buffer := make([]byte, 64)
	for {
		if _, err := lifeline.Read(buffer); err != nil {
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			end()
			return
		}
	}
}

func killSelf() {
	// Cannot fail: the process exists and is ours.
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}
