package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock keeps a folder for one process (S08). The operating system lets go of it when the process ends, however it ends.
type lock struct{ file *os.File }

// InUseError tells that another process has the folder.
type InUseError struct {
	// Dir is the folder, Process what its lock file says.
	Dir, Process string
}

// Error implements error.
func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use by process %s; stop it first, or use another folder", e.Dir, e.Process)
}

func acquire(dir string) (*lock, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		holder := make([]byte, 20)
		count, _ := file.ReadAt(holder, 0)
		process := "unknown"
		if text := bytes.TrimSpace(holder[:count]); len(text) > 0 {
			process = string(text)
		}
		return nil, &InUseError{Dir: dir, Process: process}
	}
	if err := errors.Join(file.Truncate(0), writePid(file)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &lock{file: file}, nil
}

func writePid(file *os.File) error {
	_, err := file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func (l *lock) release() error { return l.file.Close() }
