package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/render/kustomize"
)

// What names standard input on the command line, and in messages.
const (
	stdinArgument = "-"
	stdinName     = "standard input"
)

// readDocuments returns the objects in all files that the arguments name, and everything that cannot be read. A file that is
// named twice, by itself and by its directory, is read once.
func readDocuments(arguments []string, stdin io.Reader) ([]render.Object, render.ManifestErrors) {
	var objects []render.Object
	files, errs := findFiles(arguments)
	for _, file := range files {
		data, err := readInput(file, stdin)
		if err != nil {
			errs = append(errs, unreadable(file, err))
			continue
		}
		name := filepath.ToSlash(file)
		if file == stdinArgument {
			name = stdinName
		}
		documents, broken := kustomize.Documents(name, data)
		objects, errs = append(objects, documents...), append(errs, broken...)
	}
	return objects, errs
}

func readInput(file string, stdin io.Reader) ([]byte, error) {
	if file == stdinArgument {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// findFiles returns the files that the arguments name, sorted: a file as it is, and of a directory every .yaml, .yml and
// .json file in it and below. What begins with a dot is not entered, as where repositories are rendered.
func findFiles(arguments []string) ([]string, render.ManifestErrors) {
	var files []string
	var errs render.ManifestErrors
	for _, argument := range arguments {
		if argument == stdinArgument {
			files = append(files, argument)
			continue
		}
		info, err := os.Stat(argument)
		switch {
		case err != nil:
			errs = append(errs, unreadable(argument, err))
		case info.IsDir():
			found, unusable := walkDirectory(argument)
			files, errs = append(files, found...), append(errs, unusable...)
		default:
			files = append(files, filepath.Clean(argument))
		}
	}
	slices.Sort(files)
	return slices.Compact(files), errs
}

func walkDirectory(root string) ([]string, render.ManifestErrors) {
	var files []string
	var errs render.ManifestErrors
	start := root + string(filepath.Separator) // so that a link to a directory is entered
	visit := func(file string, entry fs.DirEntry, err error) error {
		hidden := file != start && strings.HasPrefix(filepath.Base(file), ".")
		switch {
		case err != nil:
			errs = append(errs, unreadable(file, err))
		case entry.IsDir() && hidden:
			return fs.SkipDir
		case hidden || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)):
		default:
			// A link to a file counts as one; os.Stat follows it, and the walk does not.
			if info, err := os.Stat(file); err != nil {
				errs = append(errs, unreadable(file, err))
			} else if info.Mode().IsRegular() {
				files = append(files, filepath.Clean(file))
			}
		}
		return nil
	}
	// The walk itself fails only when visit does.
	_ = filepath.WalkDir(start, visit)
	return files, errs
}

// unreadable says why a file or directory cannot be read, and what to do.
func unreadable(file string, err error) render.ManifestError {
	var why syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return render.ManifestError{File: file, Message: "there is no such file or directory; mend the name after -f"}
	case errors.Is(err, fs.ErrPermission):
		return render.ManifestError{File: file, Message: "may not be read by this user; change its permissions, or leave it out"}
	case errors.As(err, &why):
		err = why // without the operation and the path
	}
	return render.ManifestError{File: file, Message: fmt.Sprintf("cannot be read: %v", err)}
}
