package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestS02TheNameOfEachFolderMadeIsDurableBeforeTheLedgerIs(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "above", "data")
	var synced []string
	note := func(folder string) error {
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s was synced with %v in it: %v", folder, entries, err)
		}
		synced = append(synced, folder)
		return nil
	}
	if err := makeFolder(dir, note); err != nil {
		t.Fatal(err)
	}
	if want := []string{root, filepath.Dir(dir)}; !slices.Equal(synced, want) {
		t.Fatalf("synced are %v, want %v", synced, want)
	}
	// A life that ended between the two leaves a folder whose name is not durable.
	synced = nil
	if err := makeFolder(dir, note); err != nil || !slices.Equal(synced, []string{filepath.Dir(dir)}) {
		t.Fatalf("synced are %v of a folder that was there, and %v", synced, err)
	}
	// With a ledger in it, the name is.
	open(t, dir)
	synced = nil
	if err := makeFolder(dir, note); err != nil || synced != nil {
		t.Fatalf("synced are %v of a ledger's folder, and %v", synced, err)
	}
}

func TestS02AFolderWhoseNameCannotBeMadeDurableIsRefused(t *testing.T) {
	failed := errors.New("no sync")
	if err := makeFolder(filepath.Join(t.TempDir(), "data"), func(string) error { return failed }); !errors.Is(err, failed) {
		t.Fatalf("the folder was made with %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, testGenesis()); err == nil {
		t.Fatal("a file was taken for a folder")
	}
}
