package ledger

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/zeebo/blake3"
)

// Account is what an account holds. The zero value is what every key has before it first receives.
type Account struct {
	// Balance in units.
	Balance uint64
	// Nonce counts the transfers executed so far, and is the nonce that the next one must carry.
	Nonce uint64
}

// bucketOf tells which of the 65,536 buckets an account falls in: the first two bytes of BLAKE3 of the key, big-endian.
func bucketOf(key AccountKey) uint16 {
	hash := blake3.Sum256(key[:])
	return binary.BigEndian.Uint16(hash[:2])
}

// accounts holds all accounts that differ from the zero value.
type accounts struct {
	byKey map[AccountKey]Account
	// buckets holds the keys of each bucket, ascending.
	buckets map[uint16][]AccountKey
}

func newAccounts() accounts {
	return accounts{byKey: make(map[AccountKey]Account), buckets: make(map[uint16][]AccountKey)}
}

// set stores an account and tells which bucket it changed. The zero value is not stored.
func (a *accounts) set(key AccountKey, account Account) uint16 {
	bucket := bucketOf(key)
	keys := a.buckets[bucket]
	place, found := slices.BinarySearchFunc(keys, key, func(one, other AccountKey) int {
		return bytes.Compare(one[:], other[:])
	})
	switch {
	case account != Account{}:
		a.byKey[key] = account
		if !found {
			a.buckets[bucket] = slices.Insert(keys, place, key)
		}
	case found:
		delete(a.byKey, key)
		a.buckets[bucket] = slices.Delete(keys, place, place+1)
	}
	return bucket
}

// fanOut is the number of children of a node, depth the level of the buckets; level 0 is the root.
const (
	fanOut = 16
	depth  = 4
)

// tree holds the hashes of all nodes: 65,536 buckets and the 4,369 nodes above them. What is empty is all zero.
type tree struct {
	levels [depth + 1][]Digest
	// Hashers in key derivation mode, one a kind, reset for each hash.
	bucket, node, state *blake3.Hasher
}

func newTree() *tree {
	t := &tree{
		bucket: blake3.NewDeriveKey("metanode/ledger/bucket/v1"),
		node:   blake3.NewDeriveKey("metanode/ledger/node/v1"),
		state:  blake3.NewDeriveKey("metanode/ledger/state/v1"),
	}
	size := 1
	for level := range t.levels {
		t.levels[level] = make([]Digest, size)
		size *= fanOut
	}
	return t
}

// update hashes the changed buckets and the nodes above them anew.
func (t *tree) update(accounts *accounts, changed map[uint16]bool) {
	above := make(map[int]bool, len(changed))
	for bucket := range changed {
		t.levels[depth][bucket] = t.bucketHash(accounts, bucket)
		above[int(bucket)/fanOut] = true
	}
	for level := depth - 1; level >= 0; level-- {
		places := above
		above = make(map[int]bool, len(places))
		for place := range places {
			t.levels[level][place] = t.nodeHash(t.levels[level+1][place*fanOut : (place+1)*fanOut])
			above[place/fanOut] = true
		}
	}
}

func (t *tree) bucketHash(accounts *accounts, bucket uint16) Digest {
	keys := accounts.buckets[bucket]
	if len(keys) == 0 {
		return Digest{}
	}
	t.bucket.Reset()
	var numbers [16]byte
	for _, key := range keys {
		account := accounts.byKey[key]
		binary.LittleEndian.PutUint64(numbers[:8], account.Balance)
		binary.LittleEndian.PutUint64(numbers[8:], account.Nonce)
		write(t.bucket, key[:], numbers[:])
	}
	return Digest(t.bucket.Sum(nil))
}

func (t *tree) nodeHash(children []Digest) Digest {
	empty := true
	t.node.Reset()
	for _, child := range children {
		empty = empty && child == Digest{}
		write(t.node, child[:])
	}
	if empty {
		return Digest{}
	}
	return Digest(t.node.Sum(nil))
}

// stateRoot is the state root at a position.
func (t *tree) stateRoot(chain ChainID, position Position) Digest {
	var index, epoch [8]byte
	binary.LittleEndian.PutUint64(index[:], position.Index)
	binary.LittleEndian.PutUint64(epoch[:], position.Epoch)
	t.state.Reset()
	write(t.state, chain[:], index[:], position.Digest[:], epoch[:], t.levels[0][0][:])
	return Digest(t.state.Sum(nil))
}

// write feeds a hasher, which never fails.
func write(hasher *blake3.Hasher, parts ...[]byte) {
	for _, part := range parts {
		_, _ = hasher.Write(part)
	}
}
