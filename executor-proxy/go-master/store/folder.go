package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// makeFolder makes the data folder, and those above it, and has sync make each name durable in the folder above: a ledger whose
// folder is lost with the power is lost whole (S02). A folder that holds a ledger was made so already.
func makeFolder(dir string, sync func(string) error) error {
	if _, err := os.Stat(filepath.Join(dir, fileName)); err == nil {
		return nil
	}
	return makeDurable(filepath.Clean(dir), sync)
}

// makeDurable syncs the name of a folder that is there too: whoever made it may have been killed before that.
func makeDurable(dir string, sync func(string) error) error {
	above := filepath.Dir(dir)
	found, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && above != dir:
		if _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist) {
			if err := makeDurable(above, sync); err != nil {
				return err
			}
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	case err != nil:
		return err
	case !found.IsDir():
		return fmt.Errorf("%s is no folder", dir)
	}
	return sync(above)
}

func syncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
