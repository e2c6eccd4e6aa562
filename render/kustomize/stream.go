package kustomize

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

const (
	paxTooLarge = "GITFLEET.toolarge" // size of a file whose content was left out
	endOfTree   = ".git"              // an entry of this name ends the stream; no snapshot has a file of this name
)

// writeTree writes fsys to w as a tar stream. Any failure to read is an error: a snapshot is sent whole or not at all.
// Files above the size limit go without content, so that only using them is an error.
func writeTree(ctx context.Context, w io.Writer, fsys fs.FS, limits Limits) error {
	if err := checkExtent(ctx, fsys, limits.Files); err != nil {
		return err
	}
	s := &streamer{ctx: ctx, tar: tar.NewWriter(w), fsys: fsys, limits: limits}
	if err := fs.WalkDir(fsys, ".", s.visit); err != nil {
		return err
	}
	if err := s.tar.WriteHeader(&tar.Header{Name: endOfTree, Format: tar.FormatPAX}); err != nil {
		return err
	}
	return s.tar.Close()
}

// deepest is how many directories a path may go down; no manifest is near that.
const deepest = 100

// checkExtent reports a tree with more files and directories than most, before any file is read. A commit of a few bytes can
// name the same directory so often that a walk through it never ends.
func checkExtent(ctx context.Context, fsys fs.FS, most int) error {
	entries := 0
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch entries++; {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return unread(name, err)
		case d.IsDir() && path.Base(name) == ".git":
			return fs.SkipDir
		case entries > most:
			return render.ManifestErrors{{File: ".", Message: fmt.Sprintf("the repository holds more than %d files and directories; "+
				"keep manifests in a repository of their own", most)}}
		case strings.Count(name, "/") > deepest:
			top, _, _ := strings.Cut(name, "/") // the whole name would leave no room for what is wrong with it
			return render.ManifestErrors{{File: top, Message: fmt.Sprintf("has directories that are more than %d deep; move what is in them up", deepest)}}
		}
		return nil
	})
}

// unread is why a directory cannot be read: a name in it, which is its author's to mend, or something else.
func unread(dir string, err error) error {
	if name, ok := errors.AsType[*source.NameError](err); ok {
		return render.ManifestErrors{{File: dir, Message: name.Error()}}
	}
	return fmt.Errorf("read the snapshot: %w", err)
}

type streamer struct {
	ctx    context.Context
	tar    *tar.Writer
	fsys   fs.FS
	limits Limits
	bytes  int64
}

func (s *streamer) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
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
	if d.Type() != fs.ModeSymlink && d.Type() != 0 {
		return nil // sockets and devices of a working tree; a commit has none
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	size := info.Size()
	if d.Type() == fs.ModeSymlink {
		return s.link(h, size)
	}
	if size > s.limits.FileBytes {
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

// longestLink is what Linux takes as the target of a link. In a commit it can be anything.
const longestLink = 4095

func (s *streamer) link(h *tar.Header, size int64) error {
	h.Typeflag = tar.TypeSymlink
	if size <= longestLink {
		var err error
		if h.Linkname, err = fs.ReadLink(s.fsys, h.Name); err != nil {
			return err
		}
	}
	if size > longestLink || strings.Contains(h.Linkname, "\x00") {
		return render.ManifestErrors{{File: h.Name, Message: "the symbolic link names what no file can be called; remove it"}}
	}
	return s.tar.WriteHeader(h)
}
