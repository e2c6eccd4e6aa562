package source

import "fmt"

// NameError is an entry of a directory in a commit that no path can name: it is not UTF-8, or no single name. Leaving it out
// would read as if it had been deleted.
type NameError struct{ Name string }

// Error quotes the name.
func (e *NameError) Error() string {
	return fmt.Sprintf("the name %q is not UTF-8, or no file's name; rename the file", e.Name)
}
