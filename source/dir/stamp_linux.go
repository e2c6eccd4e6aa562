package dir

import (
	"io/fs"
	"syscall"
)

// stampOf returns the stamp of a file. Outside of real file systems it says less.
func stampOf(info fs.FileInfo) stamp {
	s := stamp{mode: info.Mode(), size: info.Size(), modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode, s.changed = uint64(st.Dev), st.Ino, st.Ctim.Nano()
	}
	return s
}
