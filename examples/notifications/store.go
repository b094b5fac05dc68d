package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// store is a file with a line for each notification, and their ids in memory. An app
// would rather have SQLite, with the id as primary key; the order of things is the same.
type store struct {
	file *os.File
	seen map[string]bool
}

func openStore(path string) (*store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &store{file: file, seen: map[string]bool{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), file.Close())
	}
	return s, nil
}

// load reads the file. A last line without an end was being written when the app was
// killed: it was not kept, so it goes, and will come again.
func (s *store) load() error {
	content, err := io.ReadAll(s.file)
	if err != nil {
		return err
	}
	whole := content[:bytes.LastIndexByte(content, '\n')+1]
	for line := range bytes.Lines(whole) {
		var n Notification
		if err := json.Unmarshal(line, &n); err != nil {
			return err
		}
		s.seen[n.ID] = true
	}
	if err := s.file.Truncate(int64(len(whole))); err != nil {
		return err
	}
	_, err = s.file.Seek(0, io.SeekEnd)
	return err
}

// keep writes a notification to the disk, unless it is there already.
func (s *store) keep(n Notification) (fresh bool, err error) {
	if s.seen[n.ID] {
		return false, nil
	}
	line, err := json.Marshal(n)
	if err != nil {
		return false, err
	}
	if _, err := s.file.Write(append(line, '\n')); err != nil {
		return false, err
	}
	if err := s.file.Sync(); err != nil {
		return false, err
	}
	s.seen[n.ID] = true
	return true, nil
}

func (s *store) close() error { return s.file.Close() }
