package kustomize

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"

	"github.com/gitfleet/gitfleet/render"
)

const (
	paxTooLarge = "GITFLEET.toolarge" // size of a file whose content was left out
	endOfTree   = ".git"              // an entry of this name ends the stream; no snapshot has a file of this name
)

// writeTree writes fsys to w as a tar stream. Any failure to read is an error: a snapshot is sent whole or not at all.
// Files above the size limit go without content, so that only using them is an error.
func writeTree(w io.Writer, fsys fs.FS, limits Limits) error {
	s := &streamer{tar: tar.NewWriter(w), fsys: fsys, limits: limits}
	if err := fs.WalkDir(fsys, ".", s.visit); err != nil {
		return err
	}
	if err := s.tar.WriteHeader(&tar.Header{Name: endOfTree, Format: tar.FormatPAX}); err != nil {
		return err
	}
	return s.tar.Close()
}

type streamer struct {
	tar    *tar.Writer
	fsys   fs.FS
	limits Limits
	files  int
	bytes  int64
}

func (s *streamer) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("read the snapshot: %w", err)
	case path.Base(name) == ".git": // of a working tree; a submodule has a file of this name
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	case d.IsDir():
		return nil
	}
	if s.files++; s.files > s.limits.Files {
		return render.ManifestErrors{{File: ".", Message: fmt.Sprintf("the repository holds more than %d files; "+
			"keep manifests in a repository of their own", s.limits.Files)}}
	}
	if err := s.file(name, d); err != nil {
		if _, author := err.(render.ManifestErrors); author {
			return err
		}
		return fmt.Errorf("read the snapshot: %s: %w", name, err)
	}
	return nil
}

func (s *streamer) file(name string, d fs.DirEntry) error {
	h := &tar.Header{Name: name, Format: tar.FormatPAX}
	switch d.Type() {
	case fs.ModeSymlink:
		target, err := fs.ReadLink(s.fsys, name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
		return s.tar.WriteHeader(h)
	case 0:
	default:
		return nil // sockets and devices of a working tree; a commit has none
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	if size := info.Size(); size > s.limits.FileBytes {
		h.PAXRecords = map[string]string{paxTooLarge: strconv.FormatInt(size, 10)}
		return s.tar.WriteHeader(h)
	}
	data, err := fs.ReadFile(s.fsys, name)
	if err != nil {
		return err
	}
	if s.bytes += int64(len(data)); s.bytes > s.limits.TreeBytes {
		return render.ManifestErrors{{File: ".", Message: fmt.Sprintf("the repository holds more than %d MiB; "+
			"keep manifests in a repository of their own", s.limits.TreeBytes>>20)}}
	}
	h.Size = int64(len(data))
	if err := s.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = s.tar.Write(data)
	return err
}
